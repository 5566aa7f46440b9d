package wire

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
)

// TestDialEnds: a dial to a peer that is not there ends with its context, and
// with the peer.
func TestDialEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.99:30000"))})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := a.wire.Dial(ctx, b.id()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("dial gave %v after %v", err, time.Since(start))
		}
		if s := a.status(b); s.Reason != Idle {
			t.Errorf("after the dial the peer is %v", s.Reason)
		}
		got := make(chan error)
		for _, end := range []func(){func() { a.wire.SetPeers(nil) }, func() { a.wire.Close() }} {
			a.wire.SetPeers(nil)
			a.wire.SetPeers([]Peer{b.peer()})
			go func() {
				_, err := a.wire.Dial(t.Context(), b.id())
				got <- err
			}()
			time.Sleep(time.Second)
			if s := a.status(b); s.Reason != NoCandidates {
				t.Errorf("without an address the peer is %v", s.Reason)
			}
			end()
			if err := <-got; err == nil {
				t.Error("dial to nobody worked")
			}
		}
		if _, err := a.wire.Dial(t.Context(), b.id()); !errors.Is(err, ErrClosed) {
			t.Errorf("dial on a closed wire: %v", err)
		}
	})
}

// TestWrongKey: whoever can seal as a peer, but is not it, gets no session.
func TestWrongKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, side := range []string{"caller", "called"} {
			_, _, a, b := lan(t)
			pa, pb := a.peer(), b.peer(addr("10.0.0.2:30000"))
			if side == "caller" {
				pa.ID = key.New().Public()
			} else {
				pb.ID = key.New().Public()
			}
			a.wire.SetPeers([]Peer{pb})
			b.wire.SetPeers([]Peer{pa})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			s, err := a.wire.Dial(ctx, pb.ID)
			if err == nil {
				// The caller is through before the called has looked at its key.
				_, err = s.Accept(ctx)
			}
			if err == nil || ctx.Err() != nil {
				t.Errorf("the %s has another key: %v", side, err)
			}
			if len(b.sessions) != 0 {
				t.Errorf("the %s has another key, and the session was accepted", side)
			}
			cancel()
			a.stop()
			b.stop()
		}
	})
}

// TestHandshakeRate: a peer can begin only so many sessions.
func TestHandshakeRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		b.sessions = make(chan Session, 100)
		a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.2:30000"))})
		b.wire.SetPeers([]Peer{a.peer()})
		worked := 0
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if _, err := a.wire.Dial(ctx, b.id()); err == nil {
				worked++
			}
			cancel()
		}
		if worked < 8 || worked > 12 {
			t.Errorf("%d sessions at once", worked)
		}
	})
}

// TestConcurrent calls everything from everywhere, for the race detector.
func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seg, a, b := guards(t)
		defer a.end()
		defer b.end()
		seg.SetLoss(0.05)
		b.configure(a)
		a.configure(b)
		peers := []Peer{b.n.peer(addr("10.0.0.2:30000"))}
		for i := range 50 {
			peers = append(peers, Peer{ID: key.New().Public(), Control: key.NewExchange().Public(), Candidates: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 50)}), 1)}})
		}
		w, id := a.n.wire, b.n.id()
		until := time.Now().Add(5 * time.Second)
		var wg sync.WaitGroup
		often := func(every time.Duration, do func(i int)) {
			wg.Go(func() {
				for i := 0; time.Now().Before(until); i++ {
					do(i)
					time.Sleep(every)
				}
			})
		}
		often(70*time.Millisecond, func(i int) { w.SetPeers(peers[:1+i%len(peers)]) })
		often(900*time.Millisecond, func(i int) { w.NetworkChanged() })
		often(300*time.Millisecond, func(i int) { a.n.setLocal() })
		often(110*time.Millisecond, func(i int) { w.Want(id, i%3 != 0); w.SetConfigured(id, i%4 != 0) })
		often(130*time.Millisecond, func(i int) { w.Seek(peers[i%len(peers)].ID); w.Status() })
		often(170*time.Millisecond, func(i int) { w.AddCandidates(id, addr("10.0.0.2:30000"), addr("[fe80::1]:1")) })
		often(2*time.Second, func(i int) { a.dev.Down(); a.dev.Up() })
		often(400*time.Millisecond, func(i int) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if s, err := w.Dial(ctx, id); err == nil {
				s.Close(0)
			}
		})
		wg.Go(func() { talk(a, b, 5*time.Second) })
		wg.Wait()
		w.Want(id, true)
		w.SetConfigured(id, true)
		time.Sleep(3 * time.Second)
		a.n.wantPath(b.n, LAN, "")
		if d := a.ping(b, 6*time.Second); d < 0 && a.ping(b, 6*time.Second) < 0 { // a second one: some get lost
			t.Error("no packet gets through any more")
		}
	})
}

// TestSessionsBounded: who begins session after session, as fast as it may, holds
// a bounded number of them, and its newest works.
func TestSessionsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.2:30000"))})
		b.wire.SetPeers([]Peer{a.peer()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for i := range 100 {
			if _, err := a.wire.Dial(ctx, b.id()); err != nil {
				t.Fatal(err)
			}
			<-b.sessions
			time.Sleep(1100 * time.Millisecond)
			if got := b.status(a).Sessions; got > sessionsTheirs {
				t.Fatalf("%d sessions after %d were begun", got, i+1)
			}
		}
		if got := a.status(b).Sessions; got > sessionsTheirs+1 {
			t.Errorf("%d are open on the other side", got)
		}
		echo(t, a, b)
	})
}
