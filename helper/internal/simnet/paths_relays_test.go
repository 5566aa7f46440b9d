package simnet

import (
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
)

// TestPath23TwoRelays: the relay in use is killed, and the other takes over.
func TestPath23TwoRelays(t *testing.T) {
	for _, nat := range []struct {
		name string
		kind udptest.NAT
		only []uint16
	}{
		{"over UDP", udptest.Symmetric, nil},
		{"over TLS", udptest.Masquerade, []uint16{443}},
	} {
		t.Run(nat.name, func(t *testing.T) {
			for victim := range 2 {
				row(t, func(t *testing.T, n *Net) {
					s1, s2 := n.Server("s1"), n.Server("s2")
					a, b := behind("a", nat.kind)(n), behind("b", nat.kind)(n)
					if nat.only != nil {
						a, b = filtered(n, "c", nat.only...), filtered(n, "d", nat.only...)
					}
					s1.Start()
					phrase := s1.Create("home")
					relayOn(t, s1)
					join(t, s1, s2)
					recoverOwner(t, s2, phrase)
					relayOn(t, s2)
					join(t, s1, a, b)
					time.Sleep(30 * time.Second)
					onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
					during(t, a, b, time.Second, func() { []*Host{s1, s2}[victim].Kill() })
					onPath(t, a, b, time.Second, ipc.PathRelayed)
				})
			}
		})
	}
}
