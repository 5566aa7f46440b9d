package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// lingerOnLeave is how long the members get to hear that this device leaves.
const lingerOnLeave = 300 * time.Millisecond

// Leave ends this device's membership, or a join that is under way.
func (e *Engine) Leave(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.NetworkAnswer, error) {
	type left struct {
		answer ipc.NetworkAnswer
		n      *network
	}
	if err := e.beforeRetiring(ctx, req.Network); err != nil {
		return ipc.NetworkAnswer{}, err
	}
	l, err := call(ctx, e, func() (left, error) {
		n, err := e.named(req.Network)
		if j, jerr := e.joinNamed(req.Network); j != nil || jerr != nil {
			switch {
			case jerr != nil:
				return left{}, jerr
			case err == nil:
				return left{}, ipc.Errorf(ipc.CodeAmbiguous, "%.70q is a network and one that this device asks to join: use the ID", req.Network)
			case ipc.CodeOf(err) == ipc.CodeNotFound:
				a := ipc.NetworkAnswer{Schema: ipc.Schema, Network: ipc.Network{Name: j.link.Name, Alias: j.link.Name, ID: roster.ID(j.link.Network).String()}}
				j.end(ipc.Errorf(ipc.CodeNotFound, "the request to join %s was withdrawn", j.link.Name))
				return left{answer: a}, nil
			}
		}
		if err != nil {
			return left{}, err
		}
		a := ipc.NetworkAnswer{Schema: ipc.Schema, Network: n.status()}
		if n.me() != nil {
			n.leaving = true
			if err := n.write(leave); err != nil {
				n.leaving = false
				return left{}, err
			}
		}
		return left{a, n}, nil
	})
	if err != nil || l.n == nil {
		return l.answer, err
	}
	pause(ctx, lingerOnLeave)
	_, err = call(ctx, e, func() (struct{}, error) {
		l.n.leaveGuests()
		exits := l.n.usesExit()
		err := e.forget(l.n)
		if exits { // by the user's word, as when it is disconnected
			err = errors.Join(err, e.changeExit(func(m *store.Machine) { m.Exit = nil }))
		}
		return struct{}{}, err
	})
	return l.answer, err
}

// beforeRetiring waits, where this device has authority, until the neighbours hold
// the same records: what it did that they alone remember, as after a restored
// backup, would not be kept (rule 19). It waits no longer than ackWithin, and
// fails only when ctx ends.
func (e *Engine) beforeRetiring(ctx context.Context, network string) error {
	on, err := call(ctx, e, func() (*live, error) {
		n, err := e.named(network)
		if err != nil || n.book.View().Caps(n.self) == 0 || len(n.book.View().Members) < 2 {
			return nil, nil // Leave says what is wrong
		}
		return n.on, nil
	})
	if err != nil || on == nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	if err := on.replica.AwaitAll(within); err != nil {
		e.log.Info("leave without a neighbour in step", "err", err)
	}
	return ctx.Err()
}

// leave writes a plain device's leave, or retires an authority.
func leave(a *roster.Author) error {
	_, err := a.Leave()
	if err == nil {
		return nil
	}
	_, err = a.Retire()
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// joinNamed finds a join under way by the network's name or the beginning of its
// ID; "" is the only one of a device in no network. There may be none.
func (e *Engine) joinNamed(name string) (found *joining, err error) {
	for _, j := range e.joins {
		id := roster.ID(j.link.Network).String()
		if j.link.Name == name || len(name) >= 4 && strings.HasPrefix(id, name) || name == "" && len(e.nets) == 0 {
			if found != nil {
				return nil, ipc.Errorf(ipc.CodeAmbiguous, "this device asks to join %d networks: use the ID", len(e.joins))
			}
			found = j
		}
	}
	return found, nil
}

// forget takes a network down and erases all that is kept of it.
func (e *Engine) forget(n *network) error {
	n.leaving = true
	n.stop()
	for i, o := range e.nets {
		if o == n {
			e.nets = append(e.nets[:i:i], e.nets[i+1:]...)
			break
		}
	}
	for code := range n.warned {
		n.clear(code)
	}
	err := e.cfg.Store.RemoveNetwork(n.id)
	e.tendAllVisits()
	e.apply()
	e.publishNow()
	return err
}

// Up connects a network, or all, and lasts over restarts.
func (e *Engine) Up(ctx context.Context, _ server.Caller, req ipc.UpRequest) (ipc.Status, error) {
	return e.setUp(ctx, req.Network, true, req.Shields)
}

// Down disconnects a network, or all, and lasts over restarts.
func (e *Engine) Down(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.Status, error) {
	return e.setUp(ctx, req.Network, false, nil)
}

func (e *Engine) setUp(ctx context.Context, name string, up bool, shields *bool) (ipc.Status, error) {
	return call(ctx, e, func() (ipc.Status, error) {
		var which []*network
		if name != "" {
			n, err := e.named(name)
			if err != nil {
				return ipc.Status{}, err
			}
			which = []*network{n}
		}
		if err := e.setShields(which, shields); err != nil {
			return ipc.Status{}, err
		}
		if err := e.switchUp(which, up); err != nil {
			return ipc.Status{}, err
		}
		var errs []error
		for _, n := range e.nets {
			if !up && !n.active() {
				n.sayGone()
			}
			n.setActive()
			if up && n.active() && n.on == nil && n.me() != nil {
				errs = append(errs, e.whyNotUp(n))
			}
		}
		e.apply()
		e.publishNow()
		return *e.status(), errors.Join(errs...)
	})
}

// setShields stores whether anything may come in, of the networks named, else of
// all; nil leaves it as it is.
func (e *Engine) setShields(which []*network, on *bool) error {
	if on == nil {
		return nil
	}
	if which == nil {
		which = e.nets
	}
	for _, n := range which {
		if n.set.Shields == *on {
			continue
		}
		if err := n.updateSettings(func(s *store.Settings) { s.Shields = *on }); err != nil {
			return writeError(err)
		}
		n.refresh()
		for _, s := range n.stays {
			s.refresh()
		}
	}
	return nil
}

// switchUp stores which networks are to be up; none named means the machine's
// own switch, and all of them when it is turned on.
func (e *Engine) switchUp(which []*network, up bool) error {
	if which == nil || up && e.down {
		if err := e.cfg.Store.UpdateMachine(func(m *store.Machine) error { m.Down = !up; return nil }); err != nil {
			return writeError(err)
		}
		e.down = !up
		if !up {
			return nil
		}
		if which == nil {
			which = e.nets
		}
	}
	for _, n := range which {
		if err := n.updateSettings(func(s *store.Settings) { s.Active = up }); err != nil {
			return writeError(err)
		}
	}
	return nil
}

func (n *network) active() bool { return n.set.Active && !n.e.down }

// Recover shows the root phrase that is still held, once, or makes this device
// an owner by it.
func (e *Engine) Recover(ctx context.Context, _ server.Caller, req ipc.RecoverRequest) (ipc.RecoverAnswer, error) {
	if req.Show == (req.Phrase != "") {
		return ipc.RecoverAnswer{}, ipc.Errorf(ipc.CodeUsage, "ask to show the phrase, or give it")
	}
	if len(req.Cut) == 0 && (req.Since != nil || req.DryRun || req.Plan != "") {
		return ipc.RecoverAnswer{}, ipc.Errorf(ipc.CodeUsage, "say whom to cut")
	}
	since, err := readSince(req.Since)
	if err != nil {
		return ipc.RecoverAnswer{}, err
	}
	return call(ctx, e, func() (ipc.RecoverAnswer, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.RecoverAnswer{}, err
		}
		if req.Show {
			return n.showPhrase(ctx)
		}
		return n.recover(req, since)
	})
}

func (n *network) showPhrase(ctx context.Context) (ipc.RecoverAnswer, error) {
	phrase := n.secrets.Phrase
	if phrase == "" {
		return ipc.RecoverAnswer{}, ipc.Errorf(ipc.CodeNotHeld, "the root phrase of %s is not held here: it was shown when the network was made", n.alias)
	}
	if err := n.dropPhrase(ctx); err != nil {
		return ipc.RecoverAnswer{}, writeError(err)
	}
	return ipc.RecoverAnswer{Schema: ipc.Schema, Phrase: phrase}, nil
}

// dropPhrase erases the root phrase, which is about to be shown, unless who asked
// for it is gone.
func (n *network) dropPhrase(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := n.updateSecrets(func(s *store.Secrets) error { s.Phrase = ""; return nil })
	n.checkRoster()
	return err
}

// recover grants this device ownership by the root key and cuts the owners
// named.
func (n *network) recover(req ipc.RecoverRequest, since time.Time) (ipc.RecoverAnswer, error) {
	root, err := n.rootKey(req.Phrase)
	if err != nil {
		return ipc.RecoverAnswer{}, err
	}
	q := roster.Recovery{Owner: n.self, Since: since}
	for _, c := range req.Cut {
		k, err := n.deviceKnown(c)
		if err != nil {
			return ipc.RecoverAnswer{}, err
		}
		q.Remove = append(q.Remove, k)
	}
	if q.Admit, err = n.readmission(); err != nil {
		return ipc.RecoverAnswer{}, err
	}
	a := ipc.RecoverAnswer{Schema: ipc.Schema, Owner: !req.DryRun}
	p := removing{targets: q.Remove, since: since, dry: req.DryRun, plan: req.Plan}
	a.Dropped, a.Removal, err = n.remove(root, p, func(a *roster.Author) (*roster.Removal, error) { return a.PlanRecover(q) })
	if err != nil || req.DryRun {
		return a, err
	}
	if len(req.Cut) > 0 {
		if err := n.renewEpoch(); err != nil {
			return a, err
		}
	}
	n.refresh()
	n.setActive()
	return a, nil
}

// readmission is this device's own admission, for where it was removed.
func (n *network) readmission() (*roster.Admission, error) {
	if n.me() != nil {
		return nil, nil
	}
	k := n.secrets.Keys[len(n.secrets.Keys)-1]
	wg, control := k.WireGuard.Public(), k.Control.Public()
	return &roster.Admission{
		Device: n.self, WG: wg, Control: control, N: k.N, Name: n.set.Device,
		Pop: roster.SignPop(n.id, n.device, wg, control, k.N),
	}, nil
}
