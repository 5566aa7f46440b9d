package wall

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

var (
	self  = netip.MustParseAddr("fd00::1")
	guest = netip.MustParseAddr("fd00::2")
	other = netip.MustParseAddr("fd00::3")
	lan   = netip.MustParseAddr("2001:db8::9")
)

// ip is an IPv6 packet.
func ip(src, dst netip.Addr, next uint8, body []byte) []byte {
	b := make([]byte, header6, header6+len(body))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	s, d := src.As16(), dst.As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	return append(b, body...)
}

func tcp(src, dst netip.Addr, from, to uint16, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	b[13] = flags
	return ip(src, dst, protoTCP, b)
}

func udp(src, dst netip.Addr, from, to uint16) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], to)
	return ip(src, dst, protoUDP, b)
}

func icmp(src, dst netip.Addr, kind byte, id uint16, about []byte) []byte {
	b := make([]byte, 8)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	return ip(src, dst, icmpv6, append(b, about...))
}

// fake is a TUN that keeps what is written and gives what it is told to.
type fake struct {
	tun.Device
	wrote [][]byte
	reads [][]byte
}

func (f *fake) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		f.wrote = append(f.wrote, b[offset:])
	}
	return len(bufs), nil
}

func (f *fake) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for i, b := range f.reads {
		sizes[i] = copy(bufs[i][offset:], b)
	}
	return len(f.reads), nil
}

// bed is a wall with a clock.
type bed struct {
	*Wall
	f   *fake
	now time.Time
}

func newBed(closed bool, by map[netip.Addr]Rule) *bed {
	b := &bed{f: &fake{}, now: time.Unix(1e9, 0)}
	b.Wall = New(b.f, closed)
	b.Wall.now = func() time.Time { return b.now }
	b.Set(self, by)
	return b
}

// in and out tell whether a packet passes.
func (b *bed) in(p []byte) bool {
	b.f.wrote = nil
	b.Write([][]byte{append(make([]byte, 16), p...)}, 16)
	return len(b.f.wrote) == 1
}

func (b *bed) out(p []byte) bool {
	b.f.reads = [][]byte{p}
	sizes := []int{0}
	b.Read([][]byte{make([]byte, 2000)}, sizes, 16)
	return sizes[0] == len(p)
}

type step struct {
	what string
	in   bool
	p    []byte
	want bool
}

func (b *bed) run(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		got := b.out
		if s.in {
			got = b.in
		}
		if got(s.p) != s.want {
			t.Errorf("%s: passes %v", s.what, !s.want)
		}
	}
}

func few(p ...Port) Ports { return Ports{Few: p, Echo: true} }

func TestHost(t *testing.T) {
	b := newBed(false, map[netip.Addr]Rule{guest: {In: few(Port{protoTCP, 80, 80}, Port{protoUDP, 500, 600})}})
	big := tcp(self, guest, 80, 40000, tcpACK)
	b.run(t, []step{
		{"a connection to a port that is shared", true, tcp(guest, self, 40000, 80, tcpSYN), true},
		{"the answer", false, tcp(self, guest, 80, 40000, tcpSYN|tcpACK), true},
		{"another port", true, tcp(guest, self, 40000, 81, tcpSYN), false},
		{"another port, in the middle", true, tcp(guest, self, 40000, 81, tcpACK), false},
		{"the port by another protocol", true, udp(guest, self, 40000, 80), false},
		{"a range's last port", true, udp(guest, self, 40000, 600), true},
		{"one after it", true, udp(guest, self, 40000, 601), false},
		{"back from the range", false, udp(self, guest, 600, 40000), true},
		{"the answer of a port that was not asked", false, udp(self, guest, 500, 40000), false},
		{"a connection back", false, tcp(self, guest, 50000, 22, tcpSYN), false},
		{"a connection back from the shared port", false, tcp(self, guest, 80, 22, tcpSYN), false},
		{"a connection back to the very port", false, tcp(self, guest, 80, 40000, tcpSYN), false},
		{"an echo", true, icmp(guest, self, echoAsk, 7, nil), true},
		{"its answer", false, icmp(self, guest, echoReply, 7, nil), true},
		{"another echo's answer", false, icmp(self, guest, echoReply, 8, nil), false},
		{"an echo back", false, icmp(self, guest, echoAsk, 9, nil), false},
		{"another ICMP", true, icmp(guest, self, 135, 0, nil), false},
		{"to what is behind", true, tcp(guest, lan, 40000, 80, tcpSYN), false},
		{"to another member", true, tcp(guest, other, 40000, 80, tcpSYN), false},
		{"from what is behind", false, tcp(lan, guest, 80, 40000, tcpSYN|tcpACK), false},
		{"a fragment", true, ip(guest, self, 44, make([]byte, 30)), false},
		{"an extension header", true, ip(guest, self, 0, tcp(guest, self, 1, 80, tcpSYN)[header6:]), false},
		{"a short one", true, tcp(guest, self, 40000, 80, tcpSYN)[:50], false},
		{"a path that is too narrow", true, icmp(guest, self, 2, 0, big), true},
		{"one for a connection that there is not", true, icmp(guest, self, 2, 0, tcp(self, guest, 81, 40000, tcpACK)), false},
		{"one about others", true, icmp(guest, self, 2, 0, tcp(self, other, 80, 40000, tcpACK)), false},
		{"an error back", false, icmp(self, guest, 1, 0, udp(guest, self, 40000, 600)), true},
		{"a member's", true, tcp(other, self, 1, 2, tcpSYN), true},
		{"to a member", false, tcp(self, other, 1, 2, tcpSYN), true},
		{"IPv4", true, []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, true},
	})
	b.now = b.now.Add(idleUDP)
	b.run(t, []step{
		{"back from the range, too late", false, udp(self, guest, 600, 40000), false},
		{"the connection after a while", false, tcp(self, guest, 80, 40000, tcpACK), true},
	})
	b.Set(self, map[netip.Addr]Rule{guest: {In: few(Port{protoTCP, 443, 443})}})
	b.run(t, []step{
		{"the connection when it is shared no more", true, tcp(guest, self, 40000, 80, tcpACK), false},
		{"and back", false, tcp(self, guest, 80, 40000, tcpACK), false},
	})
}

func TestGuest(t *testing.T) {
	b := newBed(true, map[netip.Addr]Rule{guest: {Out: Ports{All: true, Echo: true}}})
	b.run(t, []step{
		{"a connection", false, tcp(self, guest, 40000, 80, tcpSYN), true},
		{"the answer", true, tcp(guest, self, 80, 40000, tcpSYN|tcpACK), true},
		{"a connection back", true, tcp(guest, self, 80, 40000, tcpSYN), false},
		{"a datagram that nobody has asked for", true, udp(guest, self, 53, 5353), false},
		{"an echo back", true, icmp(guest, self, echoAsk, 1, nil), false},
		{"from another one", true, tcp(other, self, 80, 40000, tcpACK), false},
		{"to another one", false, tcp(self, other, 40000, 80, tcpSYN), false},
		{"IPv4", true, []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}, false},
		{"garbage", true, []byte{0xff}, false},
		{"from another address of this host", false, tcp(lan, guest, 40000, 80, tcpSYN), false},
	})
}

func TestBoth(t *testing.T) {
	b := newBed(false, map[netip.Addr]Rule{guest: {In: few(Port{protoTCP, 80, 80}), Out: few(Port{protoTCP, 80, 80})}})
	b.run(t, []step{
		{"in", true, tcp(guest, self, 40000, 80, tcpSYN), true},
		{"out", false, tcp(self, guest, 40000, 80, tcpSYN), true},
		{"out to another port", false, tcp(self, guest, 40000, 81, tcpSYN), false},
	})
}

// TestBatches: what may pass does so in its order.
func TestBatches(t *testing.T) {
	b := newBed(false, map[netip.Addr]Rule{guest: {In: few(Port{protoTCP, 80, 80})}})
	good, bad := tcp(guest, self, 1, 80, tcpSYN), tcp(guest, self, 1, 81, tcpSYN)
	for _, pattern := range []string{"gg", "gb", "bg", "bb", "gbgbg", "bbgg"} {
		b.f.wrote = nil
		var batch [][]byte
		want := 0
		for _, c := range pattern {
			if c == 'g' {
				batch, want = append(batch, good), want+1
			} else {
				batch = append(batch, bad)
			}
		}
		if n, err := b.Write(batch, 0); n != len(batch) || err != nil || len(b.f.wrote) != want {
			t.Errorf("%s: wrote %d of %d (%d, %v)", pattern, len(b.f.wrote), want, n, err)
		}
	}
}

// TestFlowsAreBounded: a guest that opens without end loses its oldest.
func TestFlowsAreBounded(t *testing.T) {
	b := newBed(false, map[netip.Addr]Rule{guest: {In: Ports{All: true}}})
	for i := range 3 * flowsMost {
		b.now = b.now.Add(time.Millisecond)
		if !b.in(udp(guest, self, uint16(i), uint16(1+i/65536))) {
			t.Fatal("it does not pass")
		}
	}
	if n := len(b.rules.Load().by[guest].flows); n > flowsMost {
		t.Errorf("%d flows", n)
	}
	if !b.out(udp(self, guest, 1, 3*flowsMost-1)) {
		t.Error("the latest is gone")
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(tcp(guest, self, 1, 80, tcpSYN), true)
	f.Add(udp(self, guest, 80, 1), false)
	f.Add(icmp(guest, self, 2, 0, tcp(self, guest, 80, 1, tcpACK)), true)
	f.Add(ip(guest, lan, 0, []byte{1}), true)
	f.Fuzz(func(t *testing.T, p []byte, in bool) {
		b := newBed(true, map[netip.Addr]Rule{guest: {In: few(Port{protoTCP, 80, 80})}})
		if len(p) == 0 {
			return
		}
		pass := in && b.in(p) || !in && b.out(p)
		if !pass {
			return
		}
		// Alone, nothing passes but what opens by the rule.
		q, ok := parse(p)
		if !in || !ok || q.src != guest || q.dst != self || !(q.proto == protoTCP && q.to == 80 || q.request) {
			t.Fatalf("%x passes", p)
		}
	})
}
