package engine

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"

	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
)

// passing is what this device passes on for others.
type passing struct {
	set   nat.Config // last
	isSet bool
	how   string // ipc.Exit.NAT
}

// NATs, as ipc.Exit names them.
const (
	natKernel    = "kernel"
	natUserspace = "userspace"
)

// offersExit tells whether this device may be used as an exit node: by its own
// word and an admin's.
func (n *network) offersExit() bool {
	me := n.me()
	return n.set.Exit != nil && me != nil && n.exitApproved(me)
}

// offersRoutes is the subnets likewise.
func (n *network) offersRoutes() []store.RouteOffer {
	me := n.me()
	if me == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(n.set.Routes), func(o store.RouteOffer) bool { return !n.routeApproved(me, o.Prefix) })
}

// natConfig is what is to be passed on.
func (e *Engine) natConfig() nat.Config {
	var c nat.Config
	for _, n := range e.nets {
		routes := n.offersRoutes()
		if n.on == nil || n.on.index == 0 || !n.offersExit() && len(routes) == 0 {
			continue
		}
		o := nat.Offer{TUN: n.on.ifname, Index: n.on.index, Sources: overlay(n.id), Exit: n.offersExit()}
		o.ExitLAN = o.Exit && n.set.Exit.LAN
		for _, r := range routes {
			o.Routes = append(o.Routes, nat.Route{Prefix: r.Prefix, SNAT: !r.NoSNAT})
		}
		c.Offers = append(c.Offers, o)
	}
	return c
}

// applyOffers has the system pass on what this device offers, in the kernel or,
// where that cannot, in this process.
func (e *Engine) applyOffers() {
	if e.stopping || e.nat == nil {
		return
	}
	c := e.natConfig()
	p := &e.passing
	if p.isSet && reflect.DeepEqual(c, p.set) {
		return
	}
	err := e.nat.Set(c)
	p.set, p.isSet, p.how = c, err == nil, ""
	if len(c.Offers) > 0 {
		p.how = natKernel
	}
	here := nat.Config{}
	if errors.Is(err, nat.ErrUnable) {
		e.log.Info("pass traffic on in this process", "because", err)
		here, p.how = c, natUserspace
		names := c
		names.Names = true
		err = e.nat.Set(names)
	}
	if err = errors.Join(err, e.passHere(here)); err != nil {
		e.log.Error("pass traffic on", "err", err)
	}
	e.natProblems(err)
	e.publishSoon()
}

// natProblems says what hinders passing on.
func (e *Engine) natProblems(err error) {
	why := ""
	switch list := e.nat.Problems(); {
	case err != nil:
		why = err.Error()
	case len(list) > 0 && len(e.passing.set.Offers) > 0:
		why = problemText(list[0])
	}
	if why == "" {
		e.health.Clear(ipc.HealthNotPassing, "")
		return
	}
	e.warn(ipc.HealthNotPassing, "", map[string]string{"why": why})
}

func problemText(p nat.Problem) string {
	switch p.Kind {
	case nat.ForwardingOff:
		return "another program switches forwarding off (" + p.Detail + ")"
	case nat.ForeignDrop:
		return "a firewall drops it: " + p.Detail
	case nat.Removed:
		return "another program removes Kith's rules"
	case nat.NoIPv6:
		return "IPv6 cannot be passed on here: " + p.Detail
	}
	return p.Detail
}

// askOffers has the roster agree to what this device offers: at once where it may
// write that, else as requests to an admin.
func (n *network) askOffers() (pending bool, err error) {
	me := n.me()
	if me == nil {
		return false, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", n.alias)
	}
	may := n.book.View().Caps(n.self)&roster.CapNet != 0
	if n.set.Exit != nil && !n.exitApproved(me) {
		if may {
			err = n.write(func(a *roster.Author) error { _, err := a.ApproveExit(n.self, true); return err })
		} else {
			pending, err = true, n.ask(replica.Ask{Kind: replica.AskExit})
		}
		if err != nil {
			return false, err
		}
	}
	missing := slices.DeleteFunc(n.routesOffered(), func(p netip.Prefix) bool { return n.routeApproved(me, p) })
	if len(missing) > 0 {
		if may {
			err = n.write(func(a *roster.Author) error { _, err := a.ApproveRoutes(n.self, n.routesOffered()); return err })
		} else {
			pending, err = true, n.ask(replica.Ask{Kind: replica.AskRoute, Routes: missing})
		}
	}
	return pending, err
}

// withdrawOffers takes out of the roster what this device does not offer any
// more, where it may. Elsewhere an approval without an offer is of no effect.
func (n *network) withdrawOffers() error {
	me := n.me()
	if n.set.Exit == nil {
		n.dropAsks(replica.AskExit)
	}
	offered := n.routesOffered()
	n.dropAsks(replica.AskRoute)
	if me == nil {
		return nil
	}
	if n.book.View().Caps(n.self)&roster.CapNet == 0 {
		_, err := n.askOffers()
		return err
	}
	if n.set.Exit == nil && me.Exit {
		if err := n.write(func(a *roster.Author) error { _, err := a.ApproveExit(n.self, false); return err }); err != nil {
			return err
		}
	}
	if len(missingRoutes(me.Routes, offered)) > 0 {
		return n.write(func(a *roster.Author) error { _, err := a.ApproveRoutes(n.self, offered); return err })
	}
	return nil
}

func (n *network) routesOffered() []netip.Prefix {
	var out []netip.Prefix
	for _, o := range n.set.Routes {
		out = append(out, o.Prefix)
	}
	return out
}

// missingRoutes is what of want is not among have.
func missingRoutes(want, have []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(want), func(p netip.Prefix) bool { return slices.Contains(have, p) })
}

// exitStatus is the exit nodes of one network as people see them.
func (n *network) exitStatus() ipc.Exit {
	x := &n.e.exit
	out := ipc.Exit{
		Offering: n.offersExit(), Pending: n.set.Exit != nil && !n.offersExit(),
		OfferLAN: n.set.Exit != nil && n.set.Exit.LAN, State: ipc.ExitOff,
	}
	if n.offersExit() || len(n.offersRoutes()) > 0 {
		out.NAT = n.e.passing.how
	}
	out.LANAllowed, out.LANs, out.Local = x.allowLAN, x.lans, n.e.localNetworks()
	if x.allowLAN {
		out.AllowLAN = n.e.allowedNetworks()
	}
	if n.usesExit() {
		out.Using, out.State = new(n.e.exitName()), x.state
	}
	for _, r := range x.recent {
		if name := n.exitNodeName(r); name != "" {
			out.Recent = append(out.Recent, name)
		}
	}
	return out
}
