package filter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// crowd is a network of n devices and a policy with rules rules.
func crowd(n, rules int) (*World, *Policy) {
	w := &World{Networks: nets, Self: named(1)}
	for i := range n {
		d := Device{Name: fmt.Sprintf("d%d", i), Admin: i == 0, Tags: []string{fmt.Sprintf("t%d", i%7)}}
		d.Key[1], d.Key[2] = byte(i), byte(i>>8)
		a := nets[0].Addr().As16()
		a[14], a[15] = byte((i+1)>>8), byte(i+1)
		d.Addrs = []netip.Addr{netip.AddrFrom16(a)}
		if i == 0 {
			d.Key = named(1)
		}
		w.Devices = append(w.Devices, d)
	}
	p := &Policy{}
	for i := range rules {
		p.Allow = append(p.Allow, Rule{
			From:  []Selector{{Kind: SelectDevice, Name: fmt.Sprintf("d%d", i%n)}, {Kind: SelectTag, Name: fmt.Sprintf("t%d", i%7)}},
			To:    []Selector{{Kind: SelectDevice, Name: fmt.Sprintf("d%d", i/3%n)}, {Kind: SelectDevice, Name: "d0"}, {Kind: SelectDevice, Name: "d1"}},
			Ports: PortRange(TCP, uint16(10+20*i), uint16(12+20*i)),
		})
	}
	return w, p
}

// naive reads a policy for one packet that begins something, with no index and
// no table: the whole specification.
func naive(p *Policy, w *World, in bool, src, dst netip.Addr, proto uint8, port uint16) bool {
	self := w.self()
	who := func(a netip.Addr) (device *Device, guests []*Guest, known bool) {
		for i := range w.Devices {
			for _, b := range w.Devices[i].Addrs {
				if a == b {
					return &w.Devices[i], nil, true
				}
			}
		}
		for i := range w.Guests {
			if slices.Contains(w.Guests[i].Addrs, a) {
				guests = append(guests, &w.Guests[i])
			}
		}
		return nil, guests, len(guests) > 0 || !w.overlay(a)
	}
	near, far := src, dst
	if in {
		near, far = dst, src
	}
	nd, _, _ := who(near)
	fd, fg, known := who(far)
	switch {
	case !known || fd == self || nd != nil && nd != self || nd == nil && w.overlay(near):
		return false
	case nd == nil && in && !(w.Exit && (w.LAN || Public(near))) && !within(w.Routes, near):
		return false
	case in && fd == nil && len(fg) == 0 && !within(w.Accepted, far):
		return false
	case nd == nil && !in && w.overlay(far) == false: // what is outside talks to the overlay alone
		return false
	case nd == nil && in && within(w.Apart, near):
		return false
	case nd == nil && within(unroutable, near) && in, !in && within(unroutable, dst):
		return false
	}
	allowed := func(from, to subject) bool {
		q := p.opens(&from, &to)
		return q.opens(proto, port)
	}
	ns, stub := outside(near), nd == self
	if nd != nil {
		ns = nd.subject()
	} else if in && slices.Contains(w.Host, near) { // it is this device, by another of its addresses
		if len(fg) > 0 {
			return false
		}
		nd, ns = self, self.subject()
		ns.addrs = append(slices.Clone(ns.addrs), near)
	}
	if len(fg) == 0 {
		fs := outside(far)
		if fd != nil {
			fs = fd.subject()
		}
		names := proto == UDP || proto == TCP
		if in {
			return allowed(fs, ns) || names && port == 53 && fd != nil && stub && self.Exit && somewhere(p, &fs, proto)
		}
		return allowed(ns, fs) || names && port == 53 && fd != nil && nd == self && fd.Exit && somewhere(p, &ns, proto)
	}
	for _, g := range fg {
		limit := g.Ports.union(Echo)
		gs := g.subject()
		switch {
		case in && nd == nil:
			if g.Exit && Public(near) && !within(w.Links, within4(near)) && allowed(gs, ns) {
				return true
			}
		case in:
			if g.In && limit.opens(proto, port) && allowed(gs, ns) || g.Exit && w.Exit && port == 53 && (proto == UDP || proto == TCP) && somewhere(p, &gs, proto) {
				return true
			}
		case nd == self:
			if g.Out && limit.opens(proto, port) && allowed(ns, gs) || g.Names && port == 53 && (proto == UDP || proto == TCP) {
				return true
			}
		}
	}
	return false
}

// somewhere tells whether anything is open on the internet.
func somewhere(p *Policy, u *subject, _ uint8) bool {
	to := outside(anyPublic)
	for i := range p.Allow {
		r := &p.Allow[i]
		byName := false
		for _, s := range r.To {
			byName = byName || s.Kind == SelectAll || s.Kind == SelectInternet
		}
		if byName && !r.Ports.Empty() && anySelects(r.From, u, true) && anySelects(r.To, &to, false) {
			return true
		}
	}
	return false
}

// extended puts extension headers into an IPv6 packet.
func extended(rnd *rand.Rand, b []byte) []byte {
	if b[0]>>4 != 6 {
		return b
	}
	var exts []byte
	next := b[6]
	for range 1 + rnd.IntN(3) {
		h := make([]byte, 8*(1+rnd.IntN(2)))
		h[0], h[1] = next, byte(len(h)/8-1)
		exts = append(h, exts...)
		next = []byte{extDest, extRoute}[rnd.IntN(2)] // no segments are left in it
	}
	if rnd.IntN(2) == 0 {
		h := make([]byte, 8)
		h[0] = next
		exts, next = append(h, exts...), extHop
	}
	return ip6(netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), next, append(exts, b[header6:]...))
}

// halves is a packet in two fragments.
func halves(b []byte, id uint16) (first, second []byte) {
	tail := make([]byte, 8)
	if b[0]>>4 == 4 {
		src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		body := append(b[header4:len(b):len(b)], make([]byte, -len(b[header4:])&7)...)
		return frag4(src, dst, b[9], id, 0, true, body), frag4(src, dst, b[9], id, len(body), false, tail)
	}
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	body := append(b[header6:len(b):len(b)], make([]byte, -len(b[header6:])&7)...)
	return frag6(src, dst, b[6], uint32(id), 0, true, body), frag6(src, dst, b[6], uint32(id), len(body), false, tail)
}

// TestAgreesWithNaive: compiled rules say what the policy says, for random
// policies and packets, whole or in fragments, with IPv6 extension headers or
// none, and for errors about them.
func TestAgreesWithNaive(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	names := func(list ...string) string {
		var out []string
		for range 1 + rnd.IntN(3) {
			out = append(out, `"`+pick(list...)+`"`)
		}
		return strings.Join(out, ", ")
	}
	from := []string{"self", "laptop", "nas", "tag:server", "tag:disk", "guests", "share:abcdefgh", "share:zyxwvuts", "*", "192.168.7.0/24", "100.70.0.0/16", "198.51.100.0/24"}
	to := append([]string{"internet", "10.0.0.0/8", "2001:db8::/32"}, from...)
	addrs := []netip.Addr{self6, self4, lap6, lap4, nas6, guest6, guest4, nobody, web4, web6, lan4, ad("10.2.3.4"), ad("fe80::1"), ad("224.0.0.1")}
	passed := 0
	for round := range 3000 {
		var rules []string
		for range rnd.IntN(6) {
			rules = append(rules, fmt.Sprintf(`{"from": [%s], "to": [%s], "ports": [%s]}`, names(from...), names(to...),
				names("all", "icmp", "80/tcp", "50-90/udp", "53/udp", "1-65535/tcp")))
		}
		text := fmt.Sprintf(`{"allow": [%s]}`, strings.Join(rules, ", "))
		p, w := parsed(t, text), world()
		w.LAN = rnd.IntN(2) == 0
		w.Exit, w.Devices[0].Exit, w.Devices[2].Exit = rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0
		if rnd.IntN(2) == 0 {
			w.Routes = []netip.Prefix{pre("192.168.7.0/24")}
		}
		for _, q := range []string{"192.168.7.0/24", "198.51.100.0/24", "100.70.0.0/15"} {
			if rnd.IntN(2) == 0 {
				w.Accepted = append(w.Accepted, pre(q))
			}
		}
		if rnd.IntN(2) == 0 {
			w.Links = []netip.Prefix{pre("198.51.100.0/24")}
		}
		if rnd.IntN(2) == 0 {
			w.Host = []netip.Addr{web4, web6, lan4}[:1+rnd.IntN(3)]
		}
		if rnd.IntN(2) == 0 {
			w.Apart = []netip.Prefix{pre("10.0.0.0/14")}
		}
		for _, share := range []string{"abcdefghijkl", "zyxwvutsrqpo"} {
			if rnd.IntN(2) == 0 {
				w.Guests = append(w.Guests, Guest{Addrs: []netip.Addr{guest6, guest4}, Share: share, Ports: PortRange(TCP, 80, uint16(80+rnd.IntN(9))), In: rnd.IntN(3) > 0, Out: rnd.IntN(2) == 0, Exit: rnd.IntN(2) == 0, Names: rnd.IntN(2) == 0})
			}
		}
		for range 60 {
			src, dst := addrs[rnd.IntN(len(addrs))], addrs[rnd.IntN(len(addrs))]
			if src.Is4() != dst.Is4() || src == dst {
				continue
			}
			in, port := rnd.IntN(2) == 0, []uint16{53, 80, 81, 88, 90, 7000}[rnd.IntN(6)]
			proto, pkt := uint8(TCP), tcp(src, dst, 999, port, tcpSYN)
			switch rnd.IntN(4) {
			case 0:
				proto, pkt = UDP, udp(src, dst, 999, port)
			case 1:
				proto, pkt = ICMPv6, icmp(src, dst, 128, port, nil)
				if src.Is4() {
					proto, pkt = ICMP, icmp(src, dst, 8, port, nil)
				}
			case 2:
				proto, pkt, port = 47, ip(src, dst, 47, make([]byte, 8)), 0
			}
			f := New()
			f.Set(Compile(p, w, false))
			want := naive(p, w, in, src, dst, proto, port)
			says := func(what string, pkt []byte, in bool) {
				t.Helper()
				if got := f.judge(pkt, in, 1); got != want {
					t.Fatalf("seed %d, round %d: %s, in %v, %s -> %s, %d/%d: passes %v, the policy says %v\n%s\nexit %v routes %v guests %+v",
						seed, round, what, in, src, dst, port, proto, got, want, text, w.Exit, w.Routes, w.Guests)
				}
			}
			switch rnd.IntN(3) {
			case 0:
				says("whole", pkt, in)
			case 1:
				says("behind extension headers", extended(rnd, pkt), in)
			case 2:
				first, second := halves(pkt, uint16(rnd.Uint32()))
				says("the first fragment", first, in)
				says("the second fragment", second, in)
			}
			// Who got it may say that something was wrong with it, and nothing else.
			kind := byte(1 + 2*rnd.IntN(2)) // unreachable, time exceeded
			if dst.Is4() {
				kind = 3 + 8*(kind>>1)
			}
			says("an error about it", icmp(dst, src, kind, 0, pkt), !in)
			if f.judge(icmp(dst, src, kind, 0, udp(src, dst, 998, port)), !in, 1) {
				t.Fatalf("seed %d, round %d: an error about what was never sent passes", seed, round)
			}
			if want {
				passed++
			}
			f.Set(Compile(p, w, true))
			if in && f.judge(pkt, in, 1) {
				t.Fatalf("seed %d: it passes with shields", seed)
			}
		}
	}
	if passed < 1000 {
		t.Errorf("only %d packets pass: the test tests little", passed)
	}
}
