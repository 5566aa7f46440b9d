package filter

import "testing"

// udpOnly opens a port of UDP to the laptop, both families.
const udpOnly = `{"allow": [{"from": ["laptop"], "to": ["self"], "ports": ["9/udp"]}]}`

func TestFragments(t *testing.T) {
	part := make([]byte, 16)
	body := udpBody(1, 9, 8)
	f6 := func(id uint32, at int, more bool, b []byte) []byte { return frag6(lap6, self6, UDP, id, at, more, b) }
	f4 := func(id uint16, at int, more bool, b []byte) []byte { return frag4(lap4, self4, UDP, id, at, more, b) }
	b := newBed(t, udpOnly, world())
	b.run(
		step{"the first", true, f6(1, 0, true, body), true},
		step{"the second", true, f6(1, 16, true, part), true},
		step{"the second again", true, f6(1, 16, true, part), false},
		step{"the last", true, f6(1, 32, false, part[:3]), true},
		step{"a later one of another", true, f6(2, 16, false, part), false},
		step{"a first to a closed port", true, f6(3, 0, true, udpBody(1, 10, 8)), false},
		step{"what follows it", true, f6(3, 16, false, part), false},
		step{"another first", true, f6(4, 0, true, body), true},
		step{"one over it", true, f6(4, 8, true, part), false},
		step{"what follows", true, f6(4, 24, false, part), false},
		step{"a tiny first", true, f6(5, 0, true, body[:8]), true}, // UDP's whole header
		step{"a tiny first of TCP", true, frag6(lap6, self6, TCP, 6, 0, true, tcpSegment(1, 9, tcpSYN)[:16]), false},
		step{"one within TCP's header", true, frag6(lap6, self6, TCP, 6, 8, false, part), false},
		step{"odd bytes in the middle", true, f6(7, 0, true, udpBody(1, 9, 7)), false},
		step{"past the end", true, f6(8, 65528, true, part), false},
		step{"alone in its fragment", true, f6(9, 0, false, body), true},
		step{"over IPv4", true, f4(1, 0, true, body), true},
		step{"the last", true, f4(1, 16, false, part), true},
		step{"the number again", true, f4(1, 0, true, body), true},
		step{"the wrong way", false, frag4(self4, lap4, UDP, 1, 16, false, part), false},
		step{"an end before what was seen", true, f4(1, 32, true, part), true},
		step{"such an end", true, f4(1, 16, false, part[:8]), false},
	)
	b.run(step{"a first", true, f6(20, 0, true, body), true})
	b.set(`{"allow": []}`, world(), false)
	b.run(step{"what follows under other rules", true, f6(20, 16, false, part), false})
	b.set(udpOnly, world(), false)
	for i := range uint32(3 * fragsMost) {
		b.run(step{"many", true, f6(100+i, 0, true, body), true})
	}
	if n := len(b.frags.list); n > fragsShare+8 {
		t.Errorf("one sender has %d datagrams under way", n)
	}
	b.run(
		step{"the latest of many", true, f6(100+3*fragsMost-1, 16, false, part), true},
		step{"the earliest of many", true, f6(100, 16, false, part), false},
	)
}

func TestExtensionHeaders(t *testing.T) {
	u := udpBody(1, 9, 4)
	ext := func(next uint8, units int) []byte {
		h := make([]byte, 8+8*units)
		h[0], h[1] = next, byte(units)
		return h
	}
	b := newBed(t, udpOnly, world())
	routed := ext(UDP, 0)
	routed[3] = 1
	many := u
	next := uint8(UDP)
	for range extsMost + 1 {
		many = append(ext(next, 0), many...)
		next = extDest
	}
	for _, s := range []step{
		{"hop by hop", true, ip6(lap6, self6, extHop, append(ext(UDP, 0), u...)), true},
		{"destination options", true, ip6(lap6, self6, extDest, append(ext(UDP, 2), u...)), true},
		{"a closed port behind", true, ip6(lap6, self6, extDest, append(ext(UDP, 0), udpBody(1, 10, 0)...)), false},
		{"hop by hop, not first", true, ip6(lap6, self6, extDest, append(ext(extHop, 0), append(ext(UDP, 0), u...)...)), false},
		{"a spent route", true, ip6(lap6, self6, extRoute, append(ext(UDP, 0), u...)), true},
		{"a route", true, ip6(lap6, self6, extRoute, append(routed, u...)), false},
		{"too long a header", true, ip6(lap6, self6, extDest, ext(UDP, 0)[:4]), false},
		{"longer than the packet", true, ip6(lap6, self6, extDest, set(append(ext(UDP, 0), u...), 1, 9)), false},
		{"too many", true, ip6(lap6, self6, extDest, many), false},
		{"a fragment in a fragment", true, frag6(lap6, self6, extFrag, 1, 0, true, append(ext(UDP, 0), u[:8]...)), false},
		{"IPv4's ICMP in IPv6", true, ip6(lap6, self6, ICMP, set(make([]byte, 8), 0, 8)), false},
		{"a mapped address", true, ip6(ad("::ffff:1.2.3.4"), self6, UDP, u), false},
		{"IPv4 with a source route", true, optioned(131), false},
		{"IPv4 with a timestamp", true, optioned(68), true},
		{"IPv4 with a broken option", true, set(optioned(68), 21, 1), false},
		{"IPv4, too short a header", true, set(udp(lap4, self4, 1, 9), 0, 0x44), false},
		{"IPv4, TTL 0", true, set(udp(lap4, self4, 1, 9), 8, 0), false},
		{"IPv4, longer than it is", true, set(udp(lap4, self4, 1, 9), 3, 200), false},
		{"version 5", true, set(udp(lap4, self4, 1, 9), 0, 0x55), false},
	} {
		b.run(s)
	}
}

// optioned is a datagram with one option of eight bytes.
func optioned(kind byte) []byte {
	b := udp(lap4, self4, 1, 9)
	o := append(append(append([]byte(nil), b[:20]...), kind, 7, 5, 0, 0, 0, 0, 0), b[20:]...)
	o[0], o[3] = 0x47, byte(len(o))
	return o
}

func TestErrors(t *testing.T) {
	b := newBed(t, udpOnly, world())
	in := udp(lap6, self6, 1, 9)
	b.run(
		step{"a datagram", true, in, true},
		step{"port unreachable", false, icmp(self6, lap6, 1, 0, in), true},
		step{"cut short, as routers do", false, icmp(self6, lap6, 1, 0, in[:48]), true},
		step{"too short to tell", false, icmp(self6, lap6, 1, 0, in[:44]), false},
		step{"about another", false, icmp(self6, lap6, 1, 0, udp(lap6, self6, 2, 9)), false},
		step{"to another", false, icmp(self6, nas6, 1, 0, in), false},
		step{"about our answer", true, icmp(lap6, self6, 1, 0, udp(self6, lap6, 9, 1)), true},
		step{"about the wrong way", true, icmp(lap6, self6, 1, 0, in), false},
		step{"about an error", true, icmp(lap6, self6, 1, 0, icmp(self6, lap6, 1, 0, in)), false},
		step{"IPv4's quench", true, icmp(lap4, self4, 4, 0, udp(self4, lap4, 9, 1)), false},
	)
}

func FuzzPacket(f *testing.F) {
	in := udp(lap6, self6, 1, 9)
	for _, p := range [][]byte{
		in, udp(lap4, self4, 1, 9), tcp(lap6, self6, 1, 9, tcpSYN), icmp(lap6, self6, 2, 0, in), optioned(131),
		frag6(lap6, self6, UDP, 1, 0, true, udpBody(1, 9, 8)), frag4(lap4, self4, UDP, 1, 16, false, make([]byte, 8)),
		ip6(lap6, self6, extHop, append([]byte{UDP, 0, 0, 0, 0, 0, 0, 0}, udpBody(1, 9, 0)...)),
	} {
		f.Add(p, true)
		f.Add(p, false)
	}
	f.Fuzz(func(t *testing.T, p []byte, in bool) {
		b := newBed(t, udpOnly, world())
		if !b.judge(p, in, 1) {
			return
		}
		// Alone, nothing passes but what the one rule opens.
		var q packet
		if !in || !parse(p, &q) || (q.src != lap6 && q.src != lap4) || (q.dst != self6 && q.dst != self4) || q.proto != UDP || q.dport != 9 {
			t.Fatalf("%x passes", p)
		}
	})
}
