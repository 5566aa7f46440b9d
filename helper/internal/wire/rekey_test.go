package wire

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
)

// rekey gives n another control key and returns it.
func (n *node) rekey() key.ExchangePrivate {
	n.control = key.NewExchange()
	n.wire.Rekey(n.control)
	return n.control
}

// TestRekey: a new control key costs neither path nor session, whoever hears of
// it first, and a peer that was away at the time is still understood.
func TestRekey(t *testing.T) {
	for _, c := range []struct {
		name  string
		first bool          // the peer hears of it before it is in force
		later time.Duration // than the other
	}{
		{"at once", false, 0},
		{"the peer hears of it later", false, 5 * time.Second},
		{"the peer hears of it first", true, 50 * time.Millisecond},
		{"the peer never hears of it", false, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, seg, na, nb := lan(t)
				seg.SetDelay(2 * time.Millisecond)
				na.wire.SetPeers([]Peer{nb.peer(addr("10.0.0.2:30000"))})
				nb.wire.SetPeers([]Peer{na.peer(addr("10.0.0.1:30000"))})
				a, b := newGuard(na, "192.0.2.1"), newGuard(nb, "192.0.2.2")
				defer a.end()
				defer b.end()
				b.configure(a)
				a.configure(b)
				na.wire.Want(nb.id(), true)
				nb.wire.Want(na.id(), true)
				s, err := na.wire.Dial(context.Background(), nb.id())
				if err != nil {
					t.Fatal(err)
				}
				if gap := talk(a, b, 2*time.Second); gap > 150*time.Millisecond {
					t.Fatalf("a gap of %v without a cause", gap)
				}
				na.told()
				nb.told()
				fresh := key.NewExchange()
				inForce := func() { na.control = fresh; na.wire.Rekey(fresh) }
				heard := func() {
					p := na.peer(addr("10.0.0.1:30000"))
					p.Control = fresh.Public()
					nb.wire.SetPeers([]Peer{p})
				}
				if c.first {
					inForce, heard = heard, inForce
				}
				inForce()
				time.AfterFunc(c.later, heard)
				if gap := talk(a, b, 20*time.Second); gap > 150*time.Millisecond {
					t.Errorf("a gap of %v", gap)
				}
				na.wantPath(nb, LAN, "")
				nb.wantPath(na, LAN, "")
				if said := append(na.told(), nb.told()...); len(said) > 0 {
					t.Errorf("told of %v", said)
				}
				if s.Context().Err() != nil {
					t.Error("the session is gone")
				}
				s.Close(0)
			})
		})
	}
}

// TestRekeyAway: a peer that has not heard of a new key, because it was away,
// finds the device all the same, after a restart of that too.
func TestRekeyAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		before := a.control
		old := a.peer(addr("10.0.0.1:30000"))
		a.rekey()
		a.wire.Close()
		w, err := New(Config{Conn: a.conn, Device: a.device, Control: a.control, Former: &before, Handler: a})
		if err != nil {
			t.Fatal(err)
		}
		a.wire = w
		a.setLocal()
		a.wire.SetPeers([]Peer{b.peer()})
		b.wire.SetPeers([]Peer{old})
		b.wire.Seek(a.id())
		time.Sleep(3 * time.Second)
		b.wantPath(a, LAN, "")
		a.wantPath(b, LAN, "")
		// And no longer once it is forgotten.
		a.wire.Close()
		a.start()
		a.wire.SetPeers([]Peer{b.peer()})
		b.wire.NetworkChanged()
		time.Sleep(20 * time.Second)
		b.wantPath(a, None, "")
	})
}

// TestExpect: a peer that uses our next key before we do is understood.
func TestExpect(t *testing.T) {
	for _, expected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			_, _, na, nb := lan(t)
			defer na.wire.Close()
			defer nb.wire.Close()
			na.wire.SetPeers([]Peer{nb.peer(addr("10.0.0.2:30000"))})
			fresh := key.NewExchange()
			p := na.peer(addr("10.0.0.1:30000"))
			p.Control = fresh.Public()
			nb.wire.SetPeers([]Peer{p})
			if expected {
				na.wire.Expect(fresh)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			s, err := nb.wire.Dial(ctx, na.id())
			if (err == nil) != expected {
				t.Errorf("expected %v: a session with %v", expected, err)
			}
			if err == nil {
				s.Close(0)
			}
		})
	}
}
