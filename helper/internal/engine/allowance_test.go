package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
)

func TestAllowance(t *testing.T) {
	a := allowance{most: hastyMost, every: hastyEvery}
	now := time.Unix(0, 0)
	for i := range hastyMost {
		if !a.allow(now) {
			t.Fatalf("hasty word %d is refused", i)
		}
	}
	if a.allow(now.Add(hastyEvery - time.Second)) {
		t.Error("one too many")
	}
	if !a.allow(now.Add(hastyEvery)) {
		t.Error("refused after a while")
	}
}

// session is one by its peer alone.
type session struct {
	wire.Session
	peer   key.Public
	closed int
}

func (s *session) Peer() key.Public   { return s.peer }
func (s *session) Close(uint64) error { s.closed++; return nil }

// TestAskers: new sessions are no new allowance, and push out the oldest.
func TestAskers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a askers
		one, other := key.New().Public(), key.New().Public()
		asks := func(id key.Public) (n int) {
			for a.ask(id) {
				n++
			}
			return n
		}
		if asks(one) != 0 {
			t.Error("asks without a session")
		}
		var all []*session
		for range sessionsMost + 2 {
			all = append(all, &session{peer: one})
			a.enter(all[len(all)-1])
		}
		for i, s := range all {
			if s.closed > 0 != (i < 2) {
				t.Errorf("session %d of %d: closed %d times", i, len(all), s.closed)
			}
		}
		if n := asks(one); n != requestsBurst {
			t.Errorf("%d requests at once", n)
		}
		for _, s := range all {
			a.leave(s)
		}
		again := &session{peer: one}
		if a.enter(again); asks(one) != 0 {
			t.Error("a new session is a new allowance")
		}
		a.enter(&session{peer: other})
		if n := asks(other); n != requestsBurst {
			t.Errorf("another has %d", n)
		}
		time.Sleep(5 * requestEvery)
		if n := asks(one); n != 5 {
			t.Errorf("%d after 5 s", n)
		}
		a.leave(again)
		time.Sleep((requestsBurst + 1) * requestEvery)
		a.enter(&session{peer: other})
		if len(a.of) != 1 {
			t.Errorf("%d are remembered", len(a.of))
		}
		a.leave(all[0])
	})
}
