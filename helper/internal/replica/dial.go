package replica

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// rewireEvery is how far apart newcomers change whom we dial in a large network:
// where many join at once, each link would soon give way to the next.
const rewireEvery = 3 * time.Second

// rewire chooses whom to dial, and dials them; due tells that it has waited for
// that.
func (r *Replica) rewire(due bool) {
	r.mu.Lock()
	if due {
		r.rewiring = false
	}
	if r.closed {
		r.mu.Unlock()
		return
	}
	whole := len(r.chosen) > 0 && !slices.ContainsFunc(r.chosen, func(id key.Public) bool { return !r.members[id] })
	switch wait := rewireEvery - time.Since(r.rewired); {
	case due || !whole || wait <= 0 || len(r.members) <= floodUpTo:
		r.choose()
		r.rewired = time.Now()
	case !r.rewiring:
		r.rewiring = true
		time.AfterFunc(wait, func() { r.rewire(true) })
	}
	spare := r.spare()
	chosen := slices.Clone(r.chosen)
	for id, d := range r.dialling {
		if !d.asked && !slices.Contains(chosen, id) {
			d.cancel()
			delete(r.dialling, id)
		}
	}
	r.mu.Unlock()
	for _, l := range spare {
		l.finish()
	}
	for _, id := range chosen {
		r.dial(id)
	}
}

// choose picks whom to dial: everybody in a small network; in a large one the
// successors of our own key on the ring of keys, and one at random, so that the
// whole is connected whatever the order of arrival.
func (r *Replica) choose() {
	all := make([]key.Public, 0, len(r.members))
	for id := range r.members {
		all = append(all, id)
	}
	slices.SortFunc(all, func(a, b key.Public) int { return slices.Compare(a[:], b[:]) })
	if len(all) < AllLinked {
		r.chosen = all
		return
	}
	at, _ := slices.BinarySearchFunc(all, r.self, func(a, b key.Public) int { return slices.Compare(a[:], b[:]) })
	next := make([]key.Public, 0, neighbours)
	for i := range neighbours - 1 {
		next = append(next, all[(at+i)%len(all)])
	}
	// Kept while it can be, or each change of the roster would add a link.
	if !r.members[r.random] || slices.Contains(next, r.random) {
		r.random = all[(at+len(next)+rand.IntN(len(all)-len(next)))%len(all)]
	}
	r.chosen = append(next, r.random)
}

// spare is the links that we have dialled while the network was smaller, or
// nobody else could be reached: whoever is dialled by many would have no room
// for those who choose it. Callers hold mu.
func (r *Replica) spare() (out []*link) {
	if len(r.members) < AllLinked {
		return nil
	}
	linked := 0
	for _, id := range r.chosen {
		if r.links[id] != nil {
			linked++
		}
	}
	if linked < enoughLinks {
		return nil
	}
	for id, l := range r.links {
		if l.ours && r.members[id] && !slices.Contains(r.chosen, id) {
			out = append(out, l)
		}
	}
	return out
}

// PathUp tells that a member can be reached now. A session that has outlived the
// silence repeats what was lost only seconds later, as QUIC backs off: something
// new to say makes it notice at once (RFC 9002 §6.1).
func (r *Replica) PathUp(id key.Public) {
	r.mu.Lock()
	l := r.links[id]
	want := slices.Contains(r.chosen, id) || len(r.links) == 0 && r.members[id]
	r.mu.Unlock()
	switch {
	case l != nil:
		l.sayDigest()
	case want:
		r.reach(id, true)
	}
}

// dialling is a dial under way. One that nobody asked for ends when its member
// is chosen no longer: as many join at once, that is so soon.
type dialling struct {
	cancel func()
	asked  bool
}

// dial opens a link with a chosen member unless there is one.
func (r *Replica) dial(id key.Public) { r.reach(id, false) }

func (r *Replica) reach(id key.Public, asked bool) {
	r.mu.Lock()
	if d := r.dialling[id]; d != nil {
		d.asked = d.asked || asked
		r.mu.Unlock()
		return
	}
	if r.closed || r.links[id] != nil || !r.members[id] {
		r.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	d := &dialling{cancel, asked}
	r.dialling[id] = d
	r.wg.Go(func() {
		s, err := r.cfg.Wire.Dial(ctx, id)
		cancel()
		r.mu.Lock()
		if r.dialling[id] == d {
			delete(r.dialling, id)
		}
		r.mu.Unlock()
		if err == nil {
			r.run(id, s, true)
		}
	})
	r.mu.Unlock()
}

// A link that has ended is dialled again soon: the peer may have restarted, or
// have removed us and wait to say so. One that ends again and again, as with a
// member that has no room for more, is dialled ever less often.
const (
	againAfter = 300 * time.Millisecond // doubled each time
	againMost  = 10                     // times doubled: five minutes
	briefMost  = 4                      // links in a row that did not last, to leave it to that
	lasting    = 10 * time.Second
)

func (r *Replica) again(id key.Public, lived time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.brief[id]
	if lived >= lasting {
		n = 0
	}
	r.brief[id] = min(n+1, againMost)
	if !r.closed && slices.Contains(r.chosen, id) {
		time.AfterFunc(againAfter<<n, func() { r.dial(id) })
	}
}

// maintain dials chosen neighbours that are not linked, and says our presence
// again, at a slow pace; quick reactions come from PathUp.
func (r *Replica) maintain() {
	redial := time.NewTicker(redialEvery)
	again := time.NewTicker(presenceEvery)
	defer redial.Stop()
	defer again.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-redial.C:
			r.mu.Lock()
			chosen := slices.DeleteFunc(slices.Clone(r.chosen), func(id key.Public) bool { return r.brief[id] > briefMost })
			spare := r.spare()
			r.mu.Unlock()
			for _, id := range chosen {
				r.dial(id)
			}
			for _, l := range spare {
				l.finish()
			}
		case <-again.C:
			r.mu.Lock()
			p := r.own
			r.mu.Unlock()
			if !p.Device.IsZero() {
				r.SetPresence(p)
			}
		}
	}
}

// Redial tries all chosen neighbours now, for a network change or a wake-up.
func (r *Replica) Redial() {
	r.mu.Lock()
	chosen := slices.Clone(r.chosen)
	r.mu.Unlock()
	for _, id := range chosen {
		r.dial(id)
	}
}

// Reach links with a member that is not chosen, for something to say to it.
func (r *Replica) Reach(id key.Public) { r.reach(id, true) }
