package udptest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp"
)

// pair is two hosts on a LAN, the first with a port open on both.
func pair(t *testing.T) (n *Net, lan *Segment, a, b *Host, ca, cb udp.Conn) {
	t.Helper()
	n = NewNet()
	lan = n.Segment("lan")
	a, b = n.Host("a"), n.Host("b")
	a.Attach(lan, netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64"))
	b.Attach(lan, netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64"))
	var err error
	if ca, err = a.Listen(1000); err != nil {
		t.Fatal(err)
	}
	if cb, err = b.Listen(2000); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ca.Close(); cb.Close() })
	return n, lan, a, b, ca, cb
}

func read(t *testing.T, c udp.Conn, reader int) (udp.Packet, string) {
	t.Helper()
	p := []udp.Packet{{Buf: make([]byte, 2000)}}
	if _, err := c.Readers()[reader](p); err != nil {
		t.Fatal(err)
	}
	return p[0], string(p[0].Buf[:p[0].N])
}

func TestDelayKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, lan, _, _, ca, cb := pair(t)
		lan.SetDelay(20 * time.Millisecond)
		start := time.Now()
		for i := range 50 {
			if err := ca.WriteBatch([][]byte{fmt.Append(nil, i)}, netip.MustParseAddrPort("192.0.2.2:2000"), udp.Source{}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 50 {
			p, text := read(t, cb, 0)
			if text != fmt.Sprint(i) || p.Addr != netip.MustParseAddrPort("192.0.2.1:1000") {
				t.Fatalf("datagram %d: %q from %v", i, text, p.Addr)
			}
		}
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("took %v", d)
		}
	})
}

func TestLinkSwitches(t *testing.T) {
	to := netip.MustParseAddrPort("[2001:db8::2]:2000")
	tests := []struct {
		name  string
		set   func(lan *Segment, a, b *Host, cb udp.Conn)
		heard int
	}{
		{"nothing set", func(*Segment, *Host, *Host, udp.Conn) {}, 100},
		{"loss", func(lan *Segment, _, _ *Host, _ udp.Conn) { lan.SetLoss(1) }, 0},
		{"mtu", func(lan *Segment, _, _ *Host, _ udp.Conn) { lan.SetMTU(1047) }, 0},
		{"mtu that fits", func(lan *Segment, _, _ *Host, _ udp.Conn) { lan.SetMTU(1068) }, 100},
		{"filter", func(lan *Segment, _, _ *Host, _ udp.Conn) {
			lan.SetFilter(func(d Datagram) bool { return d.To != to })
		}, 0},
		{"firewall", func(_ *Segment, _, b *Host, _ udp.Conn) { b.SetFirewall(true) }, 0},
		{"firewall with a flow", func(_ *Segment, _, b *Host, cb udp.Conn) {
			b.SetFirewall(true)
			cb.WriteBatch([][]byte{{1}}, netip.MustParseAddrPort("[2001:db8::1]:1000"), udp.Source{})
		}, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, lan, a, b, ca, cb := pair(t)
				tt.set(lan, a, b, cb)
				for range 100 {
					if err := ca.WriteBatch([][]byte{make([]byte, 1020)}, to, udp.Source{}); err != nil {
						t.Fatal(err)
					}
				}
				heard := 0
				time.AfterFunc(time.Second, cb.Interrupt)
				for {
					n, err := cb.Readers()[1]([]udp.Packet{{Buf: make([]byte, 2000)}})
					if err != nil {
						break
					}
					heard += n
				}
				if heard != tt.heard {
					t.Errorf("heard %d datagrams, want %d", heard, tt.heard)
				}
			})
		})
	}
}

func TestNoRoute(t *testing.T) {
	_, lan, a, _, ca, _ := pair(t)
	to := netip.MustParseAddrPort("192.0.2.2:2000")
	send := func() error { return ca.WriteBatch([][]byte{{1}}, to, udp.Source{}) }
	lan.SetDown(true)
	if err := send(); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("without carrier: %v", err)
	}
	lan.SetDown(false)
	a.Detach(lan)
	if err := send(); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("unplugged: %v", err)
	}
	a.Attach(lan, netip.MustParsePrefix("192.0.2.9/24"))
	if err := send(); err != nil {
		t.Errorf("plugged in again: %v", err)
	}
}

func TestMulticastStaysOnItsSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lan, a, b, _, _ := pair(t)
		c := n.Host("c")
		index := c.Attach(n.Segment("elsewhere"))
		ma, mb, mc := a.Multicast(), b.Multicast(), c.Multicast()
		for h, m := range map[*Host]Multicast{a: ma, b: mb, c: mc} {
			if err := m.Join(h.Interfaces()); err != nil {
				t.Fatal(err)
			}
			defer m.Close()
		}
		if err := ma.Send([]byte("hi"), a.on(lan).index); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		for _, want := range []string{"fe80::2%4", "192.0.2.1"} {
			_, from, ifindex, err := mb.Read(buf)
			if err != nil || ifindex != b.on(lan).index {
				t.Fatalf("read on interface %d: %v", ifindex, err)
			}
			if got := from.Addr(); want[0] != 'f' && got.String() != want || got.Is4() != (want[0] != 'f') {
				t.Errorf("heard %v, want %v", got, want)
			}
		}
		time.AfterFunc(time.Second, func() { mc.Close() })
		if _, _, _, err := mc.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a host elsewhere (interface %d) heard: %v", index, err)
		}
	})
}

func TestInterruptBeatsWaitingDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, _, _, ca, cb := pair(t)
		ca.WriteBatch([][]byte{[]byte("kept")}, netip.MustParseAddrPort("192.0.2.2:2000"), udp.Source{})
		cb.Interrupt()
		if _, err := cb.Readers()[0]([]udp.Packet{{Buf: make([]byte, 10)}}); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("interrupted reader: %v", err)
		}
		cb.Resume()
		if _, text := read(t, cb, 0); text != "kept" {
			t.Errorf("after Resume: %q", text)
		}
	})
}
