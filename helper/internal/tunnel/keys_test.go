package tunnel

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// wired is an end's tunnel on a wire of its own, and the wire's handler.
type wired struct {
	*end
	wire *wire.Wire
}

func (w *wired) PeerWants(id key.Public)           { w.tn.Ensure(id) }
func (w *wired) PeerRestarted(id key.Public)       { w.tn.Reset(id) }
func (*wired) PathChanged(key.Public, wire.Path)   {}
func (*wired) NeighboursChanged()                  {}
func (*wired) Accept(_ key.Public, s wire.Session) { s.Close(0) }

// wiredEnds is two tunnels on one LAN that know of each other.
func wiredEnds(t *testing.T) (a, b *end) {
	t.Helper()
	n := udptest.NewNet()
	lan := n.Segment("lan")
	lan.SetDelay(time.Millisecond)
	const port = 30000
	var ends []*wired
	var peers []wire.Peer
	for i, name := range []string{"a", "b"} {
		h := n.Host(name)
		at := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
		h.Attach(lan, netip.PrefixFrom(at, 24))
		c, err := h.Listen(port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		device, control := key.New(), key.NewExchange()
		w := &wired{end: newEnd(t, byte(i+1))}
		w.id = device.Public()
		if w.wire, err = wire.New(wire.Config{Conn: c, Device: device, Control: control, Handler: w}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.wire.Close() })
		w.wire.SetLocal(h.Interfaces(), nil)
		ends = append(ends, w)
		peers = append(peers, wire.Peer{ID: w.id, Control: control.Public(), Candidates: []netip.AddrPort{netip.AddrPortFrom(at, port)}})
	}
	for i, w := range ends {
		far := ends[1-i]
		w.far = far.end
		var err error
		if w.tn, err = New(bubbleTUN{w.tun}, w.wg, w.wire, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.tn.Close)
		w.tn.SetPeers([]Peer{far.peer()})
	}
	for i, w := range ends {
		w.wire.SetPeers([]wire.Peer{peers[1-i]})
	}
	return ends[0].end, ends[1].end
}

// TestKeys: a session goes on when either side gets another key, once both know;
// also where the two begin handshakes at once.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := wiredEnds(t)
		if !a.sends(time.Second) || !b.sends(time.Second) {
			t.Fatal("a packet is lost")
		}
		for _, e := range []*end{a, b, a} {
			e.wg = key.NewExchange()
			e.far.tn.SetPeers([]Peer{e.peer()})
			if err := e.tn.SetKey(e.wg); err != nil {
				t.Fatal(err)
			}
			if !e.sends(time.Second) || !e.far.sends(time.Second) {
				t.Error("with another key a packet is lost")
			}
			e.wg = key.NewExchange() // the other way around
			if err := e.tn.SetKey(e.wg); err != nil {
				t.Fatal(err)
			}
			e.far.tn.SetPeers([]Peer{e.peer()})
			if !e.far.sends(time.Second) || !e.sends(time.Second) {
				t.Error("with another key, known to its holder first, a packet is lost")
			}
		}
	})
}

// TestKeysOfBoth: both sides' keys change at once, and both have something to
// say in the same instant.
func TestKeysOfBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := wiredEnds(t)
		if !a.sends(time.Second) || !b.sends(time.Second) {
			t.Fatal("a packet is lost")
		}
		for range 30 {
			for _, e := range []*end{a, b} {
				e.wg = key.NewExchange()
				if err := e.tn.SetKey(e.wg); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range []*end{a, b} {
				e.far.tn.SetPeers([]Peer{e.peer()})
			}
			heard := make(chan bool, 2)
			for _, e := range []*end{a, b} {
				go func() { heard <- e.sends(time.Second) }()
			}
			for range 2 {
				if !<-heard {
					t.Error("with other keys of both a packet is lost")
				}
			}
			time.Sleep(10 * time.Second)
		}
	})
}
