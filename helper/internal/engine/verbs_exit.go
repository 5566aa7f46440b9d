package engine

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// recentMost is how many exit nodes used before are remembered.
const recentMost = 8

// ExitUse sends this machine's internet traffic through a device. From then on
// nothing leaves in clear, also while the device cannot be reached.
func (e *Engine) ExitUse(ctx context.Context, _ server.Caller, req ipc.ExitUseRequest) (ipc.ExitAnswer, error) {
	for _, p := range req.LANs {
		if !p.IsValid() || p.Masked() != p || !p.Addr().IsPrivate() {
			return ipc.ExitAnswer{}, ipc.Errorf(ipc.CodeUsage, "%s is no network with private addresses", p)
		}
	}
	return call(ctx, e, func() (ipc.ExitAnswer, error) {
		if req.Device == "" && req.AllowLAN != nil {
			return e.allowLAN(*req.AllowLAN, req.LANs)
		}
		n, use, err := e.exitMeant(req)
		if err != nil {
			return ipc.ExitAnswer{}, err
		}
		return n.exitAnswer(e.changeExit(func(m *store.Machine) {
			m.Exit = use
			m.Recent = slices.DeleteFunc(m.Recent, func(r store.ExitNode) bool { return r == use.ExitNode })
			m.Recent = slices.Insert(m.Recent, 0, use.ExitNode)
			m.Recent = m.Recent[:min(len(m.Recent), recentMost)]
			if req.AllowLAN != nil {
				m.AllowLAN, m.LANs = *req.AllowLAN, req.LANs
			}
		}))
	})
}

// exitMeant is the exit node that is asked for, and the network that it is shown
// with: a friend's, or a member; without a name the one in use.
func (e *Engine) exitMeant(req ipc.ExitUseRequest) (*network, *store.ExitUse, error) {
	if req.Device != "" {
		if n, use, err := e.sharedExitNamed(req.Device); err != nil || use != nil {
			if err == nil {
				err = e.mayUseExit()
			}
			return n, use, err
		}
	}
	n, err := e.upNetwork(req.Network)
	if err != nil {
		return nil, nil, err
	}
	if use := e.exit.use; req.Device == "" && use != nil {
		return n, use, nil
	}
	use, err := n.exitNamed(req.Device)
	return n, use, err
}

// mayUseExit says why this device may use no exit node.
func (e *Engine) mayUseExit() error {
	if slices.ContainsFunc(e.nets, func(o *network) bool { return o.set.Exit != nil }) {
		return ipc.Errorf(ipc.CodeUsage, "this device offers to be an exit node itself: kith exit offer off ends that").Case(ipc.CaseOffers)
	}
	return nil
}

// allowLAN keeps local networks reachable beside the exit node in use, or the
// next.
func (e *Engine) allowLAN(allow bool, only []netip.Prefix) (ipc.ExitAnswer, error) {
	err := e.changeExit(func(m *store.Machine) { m.AllowLAN, m.LANs = allow, only })
	n := e.exitNetwork()
	if n == nil && e.exit.use != nil {
		n = e.hostOf(e.exit.use.Network)
	}
	if n == nil && len(e.nets) > 0 {
		n = e.nets[0]
	}
	if n == nil {
		return ipc.ExitAnswer{Schema: ipc.Schema, Exit: ipc.Exit{State: e.exit.state, LANAllowed: e.exit.allowLAN, LANs: e.exit.lans}}, err
	}
	return n.exitAnswer(err)
}

// exitNamed finds a device that may be used as an exit node.
func (n *network) exitNamed(name string) (*store.ExitUse, error) {
	if name == "" {
		return nil, ipc.Errorf(ipc.CodeUsage, "say which device to use as an exit node")
	}
	k, err := n.deviceNamed(name)
	if err != nil {
		return nil, err
	}
	m := n.book.View().Member(k)
	switch l, heard := n.learnt[k]; {
	case m == nil:
		return nil, ipc.Errorf(ipc.CodeNotFound, "%s is no member of %s any more", name, n.alias)
	case k == n.self:
		return nil, ipc.Errorf(ipc.CodeUsage, "this is that device itself")
	case n.e.mayUseExit() != nil:
		return nil, n.e.mayUseExit()
	case !n.exitApproved(m) && heard && l.Exit:
		return nil, ipc.Errorf(ipc.CodeNotConnected, "%s offers to be an exit node and waits for an admin's word: kith exit approve %s", m.Name, m.Name)
	case !n.exits(m):
		return nil, ipc.Errorf(ipc.CodeNotConnected, "%s is no exit node: there, kith exit offer on", m.Name)
	case !n.mayGoOut():
		return nil, ipc.Errorf(ipc.CodeNotConnected, "the policy of %s does not let this device send internet traffic through others: kith policy show", n.alias)
	}
	return &store.ExitUse{ExitNode: store.ExitNode{Network: n.id, Device: k}, Name: m.Name}, nil
}

// ExitOff lets internet traffic go as ever, also where it was blocked.
func (e *Engine) ExitOff(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.ExitAnswer, error) {
	return call(ctx, e, func() (ipc.ExitAnswer, error) {
		n := e.exitNetwork()
		if n == nil && e.exit.use != nil {
			n = e.hostOf(e.exit.use.Network)
		}
		if req.Network != "" {
			var err error
			if n, err = e.named(req.Network); err != nil {
				return ipc.ExitAnswer{}, err
			}
			if e.exit.use != nil && !n.usesExit() {
				return n.exitAnswer(nil) // another network's is in use
			}
		}
		err := e.changeExit(func(m *store.Machine) { m.Exit = nil })
		if n == nil {
			return ipc.ExitAnswer{Schema: ipc.Schema, Exit: ipc.Exit{State: e.exit.state}}, err
		}
		return n.exitAnswer(err)
	})
}

// changeExit stores what becomes of internet traffic, then applies it. Where the
// disk is full it is applied all the same: nobody's traffic waits for that.
func (e *Engine) changeExit(fn func(*store.Machine)) error {
	err := e.cfg.Store.UpdateMachine(func(s *store.Machine) error { fn(s); return nil })
	x := &e.exit
	m := store.Machine{Exit: x.use, Recent: slices.Clone(x.recent), AllowLAN: x.allowLAN, LANs: x.lans}
	fn(&m)
	same := x.use != nil && m.Exit != nil && x.use.ExitNode == m.Exit.ExitNode
	x.use, x.recent, x.allowLAN, x.lans = m.Exit, m.Recent, m.AllowLAN, m.LANs
	if !same {
		x.worked, x.since = false, time.Now()
	}
	e.applyExit()
	for _, n := range e.nets {
		n.refresh()
	}
	for _, s := range e.stays() {
		s.refresh()
	}
	e.applyDNS()
	e.publishNow()
	if err != nil {
		return writeError(err)
	}
	return nil
}

func (n *network) exitAnswer(err error) (ipc.ExitAnswer, error) {
	return ipc.ExitAnswer{Schema: ipc.Schema, Exit: n.exitStatus()}, err
}

// ExitOffer makes this device an exit node: at once where it may approve one,
// else it waits for an admin's word.
func (e *Engine) ExitOffer(ctx context.Context, _ server.Caller, req ipc.ExitOfferRequest) (ipc.ExitAnswer, error) {
	if req.LAN && !req.On {
		return ipc.ExitAnswer{}, ipc.Errorf(ipc.CodeUsage, "the LAN is offered with the exit node alone")
	}
	return call(ctx, e, func() (ipc.ExitAnswer, error) {
		n, err := e.upNetwork(req.Network)
		switch {
		case err != nil:
			return ipc.ExitAnswer{}, err
		case req.On && e.exit.use != nil:
			return ipc.ExitAnswer{}, ipc.Errorf(ipc.CodeUsage, "this device uses an exit node itself: kith exit off ends that").Case(ipc.CaseUses)
		}
		err = n.updateSettings(func(s *store.Settings) {
			if s.Exit = nil; req.On {
				s.Exit = &store.ExitOffer{LAN: req.LAN}
			}
		})
		if err != nil {
			return ipc.ExitAnswer{}, writeError(err)
		}
		if req.On {
			_, err = n.askOffers()
		} else {
			err = n.withdrawOffers()
		}
		n.offersChanged()
		return n.exitAnswer(err)
	})
}

// offersChanged tells the system and the members what this device offers now.
func (n *network) offersChanged() {
	n.refresh()
	n.sayPresence()
	n.e.publishNow()
}

// ExitApprove lets a device be an exit node.
func (e *Engine) ExitApprove(ctx context.Context, _ server.Caller, req ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return e.onDevice(ctx, req, func(n *network, k key.Public) (ipc.DeviceAnswer, error) {
		m := n.book.View().Member(k)
		if m == nil {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeNotFound, "the device is no member of %s any more", n.alias)
		}
		if !m.Exit {
			if err := n.write(func(a *roster.Author) error { _, err := a.ApproveExit(k, true); return err }); err != nil {
				return ipc.DeviceAnswer{}, err
			}
		}
		n.refresh()
		return ipc.DeviceAnswer{Device: m.Name}, nil
	})
}

// RouteAdd offers a subnet behind this device.
func (e *Engine) RouteAdd(ctx context.Context, _ server.Caller, req ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return e.onRoute(ctx, req, func(n *network) (bool, error) {
		if err := n.checkSubnet(req.Prefix); err != nil {
			return false, err
		}
		if len(n.set.Routes) >= replica.MaxRoutes {
			return false, ipc.Errorf(ipc.CodeLimit, "a device is the way to at most %d subnets", replica.MaxRoutes)
		}
		err := n.updateSettings(func(s *store.Settings) {
			s.Routes = append(withoutRoute(s.Routes, req.Prefix), store.RouteOffer{Prefix: req.Prefix, NoSNAT: req.NoSNAT})
		})
		if err != nil {
			return false, writeError(err)
		}
		pending, err := n.askOffers()
		n.offersChanged()
		return pending, err
	})
}

func withoutRoute(list []store.RouteOffer, p netip.Prefix) []store.RouteOffer {
	return slices.DeleteFunc(slices.Clone(list), func(o store.RouteOffer) bool { return o.Prefix == p })
}

// RouteRemove takes that back.
func (e *Engine) RouteRemove(ctx context.Context, _ server.Caller, req ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return e.onRoute(ctx, req, func(n *network) (bool, error) {
		left := withoutRoute(n.set.Routes, req.Prefix)
		if len(left) == len(n.set.Routes) {
			return false, ipc.Errorf(ipc.CodeNotFound, "this device does not offer %s", req.Prefix)
		}
		if err := n.updateSettings(func(s *store.Settings) { s.Routes = left }); err != nil {
			return false, writeError(err)
		}
		err := n.withdrawOffers()
		n.offersChanged()
		return false, err
	})
}

// RouteApprove lets a device be the way to a subnet that it offers.
func (e *Engine) RouteApprove(ctx context.Context, _ server.Caller, req ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return e.onRoute(ctx, req, func(n *network) (bool, error) {
		if err := n.checkSubnet(req.Prefix); err != nil {
			return false, err
		}
		var found []*roster.Member
		for _, m := range n.book.View().Members {
			offered := slices.Contains(m.Routes, req.Prefix) || slices.Contains(n.learnt[m.Key].Routes, req.Prefix) || m.Key == n.self && slices.Contains(n.routesOffered(), req.Prefix)
			if offered && (req.Device == "" || req.Device == m.Name) {
				found = append(found, m)
			}
		}
		switch len(found) {
		case 0:
			return false, ipc.Errorf(ipc.CodeNotFound, "nobody offers a route to %s", req.Prefix)
		case 1:
		default:
			return false, ipc.Errorf(ipc.CodeAmbiguous, "%d devices offer a route to %s: say which with --device", len(found), req.Prefix)
		}
		m := found[0]
		if slices.Contains(m.Routes, req.Prefix) {
			return false, nil
		}
		err := n.write(func(a *roster.Author) error {
			_, err := a.ApproveRoutes(m.Key, append(slices.Clone(m.Routes), req.Prefix))
			return err
		})
		n.refresh()
		return false, err
	})
}

// RouteAccept says whether this device uses a subnet behind another.
func (e *Engine) RouteAccept(ctx context.Context, _ server.Caller, req ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return e.onRoute(ctx, req, func(n *network) (bool, error) {
		accept := slices.DeleteFunc(slices.Clone(n.set.Accept), func(p netip.Prefix) bool { return p == req.Prefix })
		if req.Off {
			if len(accept) == len(n.set.Accept) {
				return false, ipc.Errorf(ipc.CodeNotFound, "%s is not accepted here", req.Prefix)
			}
		} else {
			if err := n.acceptable(req.Prefix); err != nil {
				return false, err
			}
			accept = append(accept, req.Prefix)
		}
		if err := n.updateSettings(func(s *store.Settings) { s.Accept = accept }); err != nil {
			return false, writeError(err)
		}
		n.refresh()
		return false, nil
	})
}

// acceptable says why a subnet cannot be used here.
func (n *network) acceptable(p netip.Prefix) error {
	if err := n.checkSubnet(p); err != nil {
		return err
	}
	if with := n.e.conflict(p); with != "" {
		err := ipc.Errorf(ipc.CodeRouteConflict, "%s is also the network on %s here: it stays as it is", p, with)
		err.Args = map[string]string{"route": p.String(), "with": with}
		return err
	}
	if len(n.set.Accept) >= acceptMost {
		return ipc.Errorf(ipc.CodeLimit, "at most %d subnets are accepted", acceptMost)
	}
	for _, m := range n.book.View().Members {
		if m.Key != n.self && (slices.Contains(m.Routes, p) || n.leadsTo(m, p)) {
			return nil
		}
	}
	if slices.ContainsFunc(n.routeStatus(), func(r ipc.Route) bool { return r.Prefix == p && !r.Own }) {
		return ipc.Errorf(ipc.CodeNotConnected, "the route to %s waits for an admin's word: kith route approve %s", p, p)
	}
	return ipc.Errorf(ipc.CodeNotFound, "nobody offers a route to %s", p)
}

const acceptMost = 256

// onRoute runs fn on the actor with the network up.
func (e *Engine) onRoute(ctx context.Context, req ipc.RouteRequest, fn func(*network) (pending bool, err error)) (ipc.RouteAnswer, error) {
	if !req.Prefix.IsValid() {
		return ipc.RouteAnswer{}, ipc.Errorf(ipc.CodeUsage, "say which subnet, such as 192.168.7.0/24")
	}
	return call(ctx, e, func() (ipc.RouteAnswer, error) {
		n, err := e.upNetwork(req.Network)
		if err != nil {
			return ipc.RouteAnswer{}, err
		}
		pending, err := fn(n)
		return ipc.RouteAnswer{Schema: ipc.Schema, Pending: pending, Routes: n.routeStatus()}, err
	})
}
