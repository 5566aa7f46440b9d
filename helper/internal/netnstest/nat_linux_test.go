package netnstest

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// socket is a plain UDP socket on a host.
type socket struct {
	t    testing.TB
	host *Host
	conn *net.UDPConn
	addr netip.AddrPort
}

func bind(t testing.TB, h *Host, addr netip.Addr, port uint16) socket {
	t.Helper()
	s := socket{t: t, host: h, addr: netip.AddrPortFrom(addr, port)}
	var err error
	h.Do(func() { s.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.addr)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	return s
}

func (s socket) send(to socket, word string) { s.sendTo(to.addr, word) }

func (s socket) sendTo(to netip.AddrPort, word string) {
	s.t.Helper()
	if _, err := s.conn.WriteToUDPAddrPort([]byte(word), to); err != nil {
		s.t.Logf("send %s to %v: %v", word, to, err) // what a router answered before
	}
}

// until reads to a word and tells where that came from and whether another
// word came before it.
func (s socket) until(word, before string) (from netip.AddrPort, came bool) {
	s.t.Helper()
	from, n := s.read(word, before)
	return from, n > 0
}

// read reads to a word and tells where that came from and how often another
// word came before it.
func (s socket) read(word, before string) (from netip.AddrPort, times int) {
	s.t.Helper()
	buf := make([]byte, 64)
	s.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			s.t.Fatalf("%v waits for %q: %v", s.addr, word, err)
		}
		if string(buf[:n]) == word {
			return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), times
		}
		if string(buf[:n]) == before {
			times++
		}
	}
}

// asks is what the other socket sees of s.
func (s socket) asks(other socket) netip.AddrPort {
	s.t.Helper()
	s.send(other, "ask")
	from, _ := other.until("ask", "")
	return from
}

// behaviour is how a NAT treats UDP, in the terms of RFC 4787.
type behaviour struct {
	Translates     bool // the source's address
	KeepsPort      bool
	MapsByAddress  bool // another mapping for another address
	MapsByPort     bool // another mapping for another port
	LetsInByPort   bool // from another port of an address that was asked
	LetsInAll      bool // from an address that was not asked
	Hairpins       bool
	ExternalSource bool // of what was turned round
	StrangerShifts bool // a datagram that came too early costs the mapping its port
}

// behold finds out what is between inside and the internet. twin is another
// host behind the same NAT, public are two hosts with three ports each.
func behold(inside, twin socket, public [2][3]socket) (b behaviour) {
	inside.t.Helper()
	asked := public[0][0]
	mapped := inside.asks(asked)
	b.Translates = mapped.Addr() != inside.addr.Addr()
	b.KeepsPort = mapped.Port() == inside.addr.Port()
	// Whether others are let in is asked before they are asked. The one that was
	// asked speaks last, so that nothing needs to be waited for.
	// Two from different hosts may overtake each other: of several one does not.
	try := func(from socket) (came bool) {
		for i := 0; i < 5 && !came; i++ {
			from.sendTo(mapped, "try")
			asked.sendTo(mapped, "end")
			_, came = inside.until("end", "try")
		}
		return came
	}
	b.LetsInByPort = try(public[0][1])
	b.LetsInAll = try(public[1][0])
	b.Hairpins = try(twin)
	if b.Hairpins {
		twin.sendTo(mapped, "again")
		from, _ := inside.until("again", "")
		b.ExternalSource = from == twin.asks(asked)
	}
	b.MapsByPort = inside.asks(public[0][2]) != mapped
	b.MapsByAddress = inside.asks(public[1][1]) != mapped
	// A port that nothing was sent from, to which a stranger sends first.
	late := bind(twin.t, twin.host, twin.addr.Addr(), twin.addr.Port()+1)
	public[1][0].sendTo(netip.AddrPortFrom(mapped.Addr(), late.addr.Port()), "early")
	b.StrangerShifts = b.KeepsPort && late.asks(public[1][0]).Port() != late.addr.Port()
	return b
}

// public are two hosts in networks of their own, with three sockets each on
// their addresses of a family: 0 for IPv4, 1 for IPv6.
func public(t testing.TB, b *Bed, internet *Internet, family int) (out [2][3]socket) {
	t.Helper()
	for i := range out {
		h := b.Host(fmt.Sprint("public", i))
		addr := internet.Subnet(fmt.Sprint("net", i)).Join(h, 0)[family]
		for j := range out[i] {
			out[i][j] = bind(t, h, addr, uint16(9000+j))
		}
	}
	return out
}

func TestNetnsNATs(t *testing.T) {
	var (
		home      = behaviour{Translates: true, KeepsPort: true}
		open      = behaviour{Translates: true, KeepsPort: true, StrangerShifts: true}
		symmetric = behaviour{Translates: true, MapsByAddress: true, MapsByPort: true}
		carrier   = behaviour{Translates: true, KeepsPort: true, LetsInByPort: true, LetsInAll: true}
		hairpin   = behaviour{Translates: true, KeepsPort: true, LetsInByPort: true, LetsInAll: true, Hairpins: true, ExternalSource: true}
	)
	for _, c := range []struct {
		name  string
		rules func(external netip.Addr) Rules
		want  behaviour
	}{
		{"home", func(netip.Addr) Rules { return HomeNAT("wan") }, home},
		{"open", func(netip.Addr) Rules { return OpenNAT("wan") }, open},
		{"symmetric", func(netip.Addr) Rules { return SymmetricNAT("wan") }, symmetric},
		{"carrier", func(a netip.Addr) Rules { return CarrierNAT("wan", a, false) }, carrier},
		{"carrier with hairpin", func(a netip.Addr) Rules { return CarrierNAT("wan", a, true) }, hairpin},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New(t)
			internet := b.Internet()
			router := b.Router("router")
			router.Load(c.rules(internet.Subnet("wan").Join(router, 0)[0]))
			var inside [2]socket // a link each, as a carrier's customers have
			for i := range inside {
				h := b.Host(fmt.Sprint("inside", i))
				addrs := router.Subnet(fmt.Sprint("lan", i), fmt.Sprintf("100.64.%d.0/24", i)).Join(h, 0)
				inside[i] = bind(t, h, addrs[0], uint16(7000+100*i))
			}
			if diff := cmp.Diff(c.want, behold(inside[0], inside[1], public(t, b, internet, 0))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A firewall before a network with addresses of its own, of each family.
func TestNetnsFirewall(t *testing.T) {
	for family, prefix := range []string{"198.51.100.0/24", "2001:db8:f::/64"} {
		t.Run(prefix, func(t *testing.T) {
			b := New(t)
			internet := b.Internet()
			router := b.Router("router")
			via := internet.Subnet("wan").Join(router, 0)[family]
			internet.Core.Route(netip.MustParsePrefix(prefix), via)
			router.Load(Firewall("wan"))
			lan := router.Subnet("lan", prefix)
			var inside [2]socket
			for i := range inside {
				h := b.Host(fmt.Sprint("inside", i))
				inside[i] = bind(t, h, lan.Join(h, 0)[0], uint16(7000+100*i))
			}
			// The twin is a neighbour, whom no firewall is before.
			want := behaviour{KeepsPort: true, Hairpins: true, ExternalSource: true}
			if diff := cmp.Diff(want, behold(inside[0], inside[1], public(t, b, internet, family))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
