package wire

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
	"kith.internal/helper/internal/wire/udp/udptest"
)

const testPort = 30000

// node is one device of a test.
type node struct {
	t       testing.TB
	name    string
	host    *udptest.Host
	conn    udp.Conn
	device  key.Private
	control key.ExchangePrivate
	wire    *Wire

	dialLink func(context.Context, Relay, func([]byte) ([]byte, error)) (Link, error)

	changes atomic.Int32 // of the neighbours
	opened  atomic.Int32 // further UDP ports, in all

	mu       sync.Mutex
	log      []string // what the handler was told
	sessions chan Session
}

func newNode(t testing.TB, name string, host *udptest.Host) *node {
	t.Helper()
	n := &node{t: t, name: name, host: host, device: key.New(), control: key.NewExchange(), sessions: make(chan Session, 16)}
	c, err := host.Listen(testPort)
	if err != nil {
		t.Fatal(err)
	}
	n.conn = c
	n.start()
	return n
}

func (n *node) start() {
	n.t.Helper()
	w, err := New(Config{Conn: n.conn, Device: n.device, Control: n.control, Handler: n, DialLink: n.dialLink, Listen: n.listen})
	if err != nil {
		n.t.Fatal(err)
	}
	n.wire = w
	n.setLocal()
}

func (n *node) listen(port uint16) (udp.Conn, error) {
	n.opened.Add(1)
	return n.host.Listen(port)
}

func (n *node) setLocal() { n.wire.SetLocal(n.host.Interfaces(), nil) }

// restart is what a new start of the process does to the wire.
func (n *node) restart(peers ...Peer) {
	n.t.Helper()
	n.wire.Close()
	n.start()
	n.wire.SetPeers(peers)
}

func (n *node) stop() {
	n.wire.Close()
	n.conn.Close()
}

func (n *node) id() key.Public { return n.device.Public() }

func (n *node) peer(candidates ...netip.AddrPort) Peer {
	return Peer{ID: n.id(), Control: n.control.Public(), Candidates: candidates}
}

func (n *node) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = append(n.log, fmt.Sprintf(format, args...))
}

// told gives what the handler was told since the last call.
func (n *node) told() []string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.log
	n.log = nil
	return out
}

func (n *node) PeerWants(id key.Public)           { n.note("wants") }
func (n *node) PeerRestarted(id key.Public)       { n.note("restarted") }
func (n *node) PathChanged(id key.Public, p Path) { n.note("path %v %v", p.Kind, p.Addr) }
func (n *node) NeighboursChanged()                { n.changes.Add(1) }
func (n *node) Accept(id key.Public, s Session)   { n.sessions <- s }

func (n *node) status(of *node) PeerStatus {
	n.t.Helper()
	synctest.Wait()
	s, ok := n.wire.PeerStatus(of.id())
	if !ok {
		n.t.Fatalf("%s does not know %s", n.name, of.name)
	}
	return s
}

func (n *node) wantPath(of *node, kind PathKind, addr string) {
	n.t.Helper()
	s := n.status(of)
	if s.Path.Kind != kind || addr != "" && s.Path.Addr.String() != addr {
		n.t.Fatalf("%s: path to %s is %v %v (%v), want %v %v", n.name, of.name, s.Path.Kind, s.Path.Addr, s.Reason, kind, addr)
	}
}

// peerOf is what the node holds of another; the wire must be at rest.
func (n *node) peerOf(o *node) *peer { return n.wire.dir.Load().byID[o.id()] }

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// lan is two nodes on one segment, 10.0.0.1 and 10.0.0.2.
func lan(t testing.TB) (n *udptest.Net, seg *udptest.Segment, a, b *node) {
	n = udptest.NewNet()
	seg = n.Segment("lan")
	ha, hb := n.Host("a"), n.Host("b")
	ha.Attach(seg, netip.MustParsePrefix("10.0.0.1/24"))
	hb.Attach(seg, netip.MustParsePrefix("10.0.0.2/24"))
	a, b = newNode(t, "a", ha), newNode(t, "b", hb)
	return n, seg, a, b
}

func (n *node) linkLocal() netip.AddrPort {
	for _, i := range n.host.Interfaces() {
		for _, p := range i.Prefixes {
			if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return netip.AddrPortFrom(p.Addr(), testPort)
			}
		}
	}
	n.t.Fatal("no link-local address")
	return netip.AddrPort{}
}

func TestFindEachOther(t *testing.T) {
	for _, c := range []struct {
		name string
		know func(b *node) netip.AddrPort
		path string
	}{
		{"by IPv4", func(b *node) netip.AddrPort { return addr("10.0.0.2:30000") }, "10.0.0.2:30000"},
		{"by link-local address alone, without zone", (*node).linkLocal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, seg, a, b := lan(t)
				defer a.stop()
				defer b.stop()
				seg.SetDelay(2 * time.Millisecond)
				a.wire.SetPeers([]Peer{b.peer(c.know(b))})
				b.wire.SetPeers([]Peer{a.peer()})
				a.wire.Want(b.id(), true)
				time.Sleep(20 * time.Millisecond)
				a.wantPath(b, LAN, c.path)
				b.wantPath(a, LAN, "")
				if got := b.told(); !slices.Contains(got, "wants") {
					t.Errorf("b was told %q, not that a wants a session", got)
				}
				if s := a.status(b); s.Path.RTT != 4*time.Millisecond {
					t.Errorf("RTT %v, want 4ms", s.Path.RTT)
				}
			})
		})
	}
}

func TestSession(t *testing.T) {
	for _, loss := range []float64{0, 0.2} {
		t.Run(fmt.Sprintf("loss %v", loss), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, seg, a, b := lan(t)
				defer a.stop()
				defer b.stop()
				seg.SetDelay(2 * time.Millisecond)
				seg.SetMTU(1280)
				seg.SetLoss(loss)
				a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.2:30000"))})
				b.wire.SetPeers([]Peer{a.peer()})
				echo(t, a, b)
			})
		})
	}
}

// echo opens a session from a to b, and has b send back what it gets.
func echo(t *testing.T, a, b *node) (Session, Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := a.wire.Dial(ctx, b.id())
	if err != nil {
		t.Fatal(err)
	}
	r := <-b.sessions
	if s.Peer() != b.id() || r.Peer() != a.id() {
		t.Fatal("the session is with someone else")
	}
	go func() {
		st, err := r.Accept(ctx)
		if err != nil {
			return
		}
		io.Copy(st, st)
		st.Close()
	}()
	st, err := s.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 100<<10)
	for i := range data {
		data[i] = byte(i * 7)
	}
	go func() {
		st.Write(data)
		st.Close()
	}()
	got, err := io.ReadAll(st)
	if err != nil || !slices.Equal(got, data) {
		t.Fatalf("got %d bytes back, %v", len(got), err)
	}
	return s, r
}

// TestBackAgain: a peer that was away for long is found at once when it is
// heard of again, at an address that was known.
func TestBackAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, seg, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		seg.SetDelay(2 * time.Millisecond)
		a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.2:30000"))})
		b.wire.SetPeers([]Peer{a.peer()})
		seg.SetDown(true)
		a.wire.Want(b.id(), true)
		time.Sleep(time.Hour)
		a.wantPath(b, None, "")
		seg.SetDown(false)
		a.wire.AddCandidates(b.id(), addr("10.0.0.2:30000"))
		time.Sleep(20 * time.Millisecond)
		a.wantPath(b, LAN, "")
	})
}
