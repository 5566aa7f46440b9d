package engine

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// Bounds on a guest.
const (
	sessionsMost  = 4
	hellosMost    = 8 // streams of a session at once
	requestsBurst = 32
	requestEvery  = time.Second
)

// knocker tells whether a session's key is a share's link or door.
func (n *network) knocker(id key.Public) bool {
	return guest.ByKey(guest.All(n.book.View()), id) != nil
}

// serveKnock answers one stream of who holds a share's link or door: an
// acceptance, or a pass. It runs in the session's own goroutine.
func (n *network) serveKnock(on *live, s wire.Session) {
	if !on.place(s.Context()) {
		s.Close(0) // it asks again soon
		return
	}
	defer func() { <-on.joiners }()
	ctx, cancel := context.WithTimeout(n.e.ctx, requestPatience)
	defer cancel()
	defer s.Close(0)
	g, req, err := visit.Accept(ctx, s)
	if err != nil {
		return
	}
	// The actor may be closing this very wire, and wait for us: with the session's
	// end we give up.
	a, err := call(s.Context(), n.e, func() (visit.Answer, error) {
		switch {
		case n.on != on:
			return visit.Answer{}, ipc.Errorf(ipc.CodeBusy, "the network is stopping")
		case len(req.Accept) > 0:
			return n.accepted(s.Peer(), req.Accept)
		}
		_, _, err := n.takePass(req.Pass, key.Public{})
		return visit.Answer{}, err
	})
	if err != nil {
		on.log.Debug("a knock is refused", "err", err)
		n.e.post(func() { n.refuse(n.knockOf(s.Peer(), req), err) })
		a = visit.Refusal(err)
	}
	if g.Send(a) == nil {
		g.Settle()
	}
}

const requestPatience = 15 * time.Second

// accepted takes an acceptance, once. The same again gets the same answer.
func (n *network) accepted(linkKey key.Public, raw []byte) (visit.Answer, error) {
	var none visit.Answer
	v := n.book.View()
	s := guest.ByKey(n.shares(), linkKey)
	if s == nil || s.Key != linkKey || s.Sponsor != n.self {
		return none, ipc.Errorf(ipc.CodeLinkForeign, "this device does not answer for the share")
	}
	a, err := guest.DecodeAcceptance(raw)
	if err != nil {
		return none, ipc.Errorf(ipc.CodePassInvalid, "%w", err)
	}
	if err := s.MayAccept(a.Issuer, time.Now()); err != nil {
		return none, err
	}
	if !a.Verify(s.Key, n.id, s.SID) {
		// The signature names the network and the share.
		return none, ipc.Errorf(ipc.CodeLinkForeign, "the acceptance is of another share or network")
	}
	if len(s.Targets(v)) == 0 {
		return none, ipc.Errorf(ipc.CodeNotShared, "what was shared has left %s", v.Name)
	}
	if s.By == nil {
		if err := n.checkDoor(a.Door); err != nil {
			return none, err
		}
		if v.Caps(n.self)&roster.CapShare == 0 {
			return none, ipc.Errorf(ipc.CodeLinkForeign, "this device may share nothing any more")
		}
		by := guest.By{Acceptance: *a, At: time.Now().UnixMilli()}
		value, err := by.Encode()
		if err != nil {
			return none, err
		}
		if err := n.write(func(au *roster.Author) error { _, err := au.Set(s.SID.KeyBy(), value); return err }); err != nil {
			return none, n.unsaved(err)
		}
		n.e.log.Info("a share was accepted", "network", n.alias, "share", s.SID.String()[:8], "label", a.Label)
		n.refresh()
		s = guest.Read(n.book.View(), s.SID)
	}
	if !s.Accepted() {
		return visit.Answer{Pending: true}, nil
	}
	return n.showShare(s), nil
}

// checkDoor refuses a door that is somebody's key already: who comes by it is served
// as a guest.
func (n *network) checkDoor(k key.Public) error {
	v := n.book.View()
	if v.Member(k) != nil || v.RemovedBy(k) != nil || v.Invite(k) != nil || guest.ByKey(n.shares(), k) != nil {
		return ipc.Errorf(ipc.CodePassInvalid, "the acceptance claims a key that is taken in %s", n.alias)
	}
	for id := range n.visitors {
		if id.key == k {
			return ipc.Errorf(ipc.CodePassInvalid, "the acceptance claims the key of a guest")
		}
	}
	return nil
}

// showShare is what a friend's device learns of a share.
func (n *network) showShare(s *guest.State) visit.Answer {
	a := visit.Answer{Contacts: n.contacts(s), Closed: new(n.closedByPolicy(s))}
	if proof, err := n.prove(s); err == nil {
		a.Proof = proof
	}
	return a
}

// prove is the view of a share: signed here, or as an admin has handed it over.
func (n *network) prove(s *guest.State) ([]byte, error) {
	if n.book.View().Caps(n.self)&roster.CapShare == 0 {
		if p, ok := n.proofs[s.SID]; ok {
			return p, nil
		}
		if p, err := n.e.cfg.Store.Value(n.id, proofValue+s.SID.String()); err == nil && p != nil {
			n.proofs[s.SID] = p
			return p, nil
		}
		return nil, ipc.Errorf(ipc.CodeNotAdmin, "no proof is at hand")
	}
	return guest.Prove(n.device, n.book.View(), s, guest.Seen{Relays: n.servesAny, Carries: n.carriesAny, Exits: n.exitsFor(s), IPv4: n.has4}, time.Now())
}

// servesAny tells of this device too whether it serves as a relay.
func (n *network) servesAny(m *roster.Member) bool {
	if m.Key == n.self {
		return n.relayApproved() && m.Relay != nil
	}
	return n.serves(m)
}

// carriesAny is where a member is found that passes guests' packets on and is no
// relay, this device among them; nil for any other.
func (n *network) carriesAny(m *roster.Member) []netip.AddrPort {
	l := n.learnt[m.Key]
	switch {
	case n.servesAny(m):
		return nil
	case m.Key == n.self && n.on != nil && n.carries():
		return global(n.endpoints())
	case m.Key != n.self && l.Carry && !l.Gone:
		return global(l.Endpoints)
	}
	return nil
}

// global leaves out what means something on one link alone.
func global(addrs []netip.AddrPort) []netip.AddrPort {
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.AddrPort) bool { return a.Addr().Zone() != "" })
	return addrs[:min(len(addrs), 16)]
}

// exitsAny tells of this device too whether it may be used as an exit node.
func (n *network) exitsAny(m *roster.Member) bool {
	if m.Key == n.self {
		return n.offersExit()
	}
	return n.exits(m)
}

// exitsFor is exitsAny for who comes by a share.
func (n *network) exitsFor(s *guest.State) func(*roster.Member) bool {
	if !n.policyInForce().GuestInternet(s.SID.String()) {
		return func(*roster.Member) bool { return false }
	}
	return n.exitsAny
}

// closedByPolicy tells whether the policy lets nothing of what a share offers through,
// on none of its devices.
func (n *network) closedByPolicy(s *guest.State) bool {
	n.shares()
	closed, ok := n.shareCache.closed[s.SID]
	if !ok {
		closed = n.judgePolicy(s)
		n.shareCache.closed[s.SID] = closed
	}
	return closed
}

func (n *network) judgePolicy(s *guest.State) bool {
	p, id := n.policyInForce(), s.SID.String()
	targets := s.Targets(n.book.View())
	if len(targets) == 0 || s.Exit && p.GuestInternet(id) {
		return false
	}
	offered := sharePorts(s.Ports)
	addrs := []netip.Addr{roster.Prefix6(n.id).Addr()} // who comes yet has one that a rule for all of the network is about
	for g := range n.visitors {
		if g.sid == s.SID {
			addrs = append(addrs, guest.Addr(n.id, g.key))
		}
	}
	for _, m := range targets {
		if !p.GuestPorts(id, addrs, deviceOf(m)).Both(offered).Empty() {
			return false
		}
	}
	return true
}

// has4 tells whether a member's IPv4 address is in use, as far as it has said.
func (n *network) has4(m *roster.Member) bool {
	if m.Key == n.self {
		return n.on != nil && n.on.use4
	}
	return !n.learnt[m.Key].No4
}

// contacts is where the devices of a share may be found.
func (n *network) contacts(s *guest.State) []visit.Contact {
	var out []visit.Contact
	v := n.book.View()
	for _, k := range s.Reach(v) {
		var addrs []netip.AddrPort
		if m := v.Member(k); m.Relay != nil && n.servesAny(m) {
			addrs = append(addrs, m.Relay.Addrs...)
		}
		if k == n.self {
			addrs = append(addrs, n.endpoints()...)
		} else {
			addrs = append(addrs, n.learnt[k].Endpoints...)
		}
		out = append(out, visit.Contact{Key: k, Addrs: global(addrs)})
	}
	return out
}

// visiting tells whether a session's key is a guest's.
func (n *network) visiting(id key.Public, s wire.Session) bool {
	ok, err := call(s.Context(), n.e, func() (bool, error) {
		for g := range n.visitors {
			if g.key == id {
				return true, nil
			}
		}
		return false, nil
	})
	return ok && err == nil
}

// serveGuest serves a guest's session until it ends, a stream for each share.
func (n *network) serveGuest(on *live, s wire.Session) {
	defer s.Close(0)
	on.askers.enter(s)
	defer on.askers.leave(s)
	slots := make(chan struct{}, hellosMost)
	for {
		select {
		case slots <- struct{}{}:
		case <-s.Context().Done():
			return
		}
		g, req, err := visit.Accept(s.Context(), s)
		if err != nil {
			return
		}
		n.e.background(func() {
			defer func() { <-slots }()
			n.serveHello(on, s.Peer(), g, req)
		})
	}
}

// serveHello answers the requests of one stream: the first has the pass.
func (n *network) serveHello(on *live, id key.Public, g *visit.Guest, req visit.Request) {
	defer g.Close()
	var at guestID
	defer func() {
		n.e.post(func() {
			if v := n.visitors[at]; v != nil {
				delete(v.hellos, g)
				v.Seen = time.Now().UnixMilli()
				n.e.publishSoon()
			}
		})
	}()
	for {
		if !on.askers.ask(id) {
			on.log.Info("a guest asks too much", "guest", id.Short())
			return
		}
		a, err := call(n.e.ctx, n.e, func() (visit.Answer, error) {
			if n.on != on {
				return visit.Answer{}, ipc.Errorf(ipc.CodeBusy, "the network is stopping")
			}
			return n.greet(id, g, &at, req)
		})
		if err != nil {
			n.e.post(func() { n.refuse(n.helloOf(id, req), err) })
			if g.Send(visit.Refusal(err)) == nil {
				g.Settle()
			}
			return
		}
		if g.Send(a) != nil {
			return
		}
		if req, err = g.Next(); err != nil {
			return
		}
	}
}

// greet takes one request of a guest.
func (n *network) greet(id key.Public, h *visit.Guest, at *guestID, req visit.Request) (visit.Answer, error) {
	var foreign error
	for _, c := range req.Cancels {
		if n.cancel(c) != nil {
			foreign = ipc.Errorf(ipc.CodePassInvalid, "a cancel is not of who has accepted the share")
		}
	}
	raw := req.Pass
	if len(raw) == 0 {
		g := n.visitors[*at]
		if g == nil {
			return visit.Answer{}, ipc.Errorf(ipc.CodePassInvalid, "a guest begins with its pass")
		}
		raw = g.Raw
	}
	if foreign != nil {
		// What there is to say of the share says why: it was taken back, or who has
		// accepted it is not known here yet.
		if _, _, err := n.judge().Pass(raw, id); err != nil {
			return visit.Answer{}, err
		}
		return visit.Answer{}, foreign
	}
	if len(req.Pass) == 0 {
		return visit.Answer{}, nil
	}
	g, s, err := n.takePass(req.Pass, id)
	if err != nil {
		return visit.Answer{}, err
	}
	if *at = (guestID{g.pass.Guest, g.pass.SID}); !g.hellos[h] {
		g.hellos[h] = true
		n.e.publishSoon()
	}
	v := n.book.View()
	if reach := s.Reach(v); !slices.Contains(reach, n.self) {
		return visit.Answer{}, nil // a relay
	}
	return n.showShare(s), nil
}
