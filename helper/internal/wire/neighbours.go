package wire

import (
	"cmp"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

const (
	neighbourFor   = time.Minute // after the last word
	neighboursTell = time.Second
)

// Neighbour is a peer with a confirmed path on which nobody is in between.
type Neighbour struct {
	ID   key.Public
	RTT  time.Duration
	Kind PathKind // Direct or LAN
}

// Neighbours are the peers that we reach without help, the nearest first.
func (w *Wire) Neighbours() (out []Neighbour) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for id, p := range w.dir.Load().byID {
		if p.shared || p.removed || p.c == nil {
			continue
		}
		if q := p.c.paths.near; q != nil && now.Sub(q.heard) < neighbourFor {
			out = append(out, Neighbour{ID: id, RTT: q.rtt, Kind: q.kind})
		}
	}
	slices.SortFunc(out, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.RTT, b.RTT), slices.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// neighbours says when to tell that they have changed.
type neighbours struct {
	count int
	due   time.Time // zero: nothing to tell
}

// change notes that a peer has become a neighbour, or none. Callers hold
// Wire.mu.
func (n *neighbours) change(w *Wire, gained bool, now time.Time) {
	if gained {
		n.count++
	} else {
		n.count--
	}
	when := now
	if gained && n.count > 1 {
		when = now.Add(neighboursTell)
	}
	if n.due.IsZero() || when.Before(n.due) {
		n.due = when
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// tell tells the handler when it is time.
func (n *neighbours) tell(w *Wire, now time.Time) {
	if !n.due.IsZero() && !now.Before(n.due) {
		n.due = time.Time{}
		w.events.add(func(h Handler) { h.NeighboursChanged() })
	}
}
