package engine

import (
	"maps"
	"slices"
	"sync"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
)

// allowance is a bucket: most at once, then one in every.
type allowance struct {
	most  float64
	every time.Duration

	left float64
	at   time.Time // zero: it is full
}

func (a *allowance) allow(now time.Time) bool {
	a.left, a.at = a.now(now), now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}

func (a *allowance) now(now time.Time) float64 {
	if a.at.IsZero() {
		return a.most
	}
	return min(a.most, a.left+now.Sub(a.at).Seconds()/a.every.Seconds())
}

// askers bounds what friends' devices ask, over all their streams and sessions: a
// new one is no new allowance. Safe for concurrent use.
type askers struct {
	mu sync.Mutex
	of map[key.Public]*asker
}

type asker struct {
	sessions []wire.Session // the oldest first
	requests allowance
}

// enter counts a guest's session; where there are too many, the oldest ends.
func (a *askers) enter(s wire.Session) {
	if old := a.add(s, time.Now()); old != nil {
		old.Close(0)
	}
}

func (a *askers) add(s wire.Session, now time.Time) (old wire.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.of, func(_ key.Public, o *asker) bool {
		return len(o.sessions) == 0 && o.requests.now(now) == o.requests.most
	})
	o := a.of[s.Peer()]
	if o == nil {
		if a.of == nil {
			a.of = map[key.Public]*asker{}
		}
		o = &asker{requests: allowance{most: requestsBurst, every: requestEvery}}
		a.of[s.Peer()] = o
	}
	o.sessions = append(o.sessions, s)
	if len(o.sessions) > sessionsMost {
		old = o.sessions[0]
		o.sessions = slices.Delete(o.sessions, 0, 1)
	}
	return old
}

// leave ends what enter began.
func (a *askers) leave(s wire.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.of[s.Peer()]; o != nil { // one that was pushed out may end last
		o.sessions = slices.DeleteFunc(o.sessions, func(t wire.Session) bool { return t == s })
	}
}

// ask tells whether a guest that has entered may ask for something now.
func (a *askers) ask(id key.Public) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.of[id]
	return o != nil && o.requests.allow(time.Now())
}
