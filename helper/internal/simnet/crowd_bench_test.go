//go:build bench

package simnet

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestBenchCrowd has many engines, KITH_CROWD or 100, join in one process and
// come to rest: DESIGN's budget for gossip is 1 kB a second and device.
func TestBenchCrowd(t *testing.T) {
	members := 100
	if s := os.Getenv("KITH_CROWD"); s != "" {
		var err error
		if members, err = strconv.Atoi(s); err != nil || members < 2 {
			t.Fatalf("KITH_CROWD is %q", s)
		}
	}
	row(t, func(t *testing.T, n *Net) {
		s := n.Server("s")
		s.Start()
		s.Create("home")
		relayOn(t, s)
		hosts := []*Host{s}
		link := s.Invite("", 0)
		var home *Site
		began := time.Now()
		for i := range members - 1 {
			if i%10 == 0 {
				home = n.Home(fmt.Sprint("home", i))
			}
			h := n.Host(fmt.Sprint("h", i), home.LAN)
			h.Start()
			if err := h.Join(link); err != nil {
				t.Fatalf("%s joins: %v", h.name, err)
			}
			hosts = append(hosts, h)
		}
		joined := time.Since(began)
		settled := agree(t, time.Minute, hosts...)
		time.Sleep(2 * time.Minute)
		var bytes atomic.Int64
		n.udp.SetTap(func(_ string, d udptest.Datagram) { bytes.Add(int64(len(d.Payload))) })
		const long = time.Minute
		time.Sleep(long)
		each := float64(bytes.Load()) / long.Seconds() / float64(members)
		fmt.Printf("%d engines: joined one after another in %v, agreed %v later, then %.0f bytes a second each (budget 1,000)\n", members, joined, settled, each)
		if each > 1000 {
			t.Errorf("a device sends %.0f bytes a second", each)
		}
	})
}
