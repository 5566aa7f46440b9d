package engine

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/bypass"
	"kith.internal/helper/internal/osnet/egress"
	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// exit is the exit node that this machine uses. One of all networks' is in use
// at a time.
type exit struct {
	use      *store.ExitUse // nil: none
	recent   []store.ExitNode
	allowLAN bool
	lans     []netip.Prefix // empty: all

	state  ipc.ExitState
	why    exitWhy
	since  time.Time   // when it was chosen, or last worked
	worked bool        // it has, since it was chosen
	look   *time.Timer // judges again when connecting has taken its time

	set   egress.Config // last
	isSet bool          // it was, without an error
}

// exitWhy is why an exit node does not work.
type exitWhy string

const (
	exitFine        exitWhy = ""
	exitOffline     exitWhy = "offline"      // no path leads there
	exitGone        exitWhy = "gone"         // no member any more, or this device is none
	exitNotApproved exitWhy = "not-approved" // no admin's word
	exitRefuses     exitWhy = "refuses"      // it does not offer
	exitFailed      exitWhy = "failed"       // the network could not be brought up
	exitUnshared    exitWhy = "unshared"     // a friend's, and shared no more
	exitForbidden   exitWhy = "forbidden"    // the policy lets this device send nothing there
)

// connectFor is how long an exit node may take before it counts as offline.
const connectFor = 5 * time.Second

// exitFacts is what decides about the exit node in use.
type exitFacts struct {
	down     bool // its network is disconnected by the user's word
	up       bool // it is connected
	member   bool // the device is there
	shared   bool // or was, by a friend
	approved bool
	denied   bool // by the policy
	refuses  bool // it says that it does not offer, or is stopping
	path     bool
	worked   bool
	waited   time.Duration // since it was chosen, or last worked
}

// judge is pure. Whatever it says but off, nothing leaves in clear.
func (f exitFacts) judge() (ipc.ExitState, exitWhy) {
	switch {
	case f.down:
		return ipc.ExitOff, exitFine
	case !f.member && f.shared:
		return ipc.ExitBlocked, exitUnshared
	case !f.member:
		return ipc.ExitBlocked, exitGone
	case !f.up:
		return ipc.ExitBlocked, exitFailed
	case !f.approved:
		return ipc.ExitBlocked, exitNotApproved
	case f.denied:
		return ipc.ExitBlocked, exitForbidden
	case f.refuses:
		return ipc.ExitBlocked, exitRefuses
	case f.path:
		return ipc.ExitOn, exitFine
	case !f.worked && f.waited < connectFor:
		return ipc.ExitConnecting, exitFine
	}
	return ipc.ExitBlocked, exitOffline
}

// loadExit reads what was in use before a restart.
func (e *Engine) loadExit(m store.Machine) {
	e.exit = exit{use: m.Exit, recent: m.Recent, allowLAN: m.AllowLAN, lans: m.LANs, state: ipc.ExitOff, since: time.Now()}
}

// network finds one by its ID.
func (e *Engine) network(id [32]byte) *network {
	i := slices.IndexFunc(e.nets, func(n *network) bool { return n.id == id })
	if i < 0 {
		return nil
	}
	return e.nets[i]
}

// exitNetwork is the network of the exit node in use, nil for none.
func (e *Engine) exitNetwork() *network {
	if e.exit.use == nil {
		return nil
	}
	return e.network(e.exit.use.Network)
}

// exitOf is the member of n that internet traffic goes to, zero for none: only
// one whom an admin has approved is given any.
func (n *network) exitOf() key.Public {
	use := n.e.exit.use
	if use == nil || use.Network != n.id || n.e.exitDown() {
		return key.Public{}
	}
	if m := n.book.View().Member(use.Device); m == nil || !n.exitApproved(m) || expired(m, time.Now()) {
		return key.Public{}
	}
	return use.Device
}

// exitDown tells whether the user has disconnected the exit node's network: then
// internet traffic goes as ever until it is connected again.
func (e *Engine) exitDown() bool {
	if e.down {
		return true
	}
	n := e.exitNetwork()
	if n == nil && e.exit.use != nil {
		n = e.hostOf(e.exit.use.Network)
	}
	return n != nil && !n.set.Active
}

// exits tells whether a member may be used as an exit node.
func (n *network) exits(m *roster.Member) bool {
	l, heard := n.learnt[m.Key]
	return m.Exit && (!heard || l.Seq == 0 || l.Exit) || heard && l.Exit && n.exitApproved(m)
}

// mayGoOut tells whether the policy lets this device send internet traffic through
// an exit node.
func (n *network) mayGoOut() bool {
	me := n.me()
	return me != nil && n.policyInForce().Internet(deviceOf(me))
}

// exitFacts gathers what is known of the exit node in use.
func (e *Engine) exitFacts() exitFacts {
	f := exitFacts{down: e.exitDown(), worked: e.exit.worked, waited: time.Since(e.exit.since)}
	n := e.exitNetwork()
	if n == nil {
		return e.sharedExitFacts(f)
	}
	if n.me() == nil {
		return f
	}
	f.up = n.on != nil
	m := n.book.View().Member(e.exit.use.Device)
	if f.member = m != nil; m == nil || expired(m, time.Now()) || !f.up {
		return f
	}
	f.approved, f.denied = n.exitApproved(m), !n.mayGoOut()
	if l, ok := n.learnt[m.Key]; ok && l.Seq != 0 {
		f.refuses = !l.Exit && !l.Gone
		if l.Gone {
			return f
		}
	}
	st, ok := n.on.wire.PeerStatus(m.Key)
	f.path = ok && st.Path.Kind != wire.None
	return f
}

// applyExit judges the exit node in use and steers this machine's traffic. It is
// called whenever something of it may have changed.
func (e *Engine) applyExit() {
	if e.stopping || e.egress == nil {
		return
	}
	x := &e.exit
	was := x.state
	x.state, x.why = ipc.ExitOff, exitFine
	if x.use != nil {
		x.state, x.why = e.exitFacts().judge()
		e.followExitName()
	}
	if x.state == ipc.ExitOn {
		x.worked, x.since = true, time.Now()
	}
	if x.state == ipc.ExitConnecting && x.look == nil {
		x.look = time.AfterFunc(connectFor+10*time.Millisecond, func() {
			e.post(func() { x.look = nil; e.applyExit() })
		})
	}
	if was != x.state {
		e.log.Info("exit node", "state", x.state, "why", x.why)
		e.publishSoon()
	}
	if (was == ipc.ExitOff) != (x.state == ipc.ExitOff) && e.zones != nil {
		e.applyDNS()
	}
	e.sayExit()
	e.steer(e.egressConfig())
}

// sayExit raises what people have to know of the exit node.
func (e *Engine) sayExit() {
	x := &e.exit
	if x.state != ipc.ExitBlocked {
		e.health.Clear(ipc.HealthExitBlocked, "")
		return
	}
	e.warn(ipc.HealthExitBlocked, "", map[string]string{"device": e.exitName(), "why": string(x.why)})
}

// followExitName keeps what the exit node is called, for when it is no longer known.
func (e *Engine) followExitName() {
	name := e.exitName()
	if name == e.exit.use.Name {
		return
	}
	use := *e.exit.use
	use.Name = name
	e.exit.use = &use
	if err := e.cfg.Store.UpdateMachine(func(m *store.Machine) error { m.Exit = &use; return nil }); err != nil {
		e.log.Warn("keep the exit node's new name", "err", err)
	}
}

// exitName is what the exit node in use is called.
func (e *Engine) exitName() string {
	if n := e.exitNetwork(); n != nil {
		if m := n.book.View().Member(e.exit.use.Device); m != nil {
			return m.Name
		}
	}
	if s, t := e.sharedExit(); s != nil {
		return s.exitName(*t)
	}
	return e.exit.use.Name
}

// egressConfig is what becomes of this machine's packets.
func (e *Engine) egressConfig() egress.Config {
	var c egress.Config
	for _, n := range e.nets {
		if n.on == nil || n.on.index == 0 {
			continue
		}
		c.Own = append(c.Own, egress.Interface{Name: n.on.ifname, Index: n.on.index, Prefixes: overlay(n.id)})
		for _, p := range sortedPrefixes(n.on.vias) {
			c.Routes = append(c.Routes, egress.Route{Prefix: p, Index: n.on.index})
		}
	}
	for _, s := range e.stays() {
		c.Own = append(c.Own, egress.Interface{Name: s.ifname, Index: s.index, Prefixes: s.ranges()})
	}
	if e.exit.state == ipc.ExitOff {
		return c
	}
	c.Exit, c.Block, c.Portal = true, true, e.portalOpen()
	if e.exit.allowLAN {
		c.AllowLAN = e.allowedNetworks()
	}
	if n := e.exitNetwork(); n != nil && n.on != nil && n.on.index != 0 && !n.exitOf().IsZero() {
		m, p := n.book.View().Member(n.exitOf()), n.learnt[n.exitOf()]
		c.TUN, c.Index = n.on.ifname, n.on.index
		c.V4 = n.on.use4 && n.me().IPv4.IsValid() && m.IPv4.IsValid() && !p.No4
		c.V6 = n.on.use6 && !p.No6
	}
	if s, t := e.sharedExit(); s != nil && s.exits == t.Key {
		c.TUN, c.Index = s.ifname, s.index
		c.V4, c.V6 = s.four[t.Key].IsValid() && s.four[s.self].IsValid(), true
	}
	return c
}

// steer hands a configuration to the system where it differs from the last.
func (e *Engine) steer(c egress.Config) {
	x := &e.exit
	// Sockets without marks are bound to the uplink, which may be another by now.
	if c.Exit {
		bypass.SetUplink(e.host.Default4, e.host.Default6)
	} else {
		bypass.SetUplink(0, 0)
	}
	if x.isSet && reflect.DeepEqual(c, x.set) {
		return
	}
	err := e.egress.Set(c)
	x.set, x.isSet = c, err == nil
	e.egressProblem(err)
	e.forward.Flush()
}

// egressProblem says what the system could not do, or another program undoes.
func (e *Engine) egressProblem(err error) {
	switch {
	case err == nil:
		e.health.Clear(ipc.HealthExitLeaks, "")
	case errors.Is(err, egress.ErrUnsupported) && e.exit.use == nil:
		e.log.Debug("steer traffic", "err", err)
	default:
		e.log.Error("steer traffic", "err", err)
		e.warn(ipc.HealthExitLeaks, "", map[string]string{"why": err.Error()})
	}
}

// localNetworks is the connected networks that can stay reachable beside an exit
// node: those with private addresses, as a LAN can claim any other for its own.
func (e *Engine) localNetworks() []netip.Prefix {
	var out []netip.Prefix
	for _, i := range e.foreign() {
		if !i.Up {
			continue
		}
		for _, p := range i.Prefixes {
			p = p.Masked()
			if !p.Addr().IsPrivate() || p.IsSingleIP() || slices.Contains(out, p) {
				continue
			}
			out = append(out, p)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// allowedNetworks is those of them that a person keeps reachable.
func (e *Engine) allowedNetworks() []netip.Prefix {
	return slices.DeleteFunc(e.localNetworks(), func(p netip.Prefix) bool { return !e.wantsLAN(p) })
}

func (e *Engine) wantsLAN(p netip.Prefix) bool {
	return len(e.exit.lans) == 0 || slices.ContainsFunc(e.exit.lans, func(q netip.Prefix) bool {
		return q.Bits() <= p.Bits() && q.Contains(p.Addr())
	})
}

// overlay is a network's own ranges.
func overlay(id roster.ID) []netip.Prefix {
	return []netip.Prefix{roster.Range4(id), roster.Prefix6(id)}
}

// internet is every address but a network's own: what an exit node may be sent,
// and speak for. An overlay address proves its owner, so it is never an exit's.
func internet(id roster.ID) []netip.Prefix {
	var out []netip.Prefix
	for _, own := range overlay(id) {
		zero := netip.IPv4Unspecified()
		if own.Addr().Is6() {
			zero = netip.IPv6Unspecified()
		}
		for bits := own.Bits(); bits > 0; bits-- {
			out = append(out, sibling(own, bits, zero))
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// sibling is the other half of the prefix of bits-1 bits that p lies in.
func sibling(p netip.Prefix, bits int, zero netip.Addr) netip.Prefix {
	b := netip.PrefixFrom(p.Addr(), bits).Masked().Addr().AsSlice()
	b[(bits-1)/8] ^= 0x80 >> ((bits - 1) % 8)
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, bits)
}

// exitResolvers is where the forwarder asks while an exit node is in use: the
// exit node's own stub, so that no question leaves in clear.
func (e *Engine) exitResolvers() []netip.AddrPort {
	if s, t := e.sharedExit(); e.exit.state != ipc.ExitOff && s != nil && s.exits == t.Key {
		return []netip.AddrPort{netip.AddrPortFrom(t.IP, 53)}
	}
	n := e.exitNetwork()
	if e.exit.state == ipc.ExitOff || n == nil || n.on == nil || n.exitOf().IsZero() {
		return nil
	}
	m, p := n.book.View().Member(n.exitOf()), n.learnt[n.exitOf()]
	var out []netip.AddrPort
	if n.on.use6 && !p.No6 {
		out = append(out, netip.AddrPortFrom(m.IPv6, 53))
	}
	if n.on.use4 && m.IPv4.IsValid() && !p.No4 {
		out = append(out, netip.AddrPortFrom(m.IPv4, 53))
	}
	return out
}

// pathMoved follows a peer's path: the exit node and the ways to subnets depend
// on it.
func (n *network) pathMoved(id key.Public) {
	if id == n.exitOf() {
		n.e.applyExit()
	}
	if m := n.book.View().Member(id); m != nil && len(m.Routes)+len(n.learnt[id].Routes) > 0 && n.checkVias() {
		n.refreshSoon()
	}
}

// undoSteering lets traffic go as it did without us, when the helper stops by
// someone's wish.
func (e *Engine) undoSteering() {
	if err := e.egress.Set(egress.Config{}); err != nil {
		e.log.Warn("undo the steering of traffic", "err", err)
	}
	if err := e.nat.Set(nat.Config{}); err != nil {
		e.log.Warn("undo the passing on of traffic", "err", err)
	}
}
