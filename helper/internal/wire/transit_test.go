//go:build !race

// Under the race detector sync.Pool drops a part of what it is given.

package wire

import "testing"

// TestNoAllocationOver: neither passing frames on, nor taking or sending
// packets in frames, allocates.
func TestNoAllocationOver(t *testing.T) {
	const few = batchSize / 20 // pools may be emptied meanwhile
	for _, c := range hopMTUs {
		t.Run(c.name, func(t *testing.T) {
			h := newHop(t, false, c.mtu)
			defer h.stop()
			h.sent.Store(0)
			h.receive()
			if got := h.sent.Load(); got < batchSize {
				t.Fatalf("%d datagrams were passed on", got)
			}
			if n := testing.AllocsPerRun(100, func() { h.receive() }); n > few {
				t.Errorf("%v allocations a batch passed on", n)
			}
			send := h.sendChain()
			if n := testing.AllocsPerRun(100, send); n > few {
				t.Errorf("%v allocations a batch sent", n)
			}

			end := newHop(t, true, c.mtu)
			defer end.stop()
			if got := end.receive(); got != c.frames {
				t.Fatalf("%d packets have come in %d frames", got, c.frames)
			}
			if n := testing.AllocsPerRun(100, func() { end.receive() }); n > few {
				t.Errorf("%v allocations a batch received", n)
			}
		})
	}
}
