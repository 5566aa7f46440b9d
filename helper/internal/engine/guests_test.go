package engine

import (
	"testing"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/ipc"
)

// TestGuestsLeaveRoom: a friend that makes devices up takes no other friend's place
// among the guests, nor among the passes that were taken back.
func TestGuestsLeaveRoom(t *testing.T) {
	n := &network{visitors: map[guestID]*visitor{}}
	mine, other := guest.SID{1}, guest.SID{2}
	add := func(sid guest.SID, device byte, seen int64, why error) guestID {
		p := &guest.Pass{SID: sid, Guest: key.New().Public(), Device: guest.Device{device}}
		n.makeRoom(p)
		id := guestID{p.Guest, sid}
		n.visitors[id] = &visitor{kept: kept{Seen: seen}, pass: p, why: why}
		return id
	}
	over := ipc.Errorf(ipc.CodeGuestDenied, "over")
	theirs, here := add(other, 1, 0, over), add(mine, 1, 0, nil)
	for i := range int64(4 * shareMost) {
		add(mine, byte(i), i, over)
	}
	if n.visitors[theirs] == nil || n.visitors[here] == nil || len(n.visitors) > shareMost+1 {
		t.Errorf("%d are kept; the other friend's: %t, the one that may come: %t", len(n.visitors), n.visitors[theirs] != nil, n.visitors[here] != nil)
	}
	last := add(mine, 77, 1, over)
	add(mine, 77, 2, nil)
	if n.visitors[last] != nil {
		t.Error("a device's former keys are kept")
	}

	list := []takenBack{{SID: other, N: 1}}
	for i := range uint64(4 * shareMost) {
		list = append(latestOf(list, mine, shareMost-1), takenBack{SID: mine, N: i})
	}
	if len(list) != shareMost+1 || list[0].SID != other || list[len(list)-1].N != 4*shareMost-1 || list[1].N != 3*shareMost {
		t.Errorf("%d are kept, from %+v and %+v to %+v", len(list), list[0], list[1], list[len(list)-1])
	}
}
