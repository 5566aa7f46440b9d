package udp_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/helper/internal/wire/udp"
	"kith.internal/helper/internal/wire/udp/udptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// contract runs a test against the host's sockets and against the fake's.
func contract(t *testing.T, test func(t *testing.T, listen func(uint16) (udp.Conn, error))) {
	t.Run("sockets", func(t *testing.T) { test(t, udp.Listen) })
	t.Run("fake", func(t *testing.T) { test(t, udptest.NewNet().Host("h").Listen) })
}

// open opens a port for the time of the test.
func open(t testing.TB, listen func(uint16) (udp.Conn, error)) udp.Conn {
	t.Helper()
	c, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if !c.Has4() || !c.Has6() {
		t.Fatalf("the tests need IPv4 (%v) and IPv6 (%v)", c.Has4(), c.Has6())
	}
	return c
}

// loopbacks are the local addresses by reader.
var loopbacks = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}

func at(addr netip.Addr, c udp.Conn) netip.AddrPort { return netip.AddrPortFrom(addr, c.Port()) }

// collect reads n datagrams. It copies them.
func collect(t *testing.T, read func([]udp.Packet) (int, error), n int) (out []udp.Packet) {
	t.Helper()
	pkts := make([]udp.Packet, udp.MaxBatch)
	for i := range pkts {
		pkts[i].Buf = make([]byte, 1<<16)
	}
	for len(out) < n {
		got, err := read(pkts)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(out), n, err)
		}
		for _, p := range pkts[:got] {
			p.Buf = bytes.Clone(p.Buf[:p.N])
			out = append(out, p)
		}
	}
	return out
}

func TestPortIsTakenOnce(t *testing.T) {
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		c := open(t, listen)
		if c.Port() <= 20000 {
			t.Errorf("port %d", c.Port())
		}
		if _, err := listen(c.Port()); !errors.Is(err, udp.ErrInUse) {
			t.Fatalf("second listener: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatalf("second Close: %v", err)
		}
		again, err := listen(c.Port())
		if err != nil {
			t.Fatalf("after Close: %v", err)
		}
		again.Close()
	})
}

func TestAnswerFromWhereItCame(t *testing.T) {
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a, b := open(t, listen), open(t, listen)
		for i, lo := range loopbacks {
			if err := a.WriteBatch([][]byte{[]byte("ask")}, at(lo, b), udp.Source{}); err != nil {
				t.Fatal(err)
			}
			p := collect(t, b.Readers()[i], 1)[0]
			if string(p.Buf) != "ask" || p.Addr != at(lo, a) || p.Src.Addr != lo || p.Src.Index == 0 {
				t.Fatalf("got %q from %v at %v", p.Buf, p.Addr, p.Src)
			}
			if err := b.WriteBatch([][]byte{[]byte("answer")}, p.Addr, p.Src); err != nil {
				t.Fatal(err)
			}
			if p := collect(t, a.Readers()[i], 1)[0]; string(p.Buf) != "answer" || p.Addr != at(lo, b) {
				t.Fatalf("got %q from %v", p.Buf, p.Addr)
			}
		}
	})
}

func TestStaleSourceIsNoError(t *testing.T) {
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a, b := open(t, listen), open(t, listen)
		gone := [][]udp.Source{
			{{Addr: netip.MustParseAddr("192.0.2.77"), Index: 1}, {Addr: netip.MustParseAddr("192.0.2.77"), Index: 9999}, {Index: 9999}},
			{{Addr: netip.MustParseAddr("2001:db8::77"), Index: 1}, {Addr: netip.MustParseAddr("2001:db8::77"), Index: 9999}, {Index: 9999}},
		}
		bufs := [][]byte{make([]byte, 100), make([]byte, 100), make([]byte, 100)}
		for i, lo := range loopbacks {
			for _, src := range append(gone[i], gone[1-i]...) {
				if err := a.WriteBatch(bufs, at(lo, b), src); err != nil {
					t.Fatalf("from %v: %v", src, err)
				}
				if p := collect(t, b.Readers()[i], 3)[2]; p.Addr != at(lo, a) {
					t.Fatalf("from %v: heard from %v", src, p.Addr)
				}
			}
		}
	})
}

func TestBatchesArriveWholeAndInOrder(t *testing.T) {
	mixes := map[string]func(i int) int{
		"alike":       func(int) int { return 1400 },
		"one byte":    func(int) int { return 1 },
		"short tails": func(i int) int { return 1400 - i%7*100 },
		"growing":     func(i int) int { return 10 * (i + 1) },
		"with empty":  func(i int) int { return i % 3 * 500 },
		"large":       func(i int) int { return 9000 - min(i, 16)/16*8900 }, // what a default buffer holds
		"runs of 70":  func(i int) int { return 500 + i/70 },
	}
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a, b := open(t, listen), open(t, listen)
		for name, size := range mixes {
			for _, count := range []int{1, 2, 63, 64, 65, udp.MaxBatch} {
				bufs := make([][]byte, count)
				for i := range bufs {
					bufs[i] = bytes.Repeat([]byte{byte(i + 1)}, size(i))
				}
				for i, lo := range loopbacks {
					if err := a.WriteBatch(bufs, at(lo, b), udp.Source{}); err != nil {
						t.Fatal(err)
					}
					for j, p := range collect(t, b.Readers()[i], count) {
						if !bytes.Equal(p.Buf, bufs[j]) {
							t.Fatalf("%s, %d to %v: datagram %d differs: %d bytes, want %d", name, count, lo, j, len(p.Buf), len(bufs[j]))
						}
					}
				}
			}
		}
	})
}

func TestFewAndSmallBuffers(t *testing.T) {
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a, b := open(t, listen), open(t, listen)
		var bufs [][]byte
		for i := range 40 {
			bufs = append(bufs, fmt.Appendf(nil, "%09d", i))
		}
		if err := a.WriteBatch(bufs, at(loopbacks[0], b), udp.Source{}); err != nil {
			t.Fatal(err)
		}
		read := b.Readers()[0]
		if n, err := read(nil); n != 0 || err != nil {
			t.Fatalf("into nothing: %d, %v", n, err)
		}
		var got, want []string
		for i := 0; i < 40; {
			pkts := []udp.Packet{{Buf: make([]byte, 9)}, {Buf: make([]byte, 4)}, {Buf: make([]byte, 9)}}
			n, err := read(pkts)
			if err != nil {
				t.Fatal(err)
			}
			for j, p := range pkts[:n] {
				got = append(got, string(p.Buf[:p.N]))
				want = append(want, string(bufs[i][:min(9, len(pkts[j].Buf))]))
				i++
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestInterruptAndResume(t *testing.T) {
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a, b := open(t, listen), open(t, listen)
		errs := make(chan error, 2)
		for _, read := range b.Readers() {
			go func() {
				_, err := read([]udp.Packet{{Buf: make([]byte, 10)}})
				errs <- err
			}()
		}
		b.Interrupt()
		for range 2 {
			if err := <-errs; err != os.ErrDeadlineExceeded {
				t.Fatalf("a waiting reader: %v", err)
			}
		}
		for i, lo := range loopbacks {
			if err := a.WriteBatch([][]byte{[]byte("kept")}, at(lo, b), udp.Source{}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Readers()[i]([]udp.Packet{{Buf: make([]byte, 10)}}); err != os.ErrDeadlineExceeded {
				t.Fatalf("before Resume: %v", err)
			}
		}
		b.Interrupt()
		b.Resume()
		b.Resume()
		for i := range loopbacks {
			if p := collect(t, b.Readers()[i], 1)[0]; string(p.Buf) != "kept" {
				t.Fatalf("after Resume: %q", p.Buf)
			}
		}
	})
}

func TestClose(t *testing.T) {
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a := open(t, listen)
		errs := make(chan error, 2)
		for _, read := range a.Readers() {
			go func() {
				_, err := read([]udp.Packet{{Buf: make([]byte, 10)}})
				errs <- err
			}()
		}
		a.Close()
		for range 2 {
			if err := <-errs; err != net.ErrClosed {
				t.Errorf("a waiting reader: %v", err)
			}
		}
		if _, err := a.Readers()[0]([]udp.Packet{{Buf: make([]byte, 10)}}); err != net.ErrClosed {
			t.Errorf("a late reader: %v", err)
		}
		if err := a.WriteBatch([][]byte{{1}}, at(loopbacks[0], a), udp.Source{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch: %v", err)
		}
		a.Interrupt()
		a.Resume()
	})
}

func TestUnfitToSend(t *testing.T) {
	tests := []struct {
		name string
		bufs int
		to   string
	}{
		{"a batch too large", udp.MaxBatch + 1, "127.0.0.1:9"},
		{"a zone that is a name", 1, "[fe80::1%lo]:9"},
		{"link-local without zone", 1, "[fe80::1]:9"},
	}
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a := open(t, listen)
		for _, tt := range tests {
			if err := a.WriteBatch(make([][]byte, tt.bufs), netip.MustParseAddrPort(tt.to), udp.Source{}); err == nil {
				t.Errorf("%s: no error", tt.name)
			}
		}
		if err := a.WriteBatch([][]byte{{1}}, netip.AddrPort{}, udp.Source{}); err == nil {
			t.Error("no address: no error")
		}
		if err := a.WriteBatch(nil, at(loopbacks[0], a), udp.Source{}); err != nil {
			t.Errorf("nothing to send: %v", err)
		}
	})
}

// TestSendersSideBySide overruns the socket's buffer from several goroutines.
func TestSendersSideBySide(t *testing.T) {
	contract(t, func(t *testing.T, listen func(uint16) (udp.Conn, error)) {
		a, b := open(t, listen), open(t, listen)
		const senders = 4
		done := make(chan error, senders)
		for range senders {
			go func() {
				bufs := make([][]byte, udp.MaxBatch)
				for i := range bufs {
					bufs[i] = make([]byte, 1000)
				}
				for range 20 {
					if err := a.WriteBatch(bufs, at(loopbacks[1], b), udp.Source{}); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range senders {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		watchdog := time.AfterFunc(10*time.Second, func() { b.Close() })
		defer watchdog.Stop()
		for _, p := range collect(t, b.Readers()[1], udp.MaxBatch) {
			if len(p.Buf) != 1000 {
				t.Fatalf("a datagram of %d bytes", len(p.Buf))
			}
		}
	})
}

func TestZones(t *testing.T) {
	a := netip.MustParseAddr("fe80::1")
	if got := udp.WithIndex(a, 17); got.String() != "fe80::1%17" || udp.Index(got) != 17 {
		t.Errorf("%v has index %d", got, udp.Index(got))
	}
	for _, zone := range []string{"", "eth0", "-3"} {
		if n := udp.Index(a.WithZone(zone)); n != 0 {
			t.Errorf("zone %q is index %d", zone, n)
		}
	}
}
