package netmon

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/netnstest"
)

// await waits for the watcher to say that ok holds.
func await(t *testing.T, w *Watcher, what string, ok func(State, []Route) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s, err := w.State()
		if err != nil {
			t.Fatal(err)
		}
		r, _ := w.Routes()
		if ok(s, r) {
			return
		}
		select {
		case <-w.Changes():
		case <-timeout:
			t.Fatalf("%s: not seen: %+v, %+v", what, s, r)
		}
	}
}

func find(s State, name string) Interface {
	i := slices.IndexFunc(s.Interfaces, func(i Interface) bool { return i.Name == name })
	if i < 0 {
		return Interface{}
	}
	return s.Interfaces[i]
}

func has(i Interface, prefix string) bool {
	return slices.Contains(i.Prefixes, netip.MustParsePrefix(prefix))
}

func TestNetnsWatch(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		w, err := New()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		steps := []struct {
			do string
			ok func(State, []Route) bool
		}{
			{"ip link add eth0 mtu 1400 type veth peer eth1", func(s State, _ []Route) bool {
				i := find(s, "eth0")
				return i.Index != 0 && !i.Up && i.MTU == 1400 && i.Multicast && !i.PointToPoint
			}},
			{"ip link set eth0 up", func(s State, _ []Route) bool { return !find(s, "eth0").Up }},
			{"ip link set eth1 up", func(s State, _ []Route) bool { return find(s, "eth0").Up }},
			{"ip address add 192.0.2.7/24 dev eth0", func(s State, _ []Route) bool { return has(find(s, "eth0"), "192.0.2.7/24") }},
			{"ip address add 2001:db8::7/64 dev eth0 nodad", func(s State, _ []Route) bool { return has(find(s, "eth0"), "2001:db8::7/64") }},
			{"ip route add default via 192.0.2.1 metric 200", func(s State, _ []Route) bool { return s.Default4 == find(s, "eth0").Index }},
			{"ip -6 route add default via 2001:db8::1", func(s State, _ []Route) bool { return s.Default6 == find(s, "eth0").Index }},
			{"ip address add 198.51.100.7/24 dev eth1; ip route add default via 198.51.100.1 metric 100", func(s State, _ []Route) bool { return s.Default4 == find(s, "eth1").Index }},
			{"ip route replace default via 198.51.100.2 metric 100", func(s State, r []Route) bool {
				return slices.ContainsFunc(r, func(r Route) bool { return r.IsDefault() && r.Gateway == netip.MustParseAddr("198.51.100.2") })
			}},
			{"ip route add 100.64.0.0/10 dev eth1 table 52", func(_ State, r []Route) bool {
				return slices.ContainsFunc(r, func(r Route) bool {
					return r.Prefix == netip.MustParsePrefix("100.64.0.0/10") && r.Table == 52
				})
			}},
			{"ip link set eth1 down", func(s State, _ []Route) bool {
				return !find(s, "eth0").Up && s.Default4 == 0
			}},
			{"ip tuntap add dev tun7 mode tun; ip link set tun7 up", func(s State, _ []Route) bool {
				i := find(s, "tun7")
				return i.PointToPoint && !i.Up
			}},
			{"ip link set lo up", func(s State, _ []Route) bool { i := find(s, "lo"); return i.Loopback && i.Up && has(i, "127.0.0.1/8") }},
			{"ip link del eth0", func(s State, _ []Route) bool { return find(s, "eth0").Index == 0 && find(s, "eth1").Index == 0 }},
		}
		for _, step := range steps {
			netnstest.Sh(t, step.do)
			await(t, w, step.do, step.ok)
		}
	})
}

// TestNetnsFlap loses a carrier and finds it again, faster than the state is
// read: it is told all the same.
func TestNetnsFlap(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		netnstest.Sh(t, "ip link add eth0 type veth peer eth1; ip link set eth0 up; ip link set eth1 up")
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		netnstest.Sh(t, "ip link set eth0 mtu 1400; ip link set eth1 down; ip link set eth1 up")
		kinds := map[Kind]bool{}
		for !kinds[Surely] {
			k, err := s.Wait()
			if err != nil {
				t.Fatal(err)
			}
			kinds[k] = true
		}
		if !kinds[Maybe] {
			t.Errorf("heard %v", kinds)
		}
	})
}

// TestNetnsOverflow has more messages than the socket holds: that is heard,
// and the watcher goes on.
func TestNetnsOverflow(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		netnstest.Sh(t, "ip link add eth0 type veth peer eth1; ip link set eth0 up; ip link set eth1 up")
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		var batch strings.Builder
		for i := range 3000 {
			fmt.Fprintf(&batch, "route add 10.%d.%d.0/24 dev eth0\n", i>>8, i&255)
		}
		file := t.TempDir() + "/batch"
		if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		netnstest.Sh(t, "ip -batch "+file)
		// Of the messages themselves none is as weighty as their loss.
		for heard := 0; ; heard++ {
			k, err := s.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if k == Surely {
				break
			}
			if heard == 3000 {
				t.Fatal("nothing was lost: this test does not test")
			}
		}
		w := Watch(s)
		defer w.Close()
		netnstest.Sh(t, "ip address add 192.0.2.7/24 dev eth0")
		await(t, w, "after the overflow", func(s State, r []Route) bool { return has(find(s, "eth0"), "192.0.2.7/24") && len(r) > 3000 })
	})
}

func TestNetnsTentativeIsNotUsable(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		w, err := New()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		netnstest.Sh(t, "ip link add eth0 type veth peer eth1; ip link set eth0 up; ip link set eth1 up")
		linkLocal := func(s State) bool {
			return slices.ContainsFunc(find(s, "eth0").Prefixes, func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
		}
		await(t, w, "link-local address", func(s State, _ []Route) bool { return linkLocal(s) })
		if out := netnstest.Sh(t, "ip -6 -o address show dev eth0 tentative"); out != "" {
			t.Errorf("told before it could be used: %s", out)
		}
	})
}

// TestNetnsReadIsStable reads twice what did not change.
func TestNetnsReadIsStable(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		netnstest.Sh(t, `ip link set lo up; ip link add eth0 type veth peer eth1; ip link set eth0 up; ip link set eth1 up
			ip address add 192.0.2.9/24 dev eth0; ip address add 192.0.2.7/24 dev eth0
			ip route add 10.0.0.0/8 nexthop via 192.0.2.1 nexthop via 192.0.2.2; ip route add blackhole 10.1.0.0/16`)
		a, ar, err1 := s.Read()
		for err1 == nil && !(find(a, "eth0").Up && find(a, "eth1").Up) {
			if _, err := s.Wait(); err != nil {
				t.Fatal(err)
			}
			a, ar, err1 = s.Read()
		}
		b, br, err2 := s.Read()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		eq := cmp.Options{
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		}
		for i := range a.Interfaces { // a link-local address may have come in between
			a.Interfaces[i].Prefixes, b.Interfaces[i].Prefixes = nil, nil
		}
		if d := cmp.Diff(a, b, eq) + cmp.Diff(ar, br, eq); d != "" {
			t.Errorf("two readings differ:\n%s", d)
		}
		hops := 0
		for _, r := range ar {
			if r.Prefix == netip.MustParsePrefix("10.0.0.0/8") {
				hops++
			}
			if r.Prefix == netip.MustParsePrefix("10.1.0.0/16") {
				t.Errorf("a route that leads nowhere was read: %+v", r)
			}
		}
		if hops != 2 {
			t.Errorf("%d of 2 next hops were read: %+v", hops, ar)
		}
	})
}

func FuzzJudge(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{20, 0, 0, 0, 24, 0}, make([]byte, 40)...))
	f.Add(append([]byte{32, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0}, make([]byte, 40)...))
	f.Add([]byte{255, 255, 255, 255, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &linux{flags: map[int32]uint32{}}
		s.judge(b)
	})
}

func BenchmarkRead(b *testing.B) {
	s, err := open()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Read(); err != nil {
			b.Fatal(err)
		}
	}
}
