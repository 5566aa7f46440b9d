package roster

import (
	"bytes"
	"cmp"
	"slices"

	"kith.internal/helper/internal/key"
)

// standing is what a revocation names to keep what stands under some grants.
type standing struct {
	heads  []int32 // the last authority records, and with them all before; latest clock last
	leaves []int32 // leave records first, for they cannot be said by another
}

// grantsTo lists the live grants to a key, ended or not, deeper than a depth.
func (e *eval) grantsTo(k key.Public, depth int) (grants []int32) {
	for i := range e.nodes {
		if n := &e.nodes[i]; e.live[i] && n.rec.Type == TypeGrant && n.subject() == k && int(n.confers()) > depth {
			grants = append(grants, int32(i))
		}
	}
	return grants
}

// standing lists the heads and leaves under grants that are live.
func (e *eval) standing(grants []int32) (k standing) {
	inner := make([]bool, len(e.nodes))
	for i := len(e.nodes) - 1; i > 0; i-- {
		n := &e.nodes[i]
		if !e.live[i] || !slices.Contains(grants, n.grant) {
			continue
		}
		switch {
		case !n.rec.Type.leaf():
			if !inner[i] {
				k.heads = append(k.heads, int32(i))
			}
			if e.nodes[n.prev].grant == n.grant {
				inner[n.prev] = true
			}
		case e.wanted[i]:
			k.leaves = append(k.leaves, int32(i))
		}
	}
	slices.SortStableFunc(k.heads, func(a, b int32) int { return cmp.Compare(e.nodes[a].rec.Clock, e.nodes[b].rec.Clock) })
	slices.SortStableFunc(k.leaves, func(a, b int32) int { return -cmp.Compare(e.nodes[a].rec.Type, e.nodes[b].rec.Type) })
	return k
}

func (e *eval) idsOf(lists ...[]int32) (ids []ID) {
	for _, list := range lists {
		for _, i := range list {
			ids = append(ids, e.nodes[i].rec.ID)
		}
	}
	slices.SortFunc(ids, compareID)
	return slices.Compact(ids)
}

// goneClock is the clock of the latest leave or revocation of a device in
// effect, 0 for none. One that no writer follows would outdo whatever is written
// after it for ever: its arrival stands for it.
func (e *eval) goneClock() (last uint64) {
	for i := range e.nodes {
		n := &e.nodes[i]
		if !e.live[i] || n.rec.Type != TypeLeave && (n.rec.Type != TypeRevoke || n.target >= 0 || !e.effective(int32(i))) {
			continue
		}
		clock := n.rec.Clock
		if clock >= highClock {
			clock = Millis(n.at)
		}
		last = max(last, clock)
	}
	return last
}

// knows tells whether any record held admits a device, in force or not.
func (e *eval) knows(k key.Public) bool {
	for i := range e.nodes {
		if b, ok := e.nodes[i].rec.Body.(*Admit); ok && b.Device == k {
			return true
		}
	}
	return false
}

// compare lists what differs between two views, the targets left out.
func compare(before, after *View, targets []key.Public) *Removal {
	r := new(Removal)
	for _, m := range before.Members {
		if slices.Contains(targets, m.Key) {
			continue
		}
		if n := after.Member(m.Key); n == nil {
			r.Drops = append(r.Drops, m)
		} else if n.Role < m.Role {
			r.Demoted = append(r.Demoted, m)
		}
	}
	for _, m := range after.Members {
		if !slices.Contains(targets, m.Key) && before.Member(m.Key) == nil {
			r.Returns = append(r.Returns, m)
		}
	}
	for _, i := range before.Invites {
		if n := after.invites[i.Key]; !i.Revoked && (n == nil || n.Revoked) {
			r.Invites = append(r.Invites, i)
		}
	}
	for k, w := range before.eval.allValues() {
		if d := before.eval.nodes[w.by].key; d.ofDevice() && slices.Contains(targets, d.device) {
			continue
		}
		if x, _ := after.eval.value(k); !bytes.Equal(w.value, x.value) {
			r.Settings = append(r.Settings, k)
		}
	}
	for k := range after.eval.allValues() {
		if _, ok := before.eval.value(k); !ok {
			r.Settings = append(r.Settings, k)
		}
	}
	slices.Sort(r.Settings)
	return r
}
