package server

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"kith.internal/ipc"
)

func (s *Server) serveWatch(w http.ResponseWriter, r *http.Request, c Caller) {
	if _, err := read[struct{}](s, w, r); err != nil {
		s.fail(w, r, err)
		return
	}
	if !s.watchers.take(c.Identity) {
		s.fail(w, r, ipc.Errorf(ipc.CodeBusy, "too many programs watch the helper at once"))
		return
	}
	defer s.watchers.give(c.Identity)
	out := s.lines(w)
	rights := func() []ipc.Right { return s.cfg.Authorizer.Rights(c.Identity) }
	err := s.watch(r.Context(), rights, func(ev ipc.Event) error { return out.send(ev) })
	s.log.Debug("a watcher left", "uid", c.UID, "err", err)
	// Without an end that looks like one the client knows that it missed
	// something, even if a line was cut.
	panic(http.ErrAbortHandler)
}

// watch sends a snapshot, then what changed against the state last sent, at
// most once a gap. Nothing is queued: a slow reader gets fewer, larger deltas
// until send gives up on it.
func (s *Server) watch(ctx context.Context, rights func() []ipc.Right, send func(ipc.Event) error) error {
	var last *ipc.Status
	var rev uint64
	for {
		st, srcRev, newer := s.cfg.Source.Snapshot()
		next := s.views.get(st, srcRev, rights())
		if ev, changed := diff(last, next); changed {
			rev++
			ev.Rev = rev
			if err := send(ev); err != nil {
				return err
			}
			last = next
		}
		if err := sleep(ctx, s.limits.Gap); err != nil {
			return err
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// views keeps what the callers see of the newest revision, so that many
// watchers cost one redaction. There are two kinds of callers.
type views struct {
	mu       sync.Mutex
	rev      uint64
	src      *ipc.Status
	operator *ipc.Status
	reader   *ipc.Status
}

func (v *views) get(st *ipc.Status, rev uint64, may []ipc.Right) *ipc.Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.src != st || v.rev != rev {
		v.src, v.rev, v.operator, v.reader = st, rev, nil, nil
	}
	kind := &v.reader
	if slices.Contains(may, ipc.RightOperate) {
		kind = &v.operator
	}
	if *kind == nil {
		t := tidy(*redact(st, may))
		*kind = &t
	}
	out := **kind
	out.May = append([]ipc.Right{}, may...)
	return &out
}
