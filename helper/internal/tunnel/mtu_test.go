package tunnel

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

var (
	from4 = netip.MustParseAddr("100.80.0.1")
	to4   = netip.MustParseAddr("100.80.0.2")
	from6 = netip.MustParseAddr("fd00::1")
	to6   = netip.MustParseAddr("fd00::2")
)

// ip is an IP packet without options.
func ip(src, dst netip.Addr, proto byte, body []byte) []byte {
	if src.Is4() {
		h := make([]byte, 20)
		h[0], h[6], h[8], h[9] = 0x45, 0x40, 64, proto
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(body)))
		copy(h[12:], src.AsSlice())
		copy(h[16:], dst.AsSlice())
		return append(h, body...)
	}
	h := make([]byte, 40)
	h[0], h[6], h[7] = 6<<4, proto, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	copy(h[8:], src.AsSlice())
	copy(h[24:], dst.AsSlice())
	return append(h, body...)
}

// syn is a TCP SYN with these options and a right checksum.
func syn(src, dst netip.Addr, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	tcp := append(make([]byte, 20), options...)
	tcp[12], tcp[13] = byte(len(tcp)/4)<<4, 2
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo(src, dst, 6, len(tcp)), tcp...)))
	return ip(src, dst, 6, tcp)
}

func pseudo(src, dst netip.Addr, proto byte, n int) []byte {
	b := slices.Concat(src.AsSlice(), dst.AsSlice())
	if src.Is4() {
		return append(b, 0, proto, byte(n>>8), byte(n))
	}
	return append(b, 0, 0, byte(n>>8), byte(n), 0, 0, 0, proto)
}

func TestClampMSS(t *testing.T) {
	for _, c := range []struct {
		name     string
		p        []byte
		at       int // of the option's value, 0: nothing changes
		src, dst netip.Addr
		want     uint16
	}{
		{"IPv4", syn(from4, to4, 2, 4, 5, 0xb4), 42, from4, to4, 1240},
		{"IPv6", syn(from6, to6, 2, 4, 5, 0xa0), 62, from6, to6, 1220},
		{"at an odd place", syn(from4, to4, 1, 2, 4, 5, 0xb4), 43, from4, to4, 1240},
		{"behind others", syn(from6, to6, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xa0), 74, from6, to6, 1220},
		{"small already", syn(from4, to4, 2, 4, 2, 0x18), 0, from4, to4, 0},
		{"no options", syn(from4, to4), 0, from4, to4, 0},
		{"an option of length 0", syn(from4, to4, 3, 0, 2, 4, 5, 0xb4), 0, from4, to4, 0},
		{"an option past the end", syn(from4, to4, 2, 40), 0, from4, to4, 0},
		{"UDP", ip(from4, to4, 17, make([]byte, 60)), 0, from4, to4, 0},
		{"a short one", ip(from4, to4, 6, make([]byte, 8)), 0, from4, to4, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.p)
			ClampMSS(c.p, 1280)
			if c.at == 0 {
				if !slices.Equal(before, c.p) {
					t.Error("changed")
				}
				return
			}
			if got := binary.BigEndian.Uint16(c.p[c.at:]); got != c.want {
				t.Errorf("MSS %d, want %d", got, c.want)
			}
			head := 20
			if c.src.Is6() {
				head = 40
			}
			tcp := c.p[head:]
			if sum := checksum(append(pseudo(c.src, c.dst, 6, len(tcp)), tcp...)); sum != 0 {
				t.Errorf("the checksum is off by %#x", sum)
			}
		})
	}
}

func TestTooBig(t *testing.T) {
	p4 := ip(from4, to4, 17, make([]byte, 1380))
	got := TooBig(p4, 1280)
	h, err := ipv4.ParseHeader(got)
	if err != nil || !h.Src.Equal(to4.AsSlice()) || !h.Dst.Equal(from4.AsSlice()) || checksum(got[:20]) != 0 || checksum(got[20:]) != 0 {
		t.Fatalf("%v %v", h, err)
	}
	if got[20] != 3 || got[21] != 4 || binary.BigEndian.Uint16(got[26:]) != 1280 || !slices.Equal(got[28:48], p4[:20]) {
		t.Errorf("% x", got[20:48])
	}
	p6 := ip(from6, to6, 17, make([]byte, 1360))
	got = TooBig(p6, 1300)
	m, err := icmp.ParseMessage(58, got[40:])
	if err != nil || m.Type != ipv6.ICMPTypePacketTooBig || m.Body.(*icmp.PacketTooBig).MTU != 1300 || len(got) > MinMTU {
		t.Fatalf("%v %v", m, err)
	}
	if checksum(append(pseudo(to6, from6, 58, len(got)-40), got[40:]...)) != 0 {
		t.Error("the checksum is wrong")
	}
	p4[6] = 0
	if TooBig(p4, 1280) != nil {
		t.Error("a packet that may be cut is refused")
	}
	if TooBig(ip(from6, to6, 58, append([]byte{1}, make([]byte, 1360)...)), 1280) != nil {
		t.Error("an ICMP error is answered")
	}
}

// TestNarrowPath sends large packets to a peer whose path carries less.
func TestNarrowPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ends(t)
		if !a.sends(time.Second) {
			t.Fatal("nothing arrives")
		}
		a.tn.SetMTU(b.id, 1000) // never below IPv6's least
		for range 100 {
			a.tun.Inject <- ip(a.addr, b.addr, 17, make([]byte, 1281-20))
		}
		a.tun.Inject <- ip(a.addr, b.addr, 17, make([]byte, 1280-20))
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if n := len(a.tun.Outbound); n != tooBigMost {
			t.Errorf("%d answers, want %d", n, tooBigMost)
		}
		if p := <-a.tun.Outbound; p[20] != 3 || p[21] != 4 || binary.BigEndian.Uint16(p[26:]) != MinMTU {
			t.Errorf("% x", p)
		}
		if n := len(b.tun.Outbound); n != 1 {
			t.Errorf("%d packets arrive, want the one that fits", n)
		}
	})
}
