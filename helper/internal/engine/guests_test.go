package engine

import (
	"slices"
	"testing"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/ipc"
)

// TestCancelsLeaveRoom: where all room is taken, whoever takes most of it gives way.
func TestCancelsLeaveRoom(t *testing.T) {
	var list []takenBack
	for share, of := range []int{3, 5, 4} {
		for i := range of {
			list = append(list, takenBack{SID: guest.SID{byte(share)}, N: uint64(i)})
		}
	}
	left := withoutOldestOfMost(slices.Clone(list))
	if want := slices.Delete(slices.Clone(list), 3, 4); !slices.Equal(left, want) {
		t.Errorf("left: %v", left)
	}
}

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

	for sid := byte(3); sid < 16; sid++ { // many friends at it
		for i := range shareMost {
			add(guest.SID{sid}, byte(i), 100, over)
		}
	}
	for range 8 {
		if add(guest.SID{99}, 99, 0, nil); len(n.visitors) > visitorsMost {
			t.Fatalf("%d are kept", len(n.visitors))
		}
	}

	list := []takenBack{{SID: other, N: 1}}
	for i := range uint64(4 * shareMost) {
		list = append(latestOf(list, mine, shareMost-1), takenBack{SID: mine, N: i})
	}
	if len(list) != shareMost+1 || list[0].SID != other || list[len(list)-1].N != 4*shareMost-1 || list[1].N != 3*shareMost {
		t.Errorf("%d are kept, from %+v and %+v to %+v", len(list), list[0], list[1], list[len(list)-1])
	}
}

// TestNewKeysKeepThePlace: a device that comes with new keys again and again is still
// the one that came first, also once its first keys are forgotten.
func TestNewKeysKeepThePlace(t *testing.T) {
	n := &network{visitors: map[guestID]*visitor{}}
	come := func(sid, device byte, now int64) int64 {
		p := &guest.Pass{SID: guest.SID{sid}, Guest: key.New().Public(), Device: guest.Device{device}}
		first := n.placeOf(p, now)
		for _, g := range n.visitors {
			if g.pass.Device == p.Device {
				g.why = ipc.Errorf(ipc.CodePassInvalid, "later")
			}
		}
		n.makeRoom(p)
		n.visitors[guestID{p.Guest, p.SID}] = &visitor{kept: kept{First: first}, pass: p}
		return first
	}
	for _, c := range []struct {
		sid, device byte
		now, want   int64
	}{{1, 1, 10, 10}, {1, 2, 20, 20}, {1, 1, 30, 10}, {1, 1, 40, 10}, {2, 1, 50, 50}, {1, 2, 60, 20}, {1, 1, 70, 10}} {
		if got := come(c.sid, c.device, c.now); got != c.want {
			t.Errorf("device %d of share %d, at %d: its place is that of %d, want %d", c.device, c.sid, c.now, got, c.want)
		}
	}
}
