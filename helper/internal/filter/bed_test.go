package filter

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
)

func ad(s string) netip.Addr      { return netip.MustParseAddr(s) }
func pre(s string) netip.Prefix   { return netip.MustParsePrefix(s) }
func named(b byte) (k key.Public) { k[0] = b; return k }

var (
	nets   = []netip.Prefix{pre("fd11:2233:4455::/48"), pre("100.70.0.0/16")}
	self6  = ad("fd11:2233:4455::1")
	self4  = ad("100.70.0.1")
	lap6   = ad("fd11:2233:4455::2")
	lap4   = ad("100.70.0.2")
	nas6   = ad("fd11:2233:4455::3")
	guest6 = ad("fd11:2233:4455::9")
	guest4 = ad("100.70.200.9")
	nobody = ad("fd11:2233:4455::ff")
	web4   = ad("198.51.100.7")
	web6   = ad("2001:db8::7")
	lan4   = ad("192.168.7.9")
)

// world has this device, "self", a laptop, a nas and a guest.
func world() *World {
	return &World{
		Networks: nets, Self: named(1),
		Devices: []Device{
			{Key: named(1), Name: "self", Tags: []string{"server"}, Addrs: []netip.Addr{self6, self4}, Admin: true},
			{Key: named(2), Name: "laptop", Addrs: []netip.Addr{lap6, lap4}, Admin: true},
			{Key: named(3), Name: "nas", Tags: []string{"server", "disk"}, Addrs: []netip.Addr{nas6}},
		},
	}
}

func parsed(t testing.TB, text string) *Policy {
	t.Helper()
	p, faults := Parse([]byte(text))
	if faults != nil {
		t.Fatalf("%s: %v", text, faults)
	}
	return p
}

// bed is a filter with a clock.
type bed struct {
	*Filter
	t   testing.TB
	now int64
}

func newBed(t testing.TB, policy string, w *World) *bed {
	b := &bed{Filter: New(), t: t, now: 1}
	b.set(policy, w, false)
	return b
}

func (b *bed) set(policy string, w *World, shields bool) {
	b.Set(Compile(parsed(b.t, policy), w, shields))
}

func (b *bed) after(d time.Duration) { b.now += d.Milliseconds() }

type step struct {
	what string
	in   bool
	p    []byte
	want bool
}

func (b *bed) run(steps ...step) {
	b.t.Helper()
	for _, s := range steps {
		if got := b.judge(s.p, s.in, b.now); got != s.want {
			b.t.Errorf("%s: passes %v", s.what, got)
		}
	}
}

func ip6(src, dst netip.Addr, next uint8, body []byte) []byte {
	b := make([]byte, header6, header6+len(body))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return append(b, body...)
}

func ip4(src, dst netip.Addr, proto uint8, body []byte) []byte {
	b := make([]byte, header4, header4+len(body))
	b[0], b[8], b[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[2:], uint16(header4+len(body)))
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	return append(b, body...)
}

func ip(src, dst netip.Addr, proto uint8, body []byte) []byte {
	if src.Is4() {
		return ip4(src, dst, proto, body)
	}
	return ip6(src, dst, proto, body)
}

func tcpSegment(from, to uint16, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	b[12], b[13] = 5<<4, flags
	return b
}

func tcp(src, dst netip.Addr, from, to uint16, flags byte) []byte {
	return ip(src, dst, TCP, tcpSegment(from, to, flags))
}

func udpBody(from, to uint16, size int) []byte {
	b := make([]byte, 8+size)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	return b
}

func udp(src, dst netip.Addr, from, to uint16) []byte {
	return ip(src, dst, UDP, udpBody(from, to, 4))
}

func icmp(src, dst netip.Addr, kind byte, id uint16, about []byte) []byte {
	b := make([]byte, 8)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	proto := uint8(ICMPv6)
	if src.Is4() {
		proto = ICMP
	}
	return ip(src, dst, proto, append(b, about...))
}

// frag6 is a part of a datagram.
func frag6(src, dst netip.Addr, next uint8, id uint32, at int, more bool, body []byte) []byte {
	h := make([]byte, 8, 8+len(body))
	h[0] = next
	off := uint16(at)
	if more {
		off |= 1
	}
	binary.BigEndian.PutUint16(h[2:], off)
	binary.BigEndian.PutUint32(h[4:], id)
	return ip6(src, dst, extFrag, append(h, body...))
}

func frag4(src, dst netip.Addr, proto uint8, id uint16, at int, more bool, body []byte) []byte {
	b := ip4(src, dst, proto, body)
	binary.BigEndian.PutUint16(b[4:], id)
	off := uint16(at / 8)
	if more {
		off |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], off)
	return b
}

func set(b []byte, at int, v byte) []byte {
	c := append([]byte(nil), b...)
	c[at] = v
	return c
}

func texts(faults []Fault) string {
	var out []string
	for _, f := range faults {
		out = append(out, f.Code+": "+f.Error())
	}
	return strings.Join(out, "\n")
}
