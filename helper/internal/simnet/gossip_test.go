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
	row(t, func(t *testing.T, n *Net) {
		c := settle(t, n, gossips, func(int) {})
		t.Logf("%d joined in %v and agreed %v later; then a device sends %.0f bytes a second", gossips, c.joined, c.agreed, c.rate)
	})
}

// Each home has so many devices, and so many join by one link at a time, of
// several links: a sponsor answers for 64 that hold one key.
const (
	atHome     = 10
	joinByLink = 50
	joinLinks  = 2
	joinAtOnce = joinByLink * joinLinks
)

// came is how a crowd came to rest.
type came struct {
	joined    time.Duration // the last one
	agreed    time.Duration // after that
	datagrams int64         // until then
	rate      float64       // bytes a second and device, later
}

// settle has a relay found a network and others, each ten of them in a home of
// their own, join it; progress is told how many have. All end up with the same
// records and little to say.
func settle(t *testing.T, n *Net, members int, progress func(joined int)) (c came) {
	t.Helper()
	var bytes, sent atomic.Int64
	n.udp.SetTap(func(_ string, d udptest.Datagram) {
		sent.Add(1)
		bytes.Add(int64(len(d.Payload)))
	})
	s := n.Server("s")
	s.Start()
	s.Create("home")
	relayOn(t, s)
	hosts := []*Host{s}
	var links [joinLinks]string
	for i := range links {
		links[i] = s.Invite("", 0)
	}
	var home *Site
	began := time.Now()
	for len(hosts) < members {
		var wave []*Host
		for len(wave) < joinAtOnce && len(hosts)+len(wave) < members {
			i := len(hosts) + len(wave) - 1
			if i%atHome == 0 {
				home = n.Home(fmt.Sprint("home", i))
			}
			wave = append(wave, n.Host(fmt.Sprint("h", i), home.LAN))
		}
		joinBy(t, links[:], wave)
		hosts = append(hosts, wave...)
		progress(len(hosts))
	}
	c.joined = time.Since(began)
	c.agreed = agree(t, time.Minute, hosts...)
	c.datagrams = sent.Load()
	time.Sleep(3 * time.Minute)
	bytes.Store(0)
	const long = 2 * time.Minute
	time.Sleep(long)
	c.rate = float64(bytes.Load()) / long.Seconds() / float64(members)
	if c.rate > 1000 {
		t.Errorf("a device sends %.0f bytes a second, want less than 1,000", c.rate)
	}
	for _, h := range hosts {
		if st := h.Network(""); len(st.Peers) != members-1 {
			t.Errorf("%s has %d peers, want %d", h.name, len(st.Peers), members-1)
		}
	}
	agree(t, 0, hosts...)
	return c
}
