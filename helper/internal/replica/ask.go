package replica

import (
	"time"

	"kith.internal/helper/internal/key"
)

// How far a question for a member's presence goes in a network that does not
// flood, and for how long its askers are remembered.
const (
	askHops  = 6 // of six neighbours each: further than the ring of 5,000 members is wide
	askFor   = 10 * time.Second
	askMost  = 256 // members asked for at once
	whoMost  = 64  // in one message
	askersOf = 8   // neighbours that wait for one member's word
)

// asking is a member whose presence neighbours have asked for and nobody here
// knows.
type asking struct {
	until time.Time
	links []*link
}

// Ask asks the neighbours for a member's presence, and they theirs: large
// networks do not flood it.
func (r *Replica) Ask(id key.Public) {
	for _, l := range r.others(id) {
		l.send(message{Who: [][]byte{id[:]}, Hops: askHops})
	}
}

// answerWho says what is known, and asks on for the rest: each member at most
// once in a while, so that a question passes each link once, whoever repeats it.
func (r *Replica) answerWho(l *link, who [][]byte, hops uint8) {
	var out, on [][]byte
	now := time.Now()
	r.mu.Lock()
	for _, w := range who[:min(len(who), whoMost)] {
		if len(w) != len(key.Public{}) {
			continue
		}
		id := key.Public(w)
		switch {
		case id == r.self && r.ownRaw != nil:
			out = append(out, r.ownRaw)
		case r.presence[id].raw != nil:
			out = append(out, r.presence[id].raw)
		case hops > 0 && r.askOn(l, id, now):
			on = append(on, w)
		}
	}
	r.mu.Unlock()
	if len(out) > 0 {
		l.send(message{Presence: out})
	}
	if len(on) == 0 {
		return
	}
	for _, o := range r.others(l.id) {
		o.send(message{Who: on, Hops: min(hops, askHops) - 1})
	}
}

// askOn notes who asks, and tells whether to ask on. Callers hold mu.
func (r *Replica) askOn(l *link, id key.Public, now time.Time) bool {
	if !r.standing(id) || !r.standing(l.id) {
		return false
	}
	if a := r.asked[id]; a != nil && a.until.After(now) {
		if len(a.links) < askersOf {
			a.links = append(a.links, l)
		}
		return false
	}
	for id, a := range r.asked {
		if !a.until.After(now) {
			delete(r.asked, id)
		}
	}
	if len(r.asked) >= askMost || !r.askPace.allow(now) {
		return false
	}
	r.asked[id] = &asking{now.Add(askFor), []*link{l}}
	return true
}

// answerAsking hands a member's word to the neighbours that wait for it.
func (r *Replica) answerAsking(id key.Public, raw []byte, from key.Public) {
	r.mu.Lock()
	a := r.asked[id]
	delete(r.asked, id)
	var to []*link
	if a != nil && a.until.After(time.Now()) {
		for _, l := range a.links {
			if l.id != from && r.links[l.id] == l && r.standing(l.id) {
				to = append(to, l)
			}
		}
	}
	r.mu.Unlock()
	for _, l := range to {
		l.send(message{Presence: [][]byte{raw}})
	}
}
