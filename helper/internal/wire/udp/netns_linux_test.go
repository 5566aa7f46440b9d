package udp_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/wire/udp"
)

// ends is two hosts on a wire-like LAN with a port open on each.
type ends struct {
	lan   *netnstest.LAN
	bed   *netnstest.Bed
	hosts [2]*netnstest.Host
	conns [2]udp.Conn
}

func newEnds(t *testing.T) *ends {
	t.Helper()
	b := netnstest.New(t)
	e := &ends{bed: b, lan: b.LAN("lan", netnstest.WireLike)}
	prefixes := [2][]netip.Prefix{
		{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.101/24"), netip.MustParsePrefix("2001:db8::1/64")},
		{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")},
	}
	for i, name := range []string{"a", "b"} {
		e.hosts[i] = b.Host(name)
	}
	// Indexes of the same link differ.
	e.hosts[1].Run("ip", "link", "add", "spare", "type", "veth", "peer", "name", "spare2")
	for i, h := range e.hosts {
		h.Attach(e.lan, prefixes[i]...)
		h.Do(func() { e.conns[i] = open(t, udp.Listen) })
		watchdog := time.AfterFunc(20*time.Second, func() { e.conns[i].Close() })
		t.Cleanup(func() { watchdog.Stop() })
	}
	return e
}

// linkLocal is host's address on a link and its interface's index.
func (e *ends) linkLocal(t *testing.T, host int, link string) (netip.Addr, int) {
	t.Helper()
	for _, i := range e.hosts[host].Interfaces() {
		for _, p := range i.Prefixes {
			if i.Name == link && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return p.Addr(), i.Index
			}
		}
	}
	t.Fatal("no link-local address")
	return netip.Addr{}, 0
}

func equalSizes(count, size int) [][]byte {
	bufs := make([][]byte, count)
	for i := range bufs {
		bufs[i] = bytes.Repeat([]byte{byte(i + 1)}, size)
	}
	return bufs
}

// pass sends bufs from host 0 to an address of host 1 and compares.
func (e *ends) pass(t *testing.T, to netip.Addr, bufs [][]byte) {
	t.Helper()
	if err := e.conns[0].WriteBatch(bufs, at(to, e.conns[1]), udp.Source{}); err != nil {
		t.Fatal(err)
	}
	reader := 0
	if to.Is6() {
		reader = 1
	}
	for i, p := range collect(t, e.conns[1].Readers()[reader], len(bufs)) {
		if !bytes.Equal(p.Buf, bufs[i]) {
			t.Fatalf("to %v: datagram %d of %d differs", to, i, len(bufs))
		}
	}
}

var far = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")}

// TestNetnsLinkLocal talks by link-local addresses over two links at once.
func TestNetnsLinkLocal(t *testing.T) {
	e := newEnds(t)
	second := e.bed.LAN("second")
	for _, h := range e.hosts {
		h.Attach(second)
	}
	for _, link := range []string{"lan", "second"} {
		ll0, index0 := e.linkLocal(t, 0, link)
		ll1, index1 := e.linkLocal(t, 1, link)
		if index0 == index1 {
			t.Fatalf("both interfaces have index %d", index0)
		}
		to := at(udp.WithIndex(ll1, index0), e.conns[1])
		if err := e.conns[0].WriteBatch(equalSizes(3, 100), to, udp.Source{}); err != nil {
			t.Fatal(err)
		}
		p := collect(t, e.conns[1].Readers()[1], 3)[2]
		if p.Addr != at(udp.WithIndex(ll0, index1), e.conns[0]) || p.Src != (udp.Source{Addr: ll1, Index: index1}) {
			t.Fatalf("from %v at %v", p.Addr, p.Src)
		}
		if err := e.conns[1].WriteBatch([][]byte{[]byte("answer")}, p.Addr, p.Src); err != nil {
			t.Fatal(err)
		}
		if p := collect(t, e.conns[0].Readers()[1], 1)[0]; p.Addr != to || string(p.Buf) != "answer" {
			t.Fatalf("%q from %v", p.Buf, p.Addr)
		}
	}
}

// TestNetnsStickySource asks the second address of a host, which must answer
// from it, until it has it no longer.
func TestNetnsStickySource(t *testing.T) {
	e := newEnds(t)
	first, second := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.101")
	if err := e.conns[1].WriteBatch([][]byte{{1}}, at(second, e.conns[0]), udp.Source{}); err != nil {
		t.Fatal(err)
	}
	asked := collect(t, e.conns[0].Readers()[0], 1)[0]
	for _, want := range []netip.Addr{second, first} {
		if err := e.conns[0].WriteBatch(equalSizes(3, 500), asked.Addr, asked.Src); err != nil {
			t.Fatal(err)
		}
		for _, p := range collect(t, e.conns[1].Readers()[0], 3) {
			if p.Addr.Addr() != want || len(p.Buf) != 500 {
				t.Errorf("answer of %d bytes from %v, want %v", len(p.Buf), p.Addr, want)
			}
		}
		if want == second {
			e.hosts[0].Run("ip", "addr", "del", "192.0.2.101/24", "dev", "lan")
		}
	}
}

// TestNetnsOffloadRefused turns off what GSO needs of a network card; newer
// kernels then segment themselves.
func TestNetnsOffloadRefused(t *testing.T) {
	e := newEnds(t)
	e.hosts[0].Run("ethtool", "-K", "lan", "tx", "off")
	for _, to := range far {
		for range 3 {
			e.pass(t, to, equalSizes(udp.MaxBatch, 1200))
		}
	}
}

// TestNetnsNarrowPath sends segments that exceed the MTU: they must arrive in
// IP fragments, and narrower ones after them still in one piece.
func TestNetnsNarrowPath(t *testing.T) {
	e := newEnds(t)
	e.hosts[0].Run("ip", "link", "set", "lan", "mtu", "1280")
	for _, to := range far {
		for _, size := range []int{1420, 1232, 1420} {
			e.pass(t, to, equalSizes(40, size))
		}
	}
}

// TestNetnsNewAddress moves a host to another address under an open port.
func TestNetnsNewAddress(t *testing.T) {
	e := newEnds(t)
	e.pass(t, far[0], equalSizes(2, 100))
	e.hosts[0].Run("ip", "addr", "flush", "dev", "lan")
	if err := e.conns[0].WriteBatch(equalSizes(2, 100), at(far[0], e.conns[1]), udp.Source{}); err == nil {
		t.Error("no error without an address")
	}
	e.hosts[0].Run("ip", "addr", "add", "192.0.2.77/24", "dev", "lan")
	e.pass(t, far[0], equalSizes(2, 100))
}

func TestNetnsMark(t *testing.T) {
	e := newEnds(t)
	e.hosts[0].NFT("table inet t { chain output { type filter hook output priority 0; meta l4proto udp meta mark != 0x4b drop; }; }")
	if err := e.conns[0].WriteBatch([][]byte{{1}}, at(far[0], e.conns[1]), udp.Source{}); err == nil {
		t.Error("an unmarked datagram passed")
	}
	if err := e.conns[0].SetMark(0x4b); err != nil {
		t.Fatal(err)
	}
	for _, to := range far {
		e.pass(t, to, equalSizes(3, 100))
	}
}

// TestNetnsOneFamily opens ports where IPv6 is off.
func TestNetnsOneFamily(t *testing.T) {
	b := netnstest.New(t)
	h := b.Host("h")
	h.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
	var c udp.Conn
	var err error
	h.Do(func() { c, err = udp.Listen(0) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !c.Has4() {
		t.Error("no IPv4")
	}
	if err := c.WriteBatch([][]byte{{1}}, netip.MustParseAddrPort("[2001:db8::1]:9"), udp.Source{}); err == nil {
		t.Error("no error of a send without IPv6")
	}
}
