package simnet

import (
	"sync"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestPathIdle: what a member's home sends and hears while nobody talks. A
// neighbour and a relay, a neighbour too, keep NAT mappings and sessions; on the
// LAN there is an announcement a minute, by each family.
func TestPathIdle(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		_, a, _, home := homes(t, n)
		time.Sleep(5 * time.Minute)
		var mu sync.Mutex
		packets, bytes, peer, groups := 0, 0, 0, 0
		home.Access.SetFilter(func(d udptest.Datagram) bool {
			mu.Lock()
			defer mu.Unlock()
			packets++
			bytes += len(d.Payload)
			return true
		})
		far, _ := a.Peer("b")
		n.udp.SetTap(func(host string, d udptest.Datagram) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case host != "a":
			case d.To.Addr().IsMulticast():
				groups++
			case d.To == *far.Endpoint:
				peer++
			}
		})
		const minutes = 30
		time.Sleep(minutes * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		t.Logf("%d packets a minute, %d bytes a second; to b %.1f a minute, to groups %.1f", packets/minutes, bytes/minutes/60, float64(peer)/minutes, float64(groups)/minutes)
		if packets > minutes*45 || bytes > minutes*60*140 {
			t.Errorf("%d packets and %d bytes in %d minutes", packets, bytes, minutes)
		}
		// A keep-alive of the session's each 20 s, and the answer to b's.
		if peer > minutes*7 {
			t.Errorf("%d packets to the neighbour in %d minutes", peer, minutes)
		}
		if groups > 2*(minutes+3) {
			t.Errorf("%d announcements in %d minutes", groups, minutes)
		}
	})
}
