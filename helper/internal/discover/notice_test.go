package discover

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestNotices: what is said in clear is heard by devices that are in no group,
// again and again until it is not said any more.
func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		lan := n.Segment("lan")
		var mu sync.Mutex
		var heard []HeardNotice
		start := func(name string) (*Announcer, []netmon.Interface) {
			h := n.Host(name)
			h.Attach(lan)
			a := announcer(t, h.Multicast())
			a.Set(h.Interfaces(), nil)
			return a, h.Interfaces()
		}
		a, ifaces := start("a")
		b, _ := start("b")
		b.HearNotices(func(h HeardNotice) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, h)
		})
		take := func() (out []HeardNotice) {
			mu.Lock()
			defer mu.Unlock()
			out, heard = heard, nil
			return out
		}
		say := func() []byte { return []byte("hello") }
		a.SetNotices([]Notice{{say}, {func() []byte { return nil }}, {func() []byte { return make([]byte, MaxNotice+1) }}})
		time.Sleep(100 * time.Millisecond)
		got := take()
		if len(got) != 1 || string(got[0].Body) != "hello" || !got[0].From.IsLinkLocalUnicast() {
			t.Fatalf("at once: %v", got)
		}
		time.Sleep(time.Minute)
		if n := len(take()); n < 12 || n > 32 {
			t.Errorf("said %d times in a minute", n)
		}
		a.Set(ifaces, nil) // no change of the groups ends it
		time.Sleep(10 * time.Second)
		if len(take()) == 0 {
			t.Error("not said any more")
		}
		a.SetNotices(nil)
		time.Sleep(100 * time.Millisecond)
		take()
		a.SayOnce([]byte("bye"))
		a.SayOnce(make([]byte, MaxNotice+1))
		time.Sleep(100 * time.Millisecond)
		if got := take(); len(got) != 1 || string(got[0].Body) != "bye" {
			t.Errorf("once: %v", got)
		}
		time.Sleep(time.Minute)
		if got := take(); len(got) != 0 {
			t.Errorf("taken back, and heard: %v", got)
		}
	})
}

// TestNoticeFlood: who says many things is heard as little as with announcements.
func TestNoticeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := announcer(t, udptest.NewNet().Host("a").Multicast())
		heard := 0
		a.HearNotices(func(HeardNotice) { heard++ })
		from := netip.MustParseAddrPort("[fe80::1]:1")
		for i := range 1000 {
			a.receive(append([]byte{noticeVersion}, bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 100)...), from, 0)
		}
		if heard != sourceBurst {
			t.Errorf("heard %d at once, want %d", heard, sourceBurst)
		}
	})
}
