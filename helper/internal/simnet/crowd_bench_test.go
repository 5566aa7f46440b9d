//go:build bench

package simnet

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// joinAtOnce is how many join by one link at the same time.
const joinAtOnce = 50

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
		hosts, wave := []*Host{s}, []*Host{}
		link := s.Invite("", 0)
		var home *Site
		var bytes, sent atomic.Int64
		n.udp.SetTap(func(_ string, d udptest.Datagram) {
			sent.Add(1)
			bytes.Add(int64(len(d.Payload)))
		})
		began := time.Now()
		for i := range members - 1 {
			if i%10 == 0 {
				home = n.Home(fmt.Sprint("home", i))
			}
			wave = append(wave, n.Host(fmt.Sprint("h", i), home.LAN))
			if len(wave) == joinAtOnce || i == members-2 {
				joinAll(t, link, wave...)
				hosts, wave = append(hosts, wave...), nil
			}
		}
		joined := time.Since(began)
		settled := agree(t, time.Minute, hosts...)
		first := sent.Load()
		time.Sleep(2 * time.Minute)
		bytes.Store(0)
		const long = time.Minute
		time.Sleep(long)
		each := float64(bytes.Load()) / long.Seconds() / float64(members)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Printf("%d engines: joined %d at a time in %v, agreed %v later, %d datagrams each until then, then %.0f bytes a second each (budget 1,000); %d MiB of heap\n",
			members, joinAtOnce, joined, settled, first/int64(members), each, m.HeapInuse>>20)
		if each > 1000 {
			t.Errorf("a device sends %.0f bytes a second", each)
		}
	})
}
