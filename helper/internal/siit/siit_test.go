package siit

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	self4  = netip.MustParseAddr("100.80.1.2") // the guest's, here
	self6  = netip.MustParseAddr("fd11:2233:4455::9")
	nas4   = netip.MustParseAddr("100.80.3.4") // the shared device, here
	there4 = netip.MustParseAddr("100.70.0.1") // and there
	guest4 = netip.MustParseAddr("100.70.200.7")
	web4   = netip.MustParseAddr("198.51.100.7")
	// The two ends' tables.
	near = NewTable([]Pair{{self4, self6}, {nas4, Embed(there4)}})
	far  = NewTable([]Pair{{guest4, self6}})
)

func pseudo(src, dst netip.Addr, proto byte, n int) []byte {
	b := slices.Concat(src.AsSlice(), dst.AsSlice())
	if src.Is4() {
		return append(b, 0, proto, byte(n>>8), byte(n))
	}
	return append(b, 0, 0, byte(n>>8), byte(n), 0, 0, 0, proto)
}

// seal writes the transport's checksum, as the RFCs define it.
func seal(src, dst netip.Addr, proto byte, seg []byte) []byte {
	at := map[byte]int{tcp: 16, udp: 6, icmp4: 2, icmp6: 2}[proto]
	if at == 0 {
		return seg
	}
	binary.BigEndian.PutUint16(seg[at:], 0)
	s := uint32(0)
	if proto != icmp4 {
		s = sum(0, pseudo(src, dst, proto, len(seg)))
	}
	c := ^uint16(sum(s, seg))
	if proto == udp && c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(seg[at:], c)
	return seg
}

// sealed tells whether the checksums of a whole packet are right.
func sealed(p []byte) bool {
	if p[0]>>4 == 4 {
		ihl := int(p[0]&15) * 4
		if sum(0, p[:ihl]) != 0xffff {
			return false
		}
		seg := p[ihl:]
		src, dst := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
		return bytes.Equal(seg, seal(src, dst, p[9], slices.Clone(seg)))
	}
	u, ok := findUpper(p)
	seg := p[u.at:]
	src, dst := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	return ok && bytes.Equal(seg, seal(src, dst, u.proto, slices.Clone(seg)))
}

// v4 is a whole IPv4 packet, sealed.
func v4(src, dst netip.Addr, proto byte, seg []byte) []byte {
	h := make([]byte, head4)
	h[0], h[8], h[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(h[2:], uint16(head4+len(seg)))
	if head4+len(seg) > 1260 {
		h[6] = 0x40
	}
	copy(h[12:], src.AsSlice())
	copy(h[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum(0, h)))
	return append(h, seal(src, dst, proto, slices.Clone(seg))...)
}

// v6 likewise.
func v6(src, dst netip.Addr, proto byte, seg []byte) []byte {
	h := make([]byte, head6)
	h[0], h[6], h[7] = 6<<4, proto, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(seg)))
	copy(h[8:], src.AsSlice())
	copy(h[24:], dst.AsSlice())
	return append(h, seal(src, dst, proto, slices.Clone(seg))...)
}

// segment is a random one that both families have.
func segment(r *rand.Rand, proto byte) []byte {
	b := make([]byte, 20+r.IntN(1300))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch proto {
	case tcp:
		b[12] = 5 << 4
	case udp:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	case icmp4:
		b[0], b[1] = []byte{0, 8}[r.IntN(2)], 0
	}
	return b
}

// TestThere is what both ends make of a packet: the same again, with the other
// end's addresses, and right checksums on all its way.
func TestThere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		proto := []byte{tcp, udp, icmp4, 47}[r.IntN(4)]
		seg := segment(r, proto)
		dst, want := nas4, there4
		if r.IntN(2) == 0 {
			dst, want = web4, web4
		}
		p := v4(self4, dst, proto, seg)
		mid := near.Six(nil, p)
		if mid == nil || !sealed(mid) || !far.involves(mid) {
			t.Fatalf("in the tunnel: %x of %x", mid, p)
		}
		if got, want := far.Four(nil, mid, 0), v4(guest4, want, proto, seg); !bytes.Equal(got, want) {
			t.Fatalf("there: %x, want %x", got, want)
		}
		back := v4(want, guest4, proto, seg)
		if got, want := near.Four(nil, far.Six(nil, back), 0), v4(dst, self4, proto, seg); !bytes.Equal(got, want) {
			t.Fatalf("back: %x, want %x", got, want)
		}
		// What was damaged stays so.
		if p[head4+8] ^= 1; proto != 47 && sealed(near.Six(nil, p)) {
			t.Fatal("a damaged packet was mended")
		}
	}
}

// TestRefused is what is not translated.
func TestRefused(t *testing.T) {
	edit := func(p []byte, fn func([]byte)) []byte { p = slices.Clone(p); fn(p); return p }
	seg := func(proto byte) []byte { return segment(rand.New(rand.NewPCG(3, 4)), proto) }
	good := v4(self4, nas4, tcp, seg(tcp))
	six := near.Six(nil, good)
	other := NewTable([]Pair{{self4, self6}, {nas4, netip.MustParseAddr("fd00::1")}})
	options := func(o ...byte) []byte {
		return edit(slices.Concat(good[:head4], o, good[head4:]), func(p []byte) {
			p[0] = 0x45 + byte(len(o)/4)
			binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		})
	}
	tests := []struct {
		name string
		got  []byte
		want bool
	}{
		{"good", six, true},
		{"cut short", near.Six(nil, good[:len(good)-1]), false},
		{"a header alone", near.Six(nil, good[:19]), false},
		{"a header length too small", near.Six(nil, edit(good, func(p []byte) { p[0] = 0x44 })), false},
		{"an option", near.Six(nil, options(1, 1, 1, 0)), true},
		{"a source route", near.Six(nil, options(131, 7, 4, 1, 2, 3, 4, 0)), false},
		{"a source route at its end", near.Six(nil, options(131, 7, 8, 1, 2, 3, 4, 0)), true},
		{"a fragment of ICMP", near.Six(nil, edit(v4(self4, nas4, icmp4, seg(icmp4)), func(p []byte) { p[6] |= 0x20 })), false},
		{"a fragment of UDP without a checksum", near.Six(nil, edit(v4(self4, nas4, udp, seg(udp)), func(p []byte) { p[6] |= 0x20; p[26], p[27] = 0, 0 })), false},
		{"IPv6 to an address that stands for nothing", far.Four(nil, v6(self6, netip.MustParseAddr("2001:db8::1"), tcp, seg(tcp)), 0), false},
		{"IPv6 that speaks for a mapped address", other.Four(nil, v6(Embed(nas4), self6, tcp, seg(tcp)), 0), false},
		{"ICMPv4 in IPv6", far.Four(nil, v6(self6, Embed(web4), icmp4, seg(icmp4)), 0), false},
		{"UDP without a checksum in IPv6", far.Four(nil, edit(v6(self6, Embed(web4), udp, seg(udp)), func(p []byte) { p[46], p[47] = 0, 0 }), 0), false},
		{"a neighbour's word", far.Four(nil, v6(self6, Embed(web4), icmp6, append([]byte{135, 0}, make([]byte, 22)...)), 0), false},
	}
	for _, c := range tests {
		if (c.got != nil) != c.want {
			t.Errorf("%s: %x", c.name, c.got)
		}
	}
	p := v4(self4, nas4, udp, seg(udp))
	p[26], p[27] = 0, 0
	if got := near.Six(nil, p); got == nil || !sealed(got) {
		t.Errorf("UDP without a checksum: %x", got)
	}
}

// TestErrors: what a router says of a packet comes back as being of that packet.
func TestErrors(t *testing.T) {
	seg := segment(rand.New(rand.NewPCG(5, 6)), tcp)[:40]
	sent := v4(self4, web4, tcp, seg)          // by the guest's host
	passed := v4(guest4, web4, tcp, seg)       // on at the exit
	router := netip.MustParseAddr("192.0.2.9") // on the way there
	quote := func(head []byte, p []byte) []byte { return append(append(head, make([]byte, 8-len(head))...), p...) }
	tests := []struct {
		name       string
		head, want []byte // the first words there and here
	}{
		{"no host", []byte{3, 1}, []byte{3, 1}},
		{"no port", []byte{3, 3}, []byte{3, 3}},
		{"no protocol", []byte{3, 2}, []byte{3, 2}},
		{"forbidden", []byte{3, 13}, []byte{3, 10}},
		{"too big", []byte{3, 4, 0, 0, 0, 0, 5, 120}, []byte{3, 4, 0, 0, 0, 0, 5, 120}},
		{"too big by far", []byte{3, 4, 0, 0, 0, 0, 0, 68}, []byte{3, 4, 0, 0, 0, 0, 4, 236}},
		{"time exceeded", []byte{11, 0}, []byte{11, 0}},
		{"a parameter", []byte{12, 0, 0, 0, 8}, []byte{12, 0, 0, 0, 8}},
		{"redirect", []byte{5, 0}, nil},
		{"quench", []byte{4, 0}, nil},
	}
	for _, c := range tests {
		mid := far.Six(nil, v4(router, guest4, icmp4, quote(c.head, passed)))
		if c.want == nil {
			if mid != nil {
				t.Errorf("%s: %x", c.name, mid)
			}
			continue
		}
		if !sealed(mid) {
			t.Errorf("%s: in the tunnel: %x", c.name, mid)
			continue
		}
		got, want := near.Four(nil, mid, 0), v4(router, self4, icmp4, quote(c.want, sent))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// TestFragments: those of a datagram are the same, at the other end.
func TestFragments(t *testing.T) {
	seg := bytes.Repeat([]byte("fragment"), 125)
	binary.BigEndian.PutUint16(seg[4:], uint16(len(seg)))
	whole := v4(self4, web4, udp, seg)
	cut := func(p []byte, from, to int) []byte {
		q := slices.Concat(p[:head4], p[head4+from:head4+to])
		word := uint16(from / 8)
		if to < len(p)-head4 {
			word |= 0x2000
		}
		binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
		binary.BigEndian.PutUint16(q[4:], 77)
		binary.BigEndian.PutUint16(q[6:], word)
		q[10], q[11] = 0, 0
		binary.BigEndian.PutUint16(q[10:], ^uint16(sum(0, q[:head4])))
		return q
	}
	there := v4(guest4, web4, udp, whole[head4:])
	for _, at := range [][2]int{{0, 504}, {504, 1000}} {
		mid := near.Six(nil, cut(whole, at[0], at[1]))
		if got, want := far.Four(nil, mid, 0), cut(there, at[0], at[1]); !bytes.Equal(got, want) {
			t.Errorf("%v: %x, want %x", at, got, want)
		}
	}
	// Cut for the tunnel, they make the same again.
	mid := near.Six(nil, whole)
	parts := fragment(mid, 77, 600)
	for i, p := range parts {
		if len(p) > 600 {
			t.Errorf("part %d has %d bytes", i, len(p))
		}
		got := far.Four(nil, p, 0)
		from := int(binary.BigEndian.Uint16(got[6:])&0x1fff) * 8
		if want := cut(there, from, from+len(got)-head4); !bytes.Equal(got, want) {
			t.Errorf("part %d: %x, want %x", i, got, want)
		}
	}
}

func FuzzTranslate(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, proto := range []byte{tcp, udp, icmp4} {
		p := v4(self4, nas4, proto, segment(r, proto)[:60])
		f.Add(p)
		f.Add(near.Six(nil, p))
	}
	e := v4(web4, guest4, icmp4, append([]byte{3, 4, 0, 0, 0, 0, 5, 0}, v4(guest4, web4, tcp, segment(r, tcp)[:40])...))
	f.Add(e)
	f.Add(far.Six(nil, e))
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, tab := range []*Table{near, far} {
			six := tab.Six(nil, p)
			if six != nil && (len(six) < head6 || len(six) != head6+int(binary.BigEndian.Uint16(six[4:]))) {
				t.Fatalf("%x becomes %x", p, six)
			}
			if six != nil {
				tab.Four(nil, six, 1)
				fragment(six, 1, 1280)
			}
			four := tab.Four(nil, p, 1)
			if four != nil && (len(four) != int(binary.BigEndian.Uint16(four[2:])) || sum(0, four[:head4]) != 0xffff || len(four) > len(p)) {
				t.Fatalf("%x becomes %x", p, four)
			}
		}
	})
}
