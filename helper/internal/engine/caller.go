package engine

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// caller keeps this device known to one device of a friend's network: it knocks
// until that has our keys, then says hello and stays in touch.
type caller struct {
	s      *stay
	id     key.Public
	cancel context.CancelFunc
	again  chan struct{} // try now

	mu     sync.Mutex
	hellos map[guest.SID]*visit.Hello
}

// Pauses.
const (
	knockWithin   = 20 * time.Second // a path may come up at any moment
	helloWithin   = 4 * time.Second
	refusedFor    = 2 * time.Minute // until a refusal is tried to be changed
	callFirst     = 300 * time.Millisecond
	callMost      = 15 * time.Second
	doorOpen      = 5 * time.Second // after the last knock
	greetingsKept = time.Hour       // before a newer view is written to the disk
)

// callAll starts and ends callers so that there is one for each wanted device.
func (s *stay) callAll(wanted map[key.Public]bool) {
	for id, c := range s.callers {
		if !wanted[id] {
			c.cancel()
			delete(s.callers, id)
		} else {
			c.kick()
		}
	}
	for id := range wanted {
		if s.callers[id] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(s.n.e.ctx)
		c := &caller{s: s, id: id, cancel: cancel, again: make(chan struct{}, 1), hellos: map[guest.SID]*visit.Hello{}}
		s.callers[id] = c
		s.n.e.background(func() { c.run(ctx) })
	}
}

func (c *caller) kick() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// rest waits, or until it is kicked.
func (c *caller) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-c.again:
	case <-t.C:
	}
}

// errand is what a caller has to say now.
type errand struct {
	shares []store.VisitShare // live ones that concern the device
	known  bool
}

// errand is made on the actor.
func (c *caller) errand(ctx context.Context) (errand, error) {
	return call(ctx, c.s.n.e, func() (errand, error) {
		var out errand
		w, now := c.s.stored(), time.Now()
		if w == nil || c.s.closed {
			return out, context.Canceled
		}
		for i := range w.Shares {
			if q := w.Shares[i]; open(&q, c.s.views[q.Share], now) && concerns(c.s.views[q.Share], c.id) {
				out.shares = append(out.shares, q)
			}
		}
		out.known = c.s.known[c.id]
		return out, nil
	})
}

// concerns tells whether a device has to do with a share.
func concerns(v *guest.View, id key.Public) bool {
	return v != nil && (speaksFor(v, id) || slices.ContainsFunc(v.Relays, func(r guest.Relay) bool { return r.Key == id }))
}

// speaksFor tells whether a device's word on a share counts: the shared ones', and
// that of who took the acceptance.
func speaksFor(v *guest.View, id key.Public) bool {
	return v.Sponsor.Key == id || slices.ContainsFunc(v.Targets, func(t guest.Target) bool { return t.Key == id })
}

func (c *caller) run(ctx context.Context) {
	wait := callFirst
	for ctx.Err() == nil {
		todo, err := c.errand(ctx)
		if err != nil {
			return
		}
		if len(todo.shares) == 0 {
			c.rest(ctx, refusedFor)
			continue
		}
		began := time.Now()
		if !todo.known {
			err = c.knock(ctx, todo.shares[0])
		} else if err = c.visit(ctx, todo.shares); err != nil && ipc.CodeOf(err) == ipc.CodeInternal {
			c.s.post(func() { delete(c.s.known, c.id) }) // it may have forgotten us: knock
		}
		if err != nil {
			c.s.log.Debug("call a friend's device", "device", c.id.Short(), "known", todo.known, "err", err)
		}
		var verdict *ipc.Error
		switch {
		case err == nil:
			wait = callFirst
			if todo.known {
				c.rest(ctx, callFirst)
			}
		case errors.As(err, &verdict) && verdict.Code != ipc.CodeBusy:
			c.rest(ctx, refusedFor)
		default:
			if time.Since(began) > callMost {
				wait = callFirst
			}
			c.rest(ctx, wait)
			wait = min(2*wait, callMost)
		}
	}
}

// knock shows a pass at the door.
func (c *caller) knock(ctx context.Context, q store.VisitShare) error {
	d, err := call(ctx, c.s.n.e, func() (*door, error) { return c.s.openDoor(q) })
	if err != nil {
		return err
	}
	done := false
	defer func() { c.s.post(func() { c.s.leaveDoor(d, !done) }) }()
	ctx, cancel := context.WithTimeout(ctx, knockWithin)
	defer cancel()
	s, err := d.wire.Dial(ctx, c.id)
	if err != nil {
		return err
	}
	defer s.Close(0)
	a, err := visit.Ask(ctx, s, visit.Request{Pass: q.Pass})
	if err != nil {
		return err
	}
	done = true
	if err := a.Verdict(); err != nil {
		c.refused(q.Share, err)
		return err
	}
	_, err = call(ctx, c.s.n.e, func() (struct{}, error) {
		if !c.s.closed {
			c.s.introduced(c.id)
		}
		return struct{}{}, nil
	})
	return err
}

// introduced notes that a device has our keys: the hello that follows looks for a
// path at once.
func (s *stay) introduced(id key.Public) { s.known[id] = true }

// visit says hello for each share, also for those that come meanwhile, and stays
// until the last stream ends.
func (c *caller) visit(ctx context.Context, shares []store.VisitShare) error {
	dial, cancel := context.WithTimeout(ctx, helloWithin)
	s, err := c.s.wire.Dial(dial, c.id)
	cancel()
	if err != nil {
		return err
	}
	defer s.Close(0)
	stop := context.AfterFunc(ctx, func() { s.Close(0) })
	defer stop()
	type end struct {
		sid guest.SID
		err error
	}
	ended := make(chan end)
	running := map[guest.SID]bool{}
	said := map[guest.SID][]byte{} // the pass that was shown last
	greet := func(list []store.VisitShare) {
		for _, q := range list {
			if running[q.Share] || bytes.Equal(said[q.Share], q.Pass) {
				continue
			}
			running[q.Share], said[q.Share] = true, q.Pass
			go func() { ended <- end{q.Share, c.hello(ctx, s, q)} }()
		}
	}
	greet(shares)
	again := time.NewTicker(refusedFor)
	defer again.Stop()
	answered := false
	for len(running) > 0 {
		select {
		case e := <-ended:
			delete(running, e.sid)
			if e.err == nil {
				answered = true
			} else if err == nil {
				err = e.err
			}
			if ipc.CodeOf(e.err) == ipc.CodeBusy { // the word that it was accepted may be on its way there
				delete(said, e.sid)
				time.AfterFunc(callFirst, c.kick)
			}
			continue
		case <-again.C:
			maps.DeleteFunc(said, func(sid guest.SID, _ []byte) bool { return !running[sid] })
		case <-c.again:
		}
		if todo, err := c.errand(ctx); err == nil {
			greet(todo.shares)
		} // else the streams end with ctx
	}
	if answered {
		return nil
	}
	return err
}

// hello is one share's stream, to its end. An error is a verdict, or that the
// first answer did not come.
func (c *caller) hello(ctx context.Context, s wire.Session, q store.VisitShare) error {
	cancels, _ := call(ctx, c.s.n.e, func() ([][]byte, error) { return c.s.n.cancelsOf(c.s.id, q.Share), nil })
	first := cancels[:min(len(cancels), cancelsAtOnce)]
	h, a, err := visit.Open(ctx, s, visit.Request{Pass: q.Pass, Cancels: first})
	if err != nil {
		return err
	}
	defer h.Close()
	sendCancels(h, cancels[len(first):])
	c.set(q.Share, h)
	defer c.set(q.Share, nil)
	for {
		if err := a.Verdict(); err != nil {
			c.refused(q.Share, err)
			return err
		}
		if a.Gone {
			c.s.post(func() { c.s.left(c.id) })
			return nil
		}
		got := a
		c.s.post(func() { c.s.take(c.id, q.Share, got) })
		if a, err = h.Next(); err != nil {
			c.s.n.e.publishLater()
			return nil
		}
	}
}

func (c *caller) set(sid guest.SID, h *visit.Hello) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h == nil {
		delete(c.hellos, sid)
	} else {
		c.hellos[sid] = h
	}
}

func (c *caller) greets(sid guest.SID) *visit.Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hellos[sid]
}

// refused follows a verdict of the friend's side.
func (c *caller) refused(sid guest.SID, why error) {
	c.s.log.Info("a friend's device refuses", "device", c.id.Short(), "why", why)
	c.s.post(func() {
		v := c.s.views[sid]
		if v == nil || !speaksFor(v, c.id) {
			return
		}
		c.s.refused[sid] = why
		switch code := ipc.CodeOf(why); code {
		case ipc.CodeShareRevoked, ipc.CodeShareExpired:
			c.s.n.ended(c.s.id, sid, code)
		}
		c.s.n.e.publishSoon()
	})
}

// take keeps what the friend's side says of a share.
func (s *stay) take(from key.Public, sid guest.SID, a visit.Answer) {
	w := s.stored()
	if w == nil || s.views[sid] == nil || !speaksFor(s.views[sid], from) {
		return
	}
	delete(s.refused, sid)
	s.back(from)
	s.greeted[sid] = time.Now()
	fresh := a.Closed != nil && s.barred[sid] != *a.Closed
	if fresh {
		s.barred[sid] = *a.Closed
	}
	for _, k := range a.Contacts {
		if concerns(s.views[sid], k.Key) && !slices.Equal(s.heard[k.Key], k.Addrs) {
			s.heard[k.Key] = k.Addrs
			s.wire.AddCandidates(k.Key, k.Addrs...)
			fresh = true
		}
	}
	v, err := guest.OpenView(a.Proof, s.id, sid)
	if err == nil && v.Fresh(time.Now()) && (v.Made-s.views[sid].Made > int64(greetingsKept.Seconds()) || !sameView(v, s.views[sid])) && v.Made >= s.views[sid].Made {
		err := s.n.updateVisit(s.id, func(w *store.Visit) {
			if q := shareOf(w, sid); q != nil {
				q.Proof, q.Contacts = a.Proof, contactsOf(a)
			}
		})
		if err != nil {
			s.log.Error("keep a friend's view", "err", err)
		}
		s.n.takeView(s.id, sid, a)
		s.refresh()
		s.n.e.apply()
	}
	if fresh {
		s.n.e.publishSoon()
	}
}

// sameView tells whether two views say the same but for their times.
func sameView(a, b *guest.View) bool {
	x, y := *a, *b
	x.Made, x.NotAfter, x.Signer = y.Made, y.NotAfter, y.Signer
	return x.Same(&y)
}

// door is the wire by which this device knocks for one share.
type door struct {
	*outside
	sid      guest.SID
	knocking int
	timer    *time.Timer
}

func (d *door) close() {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.outside.close()
}

// openDoor makes the door of a share, or goes to the one that is there.
func (s *stay) openDoor(q store.VisitShare) (*door, error) {
	if s.closed {
		return nil, context.Canceled
	}
	d := s.doors[q.Share]
	if d == nil {
		o, err := s.n.e.newOutside(q.Door, s.log.With("door", q.Name))
		if err != nil {
			return nil, err
		}
		d = &door{outside: o, sid: q.Share}
		s.doors[q.Share] = d
		s.n.e.apply()
	}
	d.knocking++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.setPeers(s, s.views[q.Share])
	return d, nil
}

func (d *door) setPeers(s *stay, v *guest.View) {
	if v == nil {
		return
	}
	var peers []wire.Peer
	add := func(p wire.Peer) {
		if !slices.ContainsFunc(peers, func(o wire.Peer) bool { return o.ID == p.ID }) {
			p.Candidates = append(p.Candidates, s.heard[p.ID]...)
			peers = append(peers, p)
		}
	}
	for _, r := range v.Relays {
		add(wire.Peer{ID: r.Key, Control: r.Control, Relay: &wire.Relay{Addrs: r.Addrs, Host: r.Host, Pin: r.Pin}})
	}
	for _, p := range answering(v) {
		add(p)
	}
	d.wire.SetPeers(peers)
	for _, p := range peers {
		var chains [][]key.Public
		for _, r := range v.Relays {
			if r.Key != p.ID {
				chains = append(chains, []key.Public{r.Key})
			}
		}
		d.wire.SetChains(p.ID, chains)
	}
}

// leaveDoor closes a door some time after the last knock, and at once if that led
// nowhere: the next one begins afresh.
func (s *stay) leaveDoor(d *door, failed bool) {
	if d.knocking--; d.knocking > 0 || s.doors[d.sid] != d {
		return
	}
	if failed {
		delete(s.doors, d.sid)
		s.n.e.background(d.close)
		s.n.e.apply()
		return
	}
	d.timer = time.AfterFunc(doorOpen, func() {
		s.post(func() {
			if d.knocking == 0 && s.doors[d.sid] == d {
				delete(s.doors, d.sid)
				s.n.e.background(d.outside.close)
				s.n.e.apply()
			}
		})
	})
}
