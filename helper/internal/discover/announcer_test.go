package discover

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp/udptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ear collects what a group hears.
type ear struct {
	mu    sync.Mutex
	heard []Heard
}

func (e *ear) handle(h Heard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, h)
}

func (e *ear) take() (out []Heard) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out, e.heard = e.heard, nil
	return out
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// announcer starts one on a host of the fake network.
func announcer(t *testing.T, m Multicast) *Announcer {
	t.Helper()
	a := New(m, quiet())
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

var compare = cmp.Options{cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

func TestHeardWithinOneQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		lan := n.Segment("lan")
		ha, hb := n.Host("a"), n.Host("b")
		ha.Attach(lan, netip.MustParsePrefix("192.0.2.1/24"))
		hb.Attach(lan, netip.MustParsePrefix("192.0.2.2/24"))
		secret := [32]byte{1}
		var ea, eb, stranger ear
		a, b := announcer(t, ha.Multicast()), announcer(t, hb.Multicast())
		b.Set(hb.Interfaces(), []Group{
			{Secret: [32]byte{9}, ID: [8]byte{9}, Handle: stranger.handle},
			{Secret: secret, ID: [8]byte{2}, Handle: eb.handle},
		})
		a.Set(ha.Interfaces(), []Group{{Secret: secret, Speak: true, Port: 20777, ID: [8]byte{1}, Handle: ea.handle}})
		synctest.Wait()
		want := []Heard{
			{netip.MustParseAddrPort("[fe80::3%4]:20777"), [8]byte{1}, true},
			{netip.MustParseAddrPort("192.0.2.1:20777"), [8]byte{1}, true},
		}
		// Indexes: two loopbacks, then one interface each.
		if d := cmp.Diff(want, eb.take(), compare); d != "" {
			t.Error(d)
		}
		if got := ea.take(); got != nil {
			t.Errorf("the speaker heard itself: %v", got)
		}
		if got := stranger.take(); got != nil {
			t.Errorf("heard under another secret: %v", got)
		}
	})
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		lan := n.Segment("lan")
		h := n.Host("a")
		h.Attach(lan)
		var mu sync.Mutex
		var at []time.Duration
		start := time.Now()
		lan.SetFilter(func(udptest.Datagram) bool {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start))
			return true
		})
		// during is when announcements went out since the latest call.
		during := func(d time.Duration) (out []time.Duration) {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			out, at, start = at, nil, time.Now()
			return out
		}
		a := announcer(t, h.Multicast())
		group := Group{Secret: [32]byte{1}, Speak: true, Port: 1, Handle: func(Heard) {}}
		a.Set(h.Interfaces(), []Group{group})
		a.Query() // as every start does; no second burst comes of it
		if d := cmp.Diff(burst[:], during(5*time.Second)); d != "" {
			t.Errorf("burst: %s", d)
		}
		if got := during(10 * time.Minute); len(got) < 8 || len(got) > 12 {
			t.Errorf("announcements in ten minutes: %v", got)
		}
		a.Query()
		if d := cmp.Diff(burst[:], during(5*time.Second)); d != "" {
			t.Errorf("another burst: %s", d)
		}
		a.Set(h.Interfaces(), []Group{group})
		if got := during(time.Second); len(got) != 0 {
			t.Errorf("setting the same again announced: %v", got)
		}
		h.Attach(lan, netip.MustParsePrefix("2001:db8::1/64"))
		a.Set(h.Interfaces(), []Group{group})
		if d := cmp.Diff(burst[:], during(5*time.Second)); d != "" {
			t.Errorf("a new address: %s", d)
		}
		a.Set(nil, nil)
		if got := during(time.Hour); len(got) != 0 {
			t.Errorf("after the zero Set: %v", got)
		}
	})
}

func TestOldEpochIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		lan := n.Segment("lan")
		ha, hb := n.Host("a"), n.Host("b")
		ha.Attach(lan)
		hb.Attach(lan)
		old, now := [32]byte{1}, [32]byte{2}
		var ea, eb ear
		a, b := announcer(t, ha.Multicast()), announcer(t, hb.Multicast())
		a.Set(ha.Interfaces(), []Group{
			{Secret: now, Speak: true, Port: 1, ID: [8]byte{1}, Handle: ea.handle},
			{Secret: old, Port: 1, ID: [8]byte{1}, Handle: ea.handle},
		})
		b.Set(hb.Interfaces(), []Group{{Secret: old, Speak: true, Port: 2, ID: [8]byte{2}, Handle: eb.handle}})
		synctest.Wait()
		if got := ea.take(); len(got) != 1 || got[0].ID != [8]byte{2} {
			t.Errorf("heard %v under the old epoch", got)
		}
		if got := eb.take(); got != nil {
			t.Errorf("who lacks the new epoch heard %v", got)
		}
	})
}

// TestNothingToLink looks at what an outsider records.
func TestNothingToLink(t *testing.T) {
	s := newSecret([32]byte{7})
	c := content{20777, [8]byte{'i', 'd', 'e', 'n', 't', 'i', 't', 'y'}, true}
	seen := map[string]bool{}
	for range 1000 {
		b := s.seal(c)
		if len(b) != size || bytes.Contains(b, c.id[:]) {
			t.Fatalf("announcement %x", b)
		}
		for at := 1; at+8 <= len(b); at += 8 {
			if piece := string(b[at : at+8]); seen[piece] {
				t.Fatalf("bytes %x occur twice", piece)
			} else {
				seen[piece] = true
			}
		}
	}
}

func TestReplaysAndFloodsCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		lan := n.Segment("lan")
		h := n.Host("a")
		h.Attach(lan)
		var e ear
		a := announcer(t, h.Multicast())
		raw := [32]byte{1}
		a.Set(h.Interfaces(), []Group{{Secret: raw, Port: 1, ID: [8]byte{1}, Handle: e.handle}})
		group := netip.MustParseAddrPort("[ff02::1]:1")
		flood := func(count int, from func(i int) netip.Addr, payload func() []byte) int {
			for i := range count {
				lan.Inject(udptest.Datagram{From: netip.AddrPortFrom(from(i), 1), To: group, Payload: payload()})
				if i%100 == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			return len(e.take())
		}
		one := func(int) netip.Addr { return netip.MustParseAddr("2001:db8::1") }
		many := func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0: 0x20, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		}
		secret := newSecret(raw)
		fresh := func() []byte { return secret.seal(content{port: 2, id: [8]byte{2}}) }
		recorded := fresh()
		if got := flood(1000, one, func() []byte { return recorded }); got != 1 {
			t.Errorf("one announcement, replayed: heard %d times", got)
		}
		if got := flood(1000, one, fresh); got != sourceBurst-1 {
			t.Errorf("one source: heard %d times", got)
		}
		time.Sleep(time.Minute)
		if got := flood(5000, many, fresh); got != totalBurst {
			t.Errorf("many sources: heard %d times", got)
		}
		if got := len(a.limit.sources); got > maxSources {
			t.Errorf("%d sources are remembered", got)
		}
		time.Sleep(time.Minute)
		if got := flood(1, one, fresh); got != 1 {
			t.Errorf("after the flood: heard %d times", got)
		}
	})
}

// broken is a Multicast that fails to order.
type broken struct {
	Multicast
	mu         sync.Mutex
	join, send error
}

func (b *broken) set(join, send error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.join, b.send = join, send
}

func (b *broken) Join(i []netmon.Interface) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.join, b.Multicast.Join(i))
}

func (b *broken) Send(p []byte, ifindex int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.send, b.Multicast.Send(p, ifindex))
}

func TestProblemsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		h := n.Host("a")
		h.Attach(n.Segment("lan"))
		var log bytes.Buffer
		m := &broken{Multicast: h.Multicast()}
		a := New(m, slog.New(slog.NewTextHandler(&log, nil)))
		defer a.Close()
		groups := []Group{{Secret: [32]byte{1}, Speak: true, Port: 1, Handle: func(Heard) {}}}
		m.set(errors.New("no membership"), errors.New("not permitted"))
		a.Set(h.Interfaces(), groups)
		a.Set(h.Interfaces(), groups)
		time.Sleep(10 * time.Second)
		if got := a.Problems(); len(got) != 2 || !strings.Contains(got[1].Error(), "lan2: not permitted") {
			t.Errorf("problems: %v", got)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 {
			t.Errorf("logged %d lines: %s", lines, &log)
		}
		m.set(nil, errors.New("not permitted"))
		a.Set(h.Interfaces(), groups)
		if got := a.Problems(); len(got) != 1 {
			t.Errorf("problems once joined: %v", got)
		}
		a.Set(nil, groups)
		if got := a.Problems(); got != nil {
			t.Errorf("problems without interfaces: %v", got)
		}
	})
}

func TestWhereAnnouncementsGo(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}
	tests := []struct {
		name string
		i    netmon.Interface
		want bool
	}{
		{"ethernet", netmon.Interface{Up: true, Multicast: true, Prefixes: prefixes}, true},
		{"down", netmon.Interface{Multicast: true, Prefixes: prefixes}, false},
		{"loopback", netmon.Interface{Up: true, Multicast: true, Loopback: true, Prefixes: prefixes}, false},
		{"no multicast", netmon.Interface{Up: true, PointToPoint: true, Prefixes: prefixes}, false},
		{"point-to-point with multicast", netmon.Interface{Up: true, Multicast: true, PointToPoint: true, Prefixes: prefixes}, true},
		{"no address", netmon.Interface{Up: true, Multicast: true}, false},
	}
	for _, tt := range tests {
		if got := carries(tt.i); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestGroupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := announcer(t, udptest.NewNet().Host("a").Multicast())
		groups := make([]Group, 2*maxGroups)
		for i := range groups {
			groups[i] = Group{Secret: [32]byte{byte(i), byte(i >> 8)}, Speak: i >= maxGroups}
		}
		a.Set(nil, groups)
		if len(a.groups) != maxGroups || !a.groups[maxGroups-1].Speak {
			t.Errorf("%d groups", len(a.groups))
		}
	})
}
