package simnet

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestSimGossip: more members than link with all others come to rest: DESIGN's
// budget for gossip is 1 kB a second and device.
func TestSimGossip(t *testing.T) {
	const members = 24
	row(t, func(t *testing.T, n *Net) {
		s := n.Server("s")
		s.Start()
		s.Create("home")
		relayOn(t, s)
		hosts := []*Host{s}
		link := s.Invite("", 0)
		var home *Site
		for i := range members - 1 {
			if i%8 == 0 {
				home = n.Home(fmt.Sprint("home", i))
			}
			h := n.Host(fmt.Sprint("h", i), home.LAN)
			h.Start()
			if err := h.Join(link); err != nil {
				t.Fatalf("%s joins: %v", h.name, err)
			}
			hosts = append(hosts, h)
		}
		agree(t, 10*time.Second, hosts...)
		time.Sleep(3 * time.Minute)
		var bytes, packets atomic.Int64
		n.udp.SetTap(func(_ string, d udptest.Datagram) {
			bytes.Add(int64(len(d.Payload)))
			packets.Add(1)
		})
		const long = 2 * time.Minute
		time.Sleep(long)
		each := func(sum *atomic.Int64) float64 { return float64(sum.Load()) / long.Seconds() / members }
		t.Logf("a device sends %.1f packets and %.0f bytes a second", each(&packets), each(&bytes))
		if each(&bytes) > 1000 {
			t.Errorf("a device sends %.0f bytes a second, want less than 1,000", each(&bytes))
		}
	})
}
