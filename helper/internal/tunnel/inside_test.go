package tunnel

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"

	"golang.org/x/net/dns/dnsmessage"

	"kith.internal/helper/internal/osnet/tun/tuntest"
)

func TestInside(t *testing.T) {
	for _, tt := range []struct{ name, at, from string }{
		{"IPv4", "100.70.255.255:53", "100.70.0.1:4000"},
		{"IPv6", "[fd12:3456:789a::35]:53", "[fd12:3456:789a:1:2:3:4:5]:4000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at, from := netip.MustParseAddrPort(tt.at), netip.MustParseAddrPort(tt.from)
				host := tuntest.New("kith0", 1420)
				in := NewInside(host)
				defer in.Close()
				c, err := in.ListenUDP(at)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := in.ListenUDP(at); !errors.Is(err, syscall.EADDRINUSE) {
					t.Errorf("twice: %v", err)
				}
				other := netip.AddrPortFrom(at.Addr(), 54)
				for _, p := range [][]byte{
					makeUDP(nil, from, at, []byte("question")),
					makeUDP(nil, from, other, []byte("another port")),
				} {
					host.Inject <- p
				}
				bufs, sizes := [][]byte{make([]byte, 2000), make([]byte, 2000)}, make([]int, 2)
				var through [][]byte
				for got := 0; got < 2; {
					n, err := in.Read(bufs, sizes, 16)
					if err != nil {
						t.Fatal(err)
					}
					for i := range n {
						if got++; sizes[i] > 0 {
							through = append(through, bytes.Clone(bufs[i][16:16+sizes[i]]))
						}
					}
				}
				if len(through) != 1 || !bytes.HasSuffix(through[0], []byte("another port")) {
					t.Errorf("%d packets go on", len(through))
				}
				b := make([]byte, 100)
				n, src, err := c.ReadFromUDPAddrPort(b)
				if err != nil || src != from || string(b[:n]) != "question" {
					t.Errorf("read %q from %v: %v", b[:n], src, err)
				}
				if _, err := c.WriteToUDPAddrPort([]byte("an answer"), from); err != nil {
					t.Error(err)
				}
				p := <-host.Outbound
				if s, ok := parseSegment(p); !ok || s.src != at || s.dst != from || string(s.data) != "an answer" {
					t.Errorf("the host got %x", p)
				}
				if !sumsUp(p) {
					t.Errorf("checksums of %x", p)
				}
				c.Close()
				c.Close()
				if _, _, err := c.ReadFromUDPAddrPort(b); !errors.Is(err, net.ErrClosed) {
					t.Errorf("closed: %v", err)
				}
				if c, err := in.ListenUDP(at); err != nil {
					t.Errorf("again: %v", err)
				} else {
					c.Close()
				}
			})
		})
	}
}

// sumsUp checks a packet as its receiver does: sums over all are zero.
func sumsUp(p []byte) bool {
	head, from, to := 20, p[12:16], p[16:20]
	if p[0]>>4 == 6 {
		head, from, to = 40, p[8:24], p[24:40]
	} else if checksum(p[:20]) != 0 {
		return false
	}
	all := append(bytes.Clone(from), to...)
	size := len(p) - head
	all = append(all, 0, 0, byte(size>>8), byte(size), 0, 0, 0, protoUDP)
	return checksum(append(all, p[head:]...)) == 0
}

// FuzzInside reads what a program on this host may send.
func FuzzInside(f *testing.F) {
	at, from := netip.MustParseAddrPort("100.70.255.255:53"), netip.MustParseAddrPort("100.70.0.1:4000")
	q, _ := (&dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a."), Type: 1, Class: 1}}}).Pack()
	f.Add(makeUDP(nil, from, at, q))
	f.Add(makeUDP(nil, netip.MustParseAddrPort("[fd12::1]:9"), netip.MustParseAddrPort("[fd12::35]:53"), nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, ok := parseSegment(bytes.Clone(p))
		if !ok || s.proto == protoTCP {
			return
		}
		again, ok := parseSegment(makeUDP(nil, s.src, s.dst, s.data))
		if !ok || again.src != s.src || again.dst != s.dst || !bytes.Equal(again.data, s.data) {
			t.Errorf("%+v became %+v", s, again)
		}
	})
}
