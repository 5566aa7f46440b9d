package roster

import (
	"cmp"
	"net/netip"
	"slices"

	"kith.internal/helper/internal/key"
)

// candidate is a device with at least one valid admission.
type candidate struct {
	device key.Public
	admits []int32 // valid ones, the governing one first
	keys   int32   // the admission whose WireGuard and control keys count
	member bool
	lost   string // the claim that keeps it from being a member

	six       netip.Addr
	set       [fields]setting // what dev/ and net/ keys say of it
	name      string
	nameBy    int32 // the record whose name it is
	index     uint16
	indexBy   int32
	lostName  bool
	lostIndex bool
}

// members applies rules 10 and 11.
func (e *eval) members() {
	left := map[key.Public]bool{}
	admits := map[key.Public][]int32{}
	invites := map[inviteRank]*tally{}
	for i := range e.nodes {
		if !e.live[i] {
			continue
		}
		switch b := e.nodes[i].rec.Body.(type) {
		case *Leave:
			left[e.nodes[i].rec.Author] = true
		case *Admit:
			if e.inviteHolds(int32(i), b.Device, invites) {
				admits[b.Device] = append(admits[b.Device], int32(i))
			}
		}
	}
	prefix := Prefix6(e.nodes[0].rec.ID)
	e.cands = make(map[key.Public]*candidate, len(admits))
	for k, list := range admits {
		if e.removedBy(k) >= 0 || left[k] && e.rankOf(k) == plainRank {
			continue
		}
		slices.SortFunc(list, e.governing)
		c := &candidate{device: k, admits: list, keys: list[0], member: true, six: addr6(prefix, k)}
		for _, i := range list[1:] {
			if e.admit(i).N > e.admit(c.keys).N {
				c.keys = i
			}
		}
		e.cands[k] = c
	}
}

func (e *eval) admit(i int32) *Admit { return e.nodes[i].rec.Body.(*Admit) }

// governing orders admissions: least depth, highest clock, lowest ID.
func (e *eval) governing(a, b int32) int {
	x, y := &e.nodes[a], &e.nodes[b]
	return cmp.Or(cmp.Compare(x.depth, y.depth), cmp.Compare(y.rec.Clock, x.rec.Clock), compareID(x.rec.ID, y.rec.ID))
}

// removedBy is a live revocation in effect against a device, or -1.
func (e *eval) removedBy(k key.Public) int32 {
	for _, v := range e.ofKey[k] {
		if n := &e.nodes[v]; n.depth < e.rankOf(k) || n.rec.Author == k {
			return v
		}
	}
	return -1
}

type inviteRank struct {
	invite int32
	rank   uint8
}

// inviteHolds tells whether an admission's invite, if any, is live and no
// revocation of it from above the device's rank drops the admission. Without
// the rank a junior could end a senior device through the invite it came by.
func (e *eval) inviteHolds(i int32, device key.Public, cache map[inviteRank]*tally) bool {
	inv := e.nodes[i].invite
	if inv < 0 {
		return true
	}
	if !e.live[inv] {
		return false
	}
	revokes := e.ofRecord[inv]
	if len(revokes) == 0 {
		return true
	}
	at := inviteRank{inv, e.rankOf(device)}
	y := cache[at]
	if y == nil {
		above := slices.DeleteFunc(slices.Clone(revokes), func(v int32) bool { return e.nodes[v].depth >= at.rank })
		t := e.tally(above, false)
		y = &t
		cache[at] = y
	}
	return y.all(i)
}
