package discover

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// station is one end of a LAN in the contract test.
type station struct {
	Multicast
	ifaces []netmon.Interface
}

// index is that of the station's interface on the LAN.
func (s station) index() int {
	for _, i := range s.ifaces {
		if carries(i) {
			return i.Index
		}
	}
	return 0
}

// hears reads until want comes from the other end, and returns from where.
func (s station) hears(t *testing.T, want string) (from netip.Addr) {
	t.Helper()
	watchdog := time.AfterFunc(20*time.Second, func() { s.Close() })
	defer watchdog.Stop()
	buf := make([]byte, 2048)
	for {
		n, from, ifindex, err := s.Read(buf)
		if err != nil {
			t.Fatalf("while waiting for %q: %v", want, err)
		}
		if string(buf[:n]) == want {
			if ifindex != s.index() {
				t.Errorf("%q came in by interface %d, want %d", want, ifindex, s.index())
			}
			return from.Addr()
		}
	}
}

func (s station) send(t *testing.T, text string) {
	t.Helper()
	if err := s.Send([]byte(text), s.index()); err != nil {
		t.Fatalf("send %q: %v", text, err)
	}
}

// testMulticast is what a Multicast must do; a and b are on one LAN.
func testMulticast(t *testing.T, a, b station) {
	t.Helper()
	for _, s := range []station{a, b} {
		if err := s.Send([]byte("too early"), s.index()); err == nil {
			t.Error("sent without having joined")
		}
		for range 2 {
			if err := s.Join(s.ifaces[1:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.send(t, "to both")
	b.hears(t, "to both")
	a.hears(t, "to both")

	if err := b.Join(nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Send([]byte("from outside"), b.index()); err == nil {
		t.Error("sent after leaving")
	}
	if err := b.Join(b.ifaces[1:]); err != nil {
		t.Fatal(err)
	}
	a.send(t, "again")
	b.hears(t, "again")

	errs := make(chan error)
	go func() {
		for {
			if _, _, _, err := a.Read(make([]byte, 2048)); err != nil {
				errs <- err
				return
			}
		}
	}()
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-errs; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a waiting Read: %v", err)
	}
	if err := a.Send([]byte("too late"), a.index()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
	if err := a.Join(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Join after Close: %v", err)
	}
	b.Close()
}

func TestFakeMulticast(t *testing.T) {
	n := udptest.NewNet()
	lan := n.Segment("lan")
	var s [2]station
	for i, name := range []string{"a", "b"} {
		h := n.Host(name)
		h.Attach(lan, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 24))
		s[i] = station{h.Multicast(), h.Interfaces()}
	}
	testMulticast(t, s[0], s[1])
}
