package engine

import (
	"testing"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
)

// TestCancelsPruned: cancels are told no longer than the passes would have lasted, and
// what is of an older form is left out.
func TestCancelsPruned(t *testing.T) {
	now := time.Now()
	cancel := func(age time.Duration) []byte {
		raw, err := guest.Cancel{SID: guest.SID{1}, Device: guest.Device{1}, N: uint64(now.Add(-age).UnixMilli())}.Issue(key.New())
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	life := guest.PassDefault + 2*guest.Grace
	fresh, last := cancel(time.Minute), cancel(life-time.Second)
	got := liveCancels([][]byte{cancel(life + time.Second), fresh, make([]byte, 150), last}, now)
	if len(got) != 2 || &got[0][0] != &fresh[0] || &got[1][0] != &last[0] {
		t.Errorf("%d are told", len(got))
	}
}

// TestCancelTakesAllKeys: a device whose passes are taken back comes under none of the
// keys that it had, nor under others with a pass of that time.
func TestCancelTakesAllKeys(t *testing.T) {
	n := &network{visitors: map[guestID]*visitor{}}
	sid, phone := guest.SID{1}, guest.Device{1}
	add := func(sid guest.SID, d guest.Device) {
		p := &guest.Pass{SID: sid, Guest: key.New().Public(), Device: d, N: 5}
		n.visitors[guestID{p.Guest, sid}] = &visitor{kept: kept{N: p.N}, pass: p}
	}
	add(sid, phone)
	add(sid, phone)
	add(sid, guest.Device{2})
	add(guest.SID{2}, phone)
	n.cancels = []takenBack{{SID: sid, Device: phone, N: 5}, {SID: sid, Device: guest.Device{3}, N: 7}}
	want := map[guest.Device]uint64{phone: 5, {3}: 7}
	for _, k := range n.known() {
		if w := want[k.Device]; k.SID == sid && k.Cancelled != w || k.SID != sid && k.Cancelled != 0 {
			t.Errorf("%+v", k)
		}
	}
	if len(n.known()) != 6 {
		t.Errorf("%d are known", len(n.known()))
	}
}
