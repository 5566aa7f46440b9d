package simnet

import (
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestPathIdle: what a member's home sends and hears while nobody talks. Two
// neighbours and a relay keep NAT mappings, sessions and the order of their
// relays.
func TestPathIdle(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		_, _, _, home := homes(t, n)
		time.Sleep(5 * time.Minute)
		var packets, bytes atomic.Int64
		home.Access.SetFilter(func(d udptest.Datagram) bool {
			packets.Add(1)
			bytes.Add(int64(len(d.Payload)))
			return true
		})
		const minutes = 30
		time.Sleep(minutes * time.Minute)
		p, b := packets.Load()/minutes, bytes.Load()/minutes/60
		t.Logf("%d packets a minute, %d bytes a second", p, b)
		if p > 120 || b > 400 {
			t.Errorf("%d packets a minute, %d bytes a second, want 120 and 400 at most", p, b)
		}
	})
}
