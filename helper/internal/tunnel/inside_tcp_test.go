package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"kith.internal/helper/internal/osnet/tun/tuntest"
)

// insideHost is a host of which all that it sends goes into a TUN.
type insideHost struct {
	*netstack.Net
	in *Inside
}

func newInsideHost(t *testing.T) *insideHost {
	t.Helper()
	opt := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, opt) })
	dev, host, err := netstack.CreateNetTUN([]netip.Addr{netip.MustParseAddr("100.70.0.1"), netip.MustParseAddr("fd12::1")}, nil, 1420)
	if err != nil {
		t.Fatal(err)
	}
	ours := tuntest.New("kith0", 1420)
	in := NewInside(ours)
	quit := make(chan struct{})
	var pumps sync.WaitGroup
	pumps.Go(func() { // what the host sends
		bufs, sizes := [][]byte{make([]byte, 2000)}, []int{0}
		for {
			if _, err := dev.Read(bufs, sizes, 0); err != nil {
				return
			}
			ours.Inject <- bytes.Clone(bufs[0][:sizes[0]])
		}
	})
	pumps.Go(func() { // what it gets
		for {
			select {
			case p := <-ours.Outbound:
				dev.Write([][]byte{p}, 0)
			case <-quit:
				return
			}
		}
	})
	pumps.Go(func() { drain(in) })
	t.Cleanup(func() {
		in.Close()
		dev.Close()
		close(quit)
		pumps.Wait()
	})
	return &insideHost{host, in}
}

// drain reads as wireguard-go does.
func drain(in tun.Device) {
	bufs, sizes := make([][]byte, 8), make([]int, 8)
	for i := range bufs {
		bufs[i] = make([]byte, 2000)
	}
	for {
		if _, err := in.Read(bufs, sizes, 16); err != nil {
			return
		}
	}
}

func (h *insideHost) dial(t *testing.T, at string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := h.DialContextTCPAddrPort(ctx, netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatalf("dial %s: %v", at, err)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func (h *insideHost) running() bool {
	h.in.tcp.mu.Lock()
	defer h.in.tcp.mu.Unlock()
	return h.in.tcp.run != nil
}

// TestInsideTCP has two sockets in a TUN echo what they get, more than a window
// of it; the stack is there only while it is used.
func TestInsideTCP(t *testing.T) {
	for _, tt := range []struct{ name, at string }{{"IPv4", "100.70.255.255:53"}, {"IPv6", "[fd12::35]:53"}} {
		t.Run(tt.name, func(t *testing.T) {
			h := newInsideHost(t)
			at := netip.MustParseAddrPort(tt.at)
			l, err := h.in.ListenTCP(at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.in.ListenTCP(at); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("twice: %v", err)
			}
			if h.running() {
				t.Error("there is a stack before anybody has connected")
			}
			var serving sync.WaitGroup
			serving.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					serving.Go(func() { io.Copy(c, c); c.Close() })
				}
			})
			for range 2 {
				c := h.dial(t, tt.at)
				sent := bytes.Repeat([]byte("question"), 40_000)
				go func() {
					c.Write(sent)
					c.(interface{ CloseWrite() error }).CloseWrite()
				}()
				if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
				}
				c.Close()
			}
			held := h.dial(t, tt.at)
			defer held.Close()
			if _, err := held.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(held, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			l.Close()
			l.Close()
			serving.Wait()
			if h.running() {
				t.Error("the stack outlives its last socket")
			}
			if again, err := h.in.ListenTCP(at); err != nil {
				t.Errorf("again: %v", err)
			} else {
				again.Close()
			}
		})
	}
}

// TestInsideTCPUnaccepted: who connects faster than anybody accepts is turned
// away, and nothing is left behind.
func TestInsideTCPUnaccepted(t *testing.T) {
	h := newInsideHost(t)
	l, err := h.in.ListenTCP(netip.MustParseAddrPort("100.70.255.255:53"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.in.ListenTCP(netip.MustParseAddrPort("[fd12::35]:53"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ended := make(chan struct{}, insideWaiting+1)
	connect := func() {
		defer func() { ended <- struct{}{} }()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c, err := h.DialContextTCPAddrPort(ctx, netip.MustParseAddrPort("100.70.255.255:53"))
		if err != nil {
			return // reset, before it saw that it stands
		}
		defer c.Close()
		c.Read(make([]byte, 1))
	}
	for range insideWaiting + 1 {
		go connect()
	}
	wait := func(what string) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s goes on", what)
		}
	}
	wait("one connection too many")
	l.Close()
	for range insideWaiting {
		wait("a connection that waits when its socket closes")
	}
	if !h.running() {
		t.Error("the stack ended before its last socket")
	}
}

// TestInsideTCPFlood: of many SYNs at once the stack sees only so many.
func TestInsideTCPFlood(t *testing.T) {
	in := NewInside(tuntest.New("kith0", 1420))
	at := netip.MustParseAddrPort("100.70.255.255:53")
	l, err := in.ListenTCP(at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 20 * synBurst {
		in.take(in.table.Load(), makeSYN(netip.AddrPortFrom(netip.MustParseAddr("100.70.0.1"), uint16(1024+i)), at))
	}
	if got := in.tcp.run.Stats().IP.PacketsReceived.Value(); got == 0 || got >= 10*synBurst {
		t.Errorf("%d SYNs came through", got)
	}
}

func makeSYN(src, dst netip.AddrPort) []byte {
	p := makeUDP(nil, src, dst, make([]byte, tcpHeader-udpHeader))
	p[9], p[10], p[11] = protoTCP, 0, 0
	sum := checksum(p[:20])
	p[10], p[11] = byte(sum>>8), byte(sum)
	clear(p[24:])
	p[32], p[33] = tcpHeader/4<<4, flagSYN
	return p
}

// FuzzInsideTCP reads what a program on this host may send to a socket in a TUN.
func FuzzInsideTCP(f *testing.F) {
	at := netip.MustParseAddrPort("100.70.255.255:53")
	syn := makeSYN(netip.MustParseAddrPort("100.70.0.1:4000"), at)
	f.Add(syn[20:])
	in := NewInside(tuntest.New("kith0", 1420))
	l, err := in.ListenTCP(at)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	in.take(in.table.Load(), bytes.Clone(syn))
	f.Fuzz(func(_ *testing.T, p []byte) {
		in.take(in.table.Load(), append(bytes.Clone(syn[:20]), p...))
	})
}
