package roster

import (
	"time"

	"kith.internal/helper/internal/key"
)

// KeepCut is how long what is cut or collected stays, in case the cut is undone.
const KeepCut = 90 * 24 * time.Hour

// Prune drops what has been cut or collected for KeepCut, by the arrival of
// what cut it, and answers what is gone. A record of one's own stays for ever.
func (s *Set) Prune(now time.Time, own key.Public) []ID {
	e := s.View().eval
	drop := make([]bool, len(s.nodes))
	for i := range s.nodes {
		if !e.wanted[i] && s.nodes[i].rec.Author != own {
			drop[i] = now.Sub(e.cutAt(int32(i))) > KeepCut
		}
	}
	return s.drop(drop)
}

// cutAt is when the last of the record and what dropped it arrived.
func (e *eval) cutAt(i int32) time.Time {
	at := e.nodes[i].at
	by := int32(-1)
	if !e.live[i] {
		by, _ = e.dropped(i)
	} else if b, ok := e.nodes[i].rec.Body.(*Setting); ok {
		w, _ := e.value(b.Key)
		by = w.by
	}
	if by >= 0 && e.nodes[by].at.After(at) {
		at = e.nodes[by].at
	}
	return at
}
