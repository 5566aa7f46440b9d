package portmap

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/osnet/netmon"
)

func TestNonceOutlivesTheProcess(t *testing.T) {
	u := uplink{place: place{2, gwAddr, lanAddr}}
	n := func(seed byte, port uint16) nonce {
		p := &pcp{link: &link{uplink: u}, seed: [32]byte{seed}}
		return p.nonce(port)
	}
	if once, again := n(1, 1), n(1, 1); once != again || once == n(2, 1) || once == n(1, 2) {
		t.Error("nonces are not what they should be")
	}
}

func TestEpoch(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		seconds uint32
		after   time.Duration
		lost    bool
	}{
		{1000, 0, false}, {1300, 5 * time.Minute, false}, {1299, 5 * time.Minute, false}, {1301, 5 * time.Minute, false},
		{999, 0, false}, {998, 0, true}, {0, 5 * time.Minute, true}, {1200, 5 * time.Minute, true}, {9000, 5 * time.Minute, true},
		{1280, 5 * time.Minute, false}, {1000, time.Second, false},
	} {
		e := epoch{1000, now.Round(0)}
		if got := e.note(c.seconds, now.Add(c.after)); got != c.lost {
			t.Errorf("%d after %v: %t", c.seconds, c.after, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	p := netip.MustParsePrefix
	ifaces := []netmon.Interface{
		{Index: 2, Name: "eth0", Up: true, Prefixes: []netip.Prefix{p("172.17.0.1/16"), p("192.168.1.10/24"), p("fe80::10/64"), p("fd00::1/64"), p("2001:db8::1/64"), p("2001:db8::2/64"), p("2001:db8::3/64"), p("2001:db8::4/64")}},
		{Index: 3, Name: "docker0", Up: true, Prefixes: []netip.Prefix{p("172.18.0.1/16")}},
		{Index: 4, Name: "ppp0", Up: true, PointToPoint: true, Prefixes: []netip.Prefix{p("203.0.113.4/32")}},
	}
	for i := range 20 {
		ifaces = append(ifaces, netmon.Interface{Index: 10 + i, Up: true, Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 2}), 24)}})
	}
	def := func(index int, gw string) netmon.Route {
		r := netmon.Route{Prefix: p("0.0.0.0/0"), Index: index, Gateway: netip.MustParseAddr(gw)}
		if r.Gateway.Is6() {
			r.Prefix = p("::/0")
		}
		return r
	}
	var got []string
	for _, u := range places(ifaces, []netmon.Route{def(2, "192.168.1.1"), def(2, "fe80::1"), def(4, "203.0.113.1"), def(3, "172.18.0.1")}) {
		got = append(got, fmt.Sprintf("%v by %v on %d", u.local, u.gateway, u.index))
	}
	want := []string{
		"192.168.1.10 by 192.168.1.1 on 2",
		"2001:db8::1 by fe80::1 on 2", "2001:db8::2 by fe80::1 on 2", "2001:db8::3 by fe80::1 on 2",
		"203.0.113.4 by 203.0.113.1 on 4",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var many []netmon.Route
	for i := range 20 {
		many = append(many, def(10+i, netip.AddrFrom4([4]byte{10, byte(i), 0, 1}).String()))
	}
	if n := len(places(ifaces, many)); n != maxGateways {
		t.Errorf("%d of 20 gateways are asked", n)
	}
}
