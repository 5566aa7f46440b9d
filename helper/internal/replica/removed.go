package replica

import (
	"context"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
)

// removal is the record that removed a device, and what it refers to, in the
// roster's sending order.
func (r *Replica) removal(id key.Public) (out [][]byte) {
	view := r.cfg.Book.View()
	by := view.RemovedBy(id)
	if by == nil {
		return nil
	}
	need := map[roster.ID]bool{}
	r.cfg.Book.With(func(s *roster.Set) {
		for todo := []roster.ID{by.ID}; len(todo) > 0; todo = todo[1:] {
			rec := s.Get(todo[0])
			if rec == nil || need[rec.ID] {
				continue
			}
			need[rec.ID] = true
			todo = append(todo, rec.Prev)
			switch b := rec.Body.(type) {
			case *roster.Revoke:
				todo = append(append(todo, b.Record), b.Keep...)
			case *roster.Admit:
				todo = append(todo, b.Invite)
			}
		}
	})
	for rec := range view.Wanted() {
		if need[rec.ID] {
			out = append(out, rec.Raw)
		}
	}
	return out
}

// tellRemoved gives a removed device the records that say so, and nothing else.
func (r *Replica) tellRemoved(id key.Public, s wire.Session) {
	l := newLink(r, id, s, false)
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(r.ctx, func() { s.Close(codeClosing) })
	defer stop()
	st, err := s.Accept(ctx)
	if err != nil {
		s.Close(codeStranger)
		return
	}
	records := r.removal(id)
	st.SetDeadline(time.Now().Add(dialTimeout))
	if err := frame.Write(st, message{Records: records}); err == nil {
		var m message
		frame.Read(st, frame.Max, &m) // its hello; then it has read ours or gone
	}
	time.AfterFunc(lingering, func() { l.close(codeStranger) })
}
