package wire

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestSilentToWireGuardLike: a datagram that only looks like WireGuard's has
// nothing sent to where it seems to come from, also while a peer is sought.
func TestSilentToWireGuardLike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seg, a, b := guards(t)
		defer a.end()
		defer b.end()
		b.configure(a)
		b.n.wire.Want(a.n.id(), true)
		stranger := addr("10.0.0.66:666")
		answers := 0
		seg.SetFilter(func(d udptest.Datagram) bool {
			if d.To == stranger {
				answers++
			}
			return true
		})
		for i := range 200 {
			p := make([]byte, []int{4, 32, 64, 92, 148}[i%5])
			p[0] = byte(i%4 + 1)
			seg.Inject(udptest.Datagram{From: stranger, To: addr("10.0.0.2:30000"), Payload: p})
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if answers != 0 {
			t.Errorf("%d datagrams were sent to a stranger", answers)
		}
	})
}
