package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

func TestWatchCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard(&ipc.Status{State: ipc.StateStarting})
		s := New(Config{Source: b, Authorizer: policy{}})
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var at []time.Duration
		var revs []uint64
		var last int64
		done := make(chan error)
		rights := func() []ipc.Right { return []ipc.Right{ipc.RightOperate} }
		go func() {
			done <- s.watch(ctx, rights, func(ev ipc.Event) error {
				at = append(at, time.Since(start))
				revs = append(revs, ev.Rev)
				for _, p := range ev.Peers {
					last = int64(*p.Peer.RxBytes)
				}
				return nil
			})
		}()
		synctest.Wait()
		if d := cmp.Diff([]time.Duration{0}, at); d != "" {
			t.Errorf("the snapshot (-want +got):\n%s", d)
		}
		b.Publish(withTraffic(0))
		time.Sleep(10 * time.Second) // the fake clock's
		synctest.Wait()
		idle := len(at)
		if idle != 2 {
			t.Errorf("%d events for one change", idle-1)
		}
		// The first change after a quiet time goes out at once.
		before := time.Since(start)
		b.Publish(withTraffic(1))
		synctest.Wait()
		if len(at) != idle+1 || at[idle] != before {
			t.Errorf("a change was held back: %v, want %v", at[idle:], before)
		}
		// A busy second comes to ten events, and the last state arrives.
		for i := range uint64(1000) {
			b.Publish(withTraffic(i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(at) - idle; n > 12 || n < 9 {
			t.Errorf("%d events in a second", n)
		}
		if last != 999 {
			t.Errorf("the last state seen is %d", last)
		}
		for i, r := range revs {
			if r != uint64(i+1) {
				t.Fatalf("revisions %v", revs)
			}
		}
		cancel()
		<-done
	})
}

func withTraffic(n uint64) *ipc.Status {
	return &ipc.Status{State: ipc.StateRunning, Networks: []ipc.Network{{
		Name: "home", Alias: "home", ID: "1", Peers: []ipc.Peer{{Name: "nas", Key: "k", RxBytes: &n}},
	}}}
}

// TestWatchFollowsRights: what an operator saw is taken back with the right.
func TestWatchFollowsRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := withTraffic(7)
		b := NewBoard(st)
		s := New(Config{Source: b, Authorizer: policy{}})
		ctx, cancel := context.WithCancel(t.Context())
		may := []ipc.Right{ipc.RightOperate}
		var events []ipc.Event
		done := make(chan error)
		go func() {
			done <- s.watch(ctx, func() []ipc.Right { return may }, func(ev ipc.Event) error {
				events = append(events, ev)
				return nil
			})
		}()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		may = nil
		b.Publish(st)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(events) != 2 {
			t.Fatalf("%d events", len(events))
		}
		if rx := events[0].Snapshot.Networks[0].Peers[0].RxBytes; rx == nil || *rx != 7 {
			t.Errorf("the operator saw %v", rx)
		}
		if ev := events[1]; ev.May == nil || len(*ev.May) != 0 || len(ev.Peers) != 1 || ev.Peers[0].Peer.RxBytes != nil {
			t.Errorf("after losing the right: %+v", ev)
		}
		// Traffic alone is no news to a reader.
		b.Publish(withTraffic(8))
		time.Sleep(time.Second)
		synctest.Wait()
		if len(events) != 2 {
			t.Errorf("a reader heard of traffic: %+v", events[2])
		}
		cancel()
		<-done
	})
}
