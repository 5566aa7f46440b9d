package wire

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// memLink is one end of a link in memory.
type memLink struct {
	in, out chan []byte
	done    chan struct{} // shared by both ends
	once    *sync.Once
}

func linkPair() (a, b *memLink) {
	ab, ba := make(chan []byte, 1024), make(chan []byte, 1024)
	done, once := make(chan struct{}), &sync.Once{}
	return &memLink{ba, ab, done, once}, &memLink{ab, ba, done, once}
}

func (l *memLink) Read(b []byte) (int, error) {
	select {
	case m := <-l.in:
		if len(m) > len(b) {
			return 0, io.ErrShortBuffer
		}
		return copy(b, m), nil
	case <-l.done:
		return 0, net.ErrClosed
	}
}

func (l *memLink) Write(bufs [][]byte) error {
	for _, b := range bufs {
		select {
		case <-l.done:
			return net.ErrClosed
		case l.out <- append([]byte(nil), b...):
		default:
			return errors.New("queue full")
		}
	}
	return nil
}

func (l *memLink) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// apart is nodes on segments of their own: they cannot reach each other.
func apart(t testing.TB, names ...string) (*udptest.Net, []*node) {
	n := udptest.NewNet()
	var nodes []*node
	for i, name := range names {
		h := n.Host(name)
		h.Attach(n.Segment(name), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i + 1), 1}), 24))
		nodes = append(nodes, newNode(t, name, h))
	}
	return n, nodes
}

// TestLink: a link is a path like any other, for control and for WireGuard,
// and its end is noticed.
func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := apart(t, "a", "b")
		a, b := newGuard(n[0], "192.0.2.1"), newGuard(n[1], "192.0.2.2")
		defer a.end()
		defer b.end()
		a.n.wire.SetPeers([]Peer{b.n.peer()})
		b.n.wire.SetPeers([]Peer{a.n.peer()})
		a.configure(b)
		b.configure(a)
		a.n.wire.Want(b.n.id(), true)
		la, lb := linkPair()
		a.n.wire.Attach(b.n.id(), la)
		b.n.wire.Attach(a.n.id(), lb)
		time.Sleep(10 * time.Millisecond)
		a.n.wantPath(b.n, Direct, "invalid AddrPort")
		b.n.wantPath(a.n, Direct, "invalid AddrPort")
		for range 3 {
			if d := a.ping(b, time.Second); d < 0 {
				t.Fatal("no packet over the link")
			}
			if d := b.ping(a, time.Second); d < 0 {
				t.Fatal("no packet back over the link")
			}
		}
		echo(t, a.n, b.n)
		la.Close()
		a.n.wantPath(b.n, None, "")
		b.n.wantPath(a.n, None, "")
	})
}

// TestLinkEndsWithThePeer: who is no longer a peer has no link.
func TestLinkEndsWithThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, n := apart(t, "a", "b")
		defer n[0].stop()
		defer n[1].stop()
		la, _ := linkPair()
		n[0].wire.Attach(n[1].id(), la)
		synctest.Wait()
		if la.Write(nil); !closed(la) {
			t.Error("a stranger's link is open")
		}
		n[0].wire.SetPeers([]Peer{n[1].peer()})
		la, _ = linkPair()
		n[0].wire.Attach(n[1].id(), la)
		synctest.Wait()
		if closed(la) {
			t.Error("a peer's link was closed")
		}
		n[0].wire.SetPeers(nil)
		if synctest.Wait(); !closed(la) {
			t.Error("the link of a former peer is open")
		}
	})
}

func closed(l *memLink) bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// TestAddConn: who pings a further port is answered from it, by control and by
// WireGuard; when it is gone the main port takes over.
func TestAddConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, seg, na, nb := lan(t)
		seg.SetDelay(2 * time.Millisecond)
		a, b := newGuard(na, "192.0.2.1"), newGuard(nb, "192.0.2.2")
		defer a.end()
		defer b.end()
		further, err := nb.host.Listen(443)
		if err != nil {
			t.Fatal(err)
		}
		defer further.Close()
		remove := nb.wire.AddConn(further)
		na.wire.SetPeers([]Peer{nb.peer(addr("10.0.0.2:443"))})
		nb.wire.SetPeers([]Peer{na.peer()})
		a.configure(b)
		b.configure(a)
		na.wire.Want(nb.id(), true)
		block := true
		seg.SetFilter(func(d udptest.Datagram) bool {
			return !block || d.From.Port() == 443 || d.To.Port() == 443
		})
		time.Sleep(20 * time.Millisecond)
		na.wantPath(nb, LAN, "10.0.0.2:443")
		nb.wantPath(na, LAN, "10.0.0.1:30000")
		for range 3 {
			if d := a.ping(b, time.Second); d < 0 {
				t.Fatal("no packet over the further port")
			}
			if d := b.ping(a, time.Second); d < 0 {
				t.Fatal("no packet back over the further port")
			}
		}
		block = false
		remove()
		remove()
		time.Sleep(time.Second)
		nb.wire.Seek(na.id())
		time.Sleep(8 * time.Second)
		na.wantPath(nb, LAN, "")
		if d := a.ping(b, time.Second); d < 0 {
			t.Fatal("no packet over the main port")
		}
	})
}
