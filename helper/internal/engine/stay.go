package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/dns"
	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// stay is this device as a guest of a friend's network: keys, a port, a TUN and
// an address of its own there, and no roster. It belongs to the actor.
type stay struct {
	endpoint
	n     *network // through which it came
	id    roster.ID
	self  key.Public
	addr  netip.Addr
	alias string

	views    map[guest.SID]*guest.View
	labels   map[key.Public]string // what the shared devices are called here, each its own
	four     fours                 // this device's and the shared ones' IPv4 addresses here
	exits    key.Public            // the shared exit node in use; zero: none
	names    stayNames
	known    map[key.Public]bool // who has our keys
	callers  map[key.Public]*caller
	doors    map[guest.SID]*door
	heard    map[key.Public][]netip.AddrPort // where they are, as the friend's side says
	refused  map[guest.SID]error             // why a share does not work now
	barred   map[guest.SID]bool              // the owner's policy lets nothing of it through
	greeted  map[guest.SID]time.Time         // when a shared device last answered
	gone     map[key.Public]bool             // who has said that it stops
	timer    *time.Timer
	routeErr error
	closed   bool
}

// stayNames is the zone as it was built last.
type stayNames struct {
	alias string
	hosts []dns.Host
	zone  *dns.Zone
}

// stays are the friends' networks that this device is a guest of now, the first first:
// what a friend shares later takes no other friend's short names.
func (e *Engine) stays() []*stay {
	var out []*stay
	for _, n := range e.nets {
		out = slices.AppendSeq(out, maps.Values(n.stays))
	}
	since := make(map[*stay]time.Time, len(out))
	for _, s := range out {
		if w := s.stored(); w != nil && len(w.Shares) > 0 {
			since[s] = slices.MinFunc(w.Shares, func(a, b store.VisitShare) int { return a.Since.Compare(b.Since) }).Since
		}
	}
	slices.SortFunc(out, func(a, b *stay) int { return cmp.Or(since[a].Compare(since[b]), bytes.Compare(a.id[:], b.id[:])) })
	return out
}

// visitAlias is the name that a friend's network goes by here: its own, or with a
// number where one of ours, or another friend's, has it.
func (e *Engine) visitAlias(name string) string {
	taken := func(a string) bool {
		return slices.ContainsFunc(e.nets, func(n *network) bool {
			return n.alias == a || slices.ContainsFunc(n.secrets.Visits, func(w store.Visit) bool { return w.Alias == a })
		})
	}
	alias := name
	for i := 2; taken(alias); i++ {
		alias = fmt.Sprintf("%.60s-%d", name, i)
	}
	return alias
}

// whyNoStay is why this device is not to be a guest of a friend's network.
func (n *network) whyNoStay(w *store.Visit) error {
	for _, o := range n.e.nets {
		switch {
		case o.id == w.Network:
			return ipc.Errorf(ipc.CodeExists, "this device is in %s itself", o.alias)
		case roster.SamePrefix(o.id, w.Network):
			return ipc.Errorf(ipc.CodeLinkForeign, "its address range is that of %s", o.alias)
		case o != n && o.stays[w.Network] != nil:
			return ipc.Errorf(ipc.CodeExists, "it is reached through %s", o.alias)
		}
	}
	return nil
}

// tendVisits brings this device's stays in line with what is stored and with
// whether the network is up.
func (n *network) tendVisits() {
	n.forgetVisits()
	wanted := map[roster.ID]bool{}
	for i := range n.secrets.Visits {
		w := &n.secrets.Visits[i]
		if !n.mayVisit() || len(w.Shares) == 0 || n.makesWay(w) {
			continue
		}
		if n.whyNoStay(w) != nil {
			n.askToMakeWay(w)
			continue
		}
		wanted[w.Network] = true
		s := n.stays[w.Network]
		if s == nil {
			var err error
			if s, err = n.startStay(w); err != nil {
				n.e.log.Error("be a guest", "network", w.Alias, "err", err)
				continue
			}
			n.stays[w.Network] = s
			n.e.tellLocal()
		}
		s.refresh()
	}
	for id, s := range n.stays {
		if !wanted[id] {
			n.endStay(s)
		}
	}
	n.e.apply()
}

// mayVisit tells whether this device may be anyone's guest by this network.
func (n *network) mayVisit() bool { return n.on != nil && !n.leaving && n.me() != nil }

// opens tells whether anything of a friend's network may be reached still.
func opens(w *store.Visit) bool {
	now := time.Now()
	return slices.ContainsFunc(w.Shares, func(q store.VisitShare) bool {
		v, err := guest.OpenView(q.Proof, w.Network, q.Share)
		return err == nil && open(&q, v, now)
	})
}

// makesWay tells whether another of this device's networks is to lead to a friend's:
// in this one nothing is reached there any more. Without another it stays, and says
// of each name why it leads nowhere.
func (n *network) makesWay(w *store.Visit) bool {
	return !opens(w) && slices.ContainsFunc(n.e.nets, func(o *network) bool {
		if o == n || !o.mayVisit() {
			return false
		}
		v := o.visitOf(w.Network)
		return v != nil && opens(v)
	})
}

// askToMakeWay has another network let go of a friend's that this one is to lead to.
func (n *network) askToMakeWay(w *store.Visit) {
	for _, o := range n.e.nets {
		if v := o.visitOf(w.Network); o != n && o.stays[w.Network] != nil && v != nil && o.makesWay(v) {
			n.e.post(o.tendVisits)
		}
	}
}

// forgottenAfter is how long a share is kept whose pass nobody renews any more.
const forgottenAfter = 30 * 24 * time.Hour

// forgetVisits drops shares that this device has had no pass for in a long time.
func (n *network) forgetVisits() {
	for _, w := range n.secrets.Visits {
		for _, q := range w.Shares {
			if p, err := guest.PeekPass(q.Pass); err == nil && time.Since(p.Ends()) > forgottenAfter {
				n.forgetVisit(w.Network, q.Share)
				if o := n.issuer(w.Network, q.Share); o != nil && o.Ended {
					n.bury(w.Network, q.Share)
				}
			}
		}
	}
}

// tendAllVisits is for when this device's networks have changed.
func (e *Engine) tendAllVisits() {
	if e.stopping {
		return
	}
	for _, n := range e.nets {
		if len(n.secrets.Visits) > 0 {
			n.tendVisits()
		}
	}
}

func (n *network) endStay(s *stay) {
	delete(n.stays, s.id)
	if s.index != 0 {
		n.e.closed[s.index] = true // until the monitor tells that it is gone
	}
	s.close()
	n.e.tellLocal()
	n.e.post(n.e.tendAllVisits) // another network may lead there
}

// startStay takes a port and a TUN.
func (n *network) startStay(w *store.Visit) (_ *stay, err error) {
	e := n.e
	s := &stay{
		endpoint: endpoint{e: e, log: e.log.With("guest of", w.Alias)},
		n:        n, id: w.Network, self: w.Guest.Public(), addr: guest.Addr(w.Network, w.Guest.Public()), alias: w.Alias,
		four: fours{}, known: map[key.Public]bool{}, callers: map[key.Public]*caller{}, doors: map[guest.SID]*door{},
		heard: map[key.Public][]netip.AddrPort{}, refused: map[guest.SID]error{}, barred: map[guest.SID]bool{}, greeted: map[guest.SID]time.Time{}, gone: map[key.Public]bool{},
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if _, err = s.listen(w.Port); err != nil {
		return nil, err
	}
	if port := s.conn.Port(); port != w.Port {
		if err := n.updateVisit(w.Network, func(w *store.Visit) { w.Port = port }); err != nil {
			return nil, err
		}
	}
	if err = s.startWire(wire.Config{Device: w.Guest, Control: w.Keys.Control, Handler: stayHandler{s}, DialLink: e.dialLink}); err != nil {
		return nil, err
	}
	s.wire.SetLocal(e.local())
	return s, s.openTUN(w.Keys.WireGuard, s.wire, func(dev tun.Device) tun.Device { return dev })
}

func (s *stay) close() {
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, c := range s.callers {
		c.cancel()
	}
	for _, d := range s.doors {
		d.close()
	}
	s.endpoint.close()
}

// stored is what is kept of the stay, nil for nothing any more.
func (s *stay) stored() *store.Visit { return s.n.visitOf(s.id) }

// open tells whether a share's devices are called: it has not ended, and there is a
// pass to show.
func open(q *store.VisitShare, v *guest.View, now time.Time) bool {
	p, err := guest.PeekPass(q.Pass)
	return q.Ended == "" && v != nil && err == nil && !now.After(p.Ends().Add(grace)) &&
		(v.Expires == 0 || !now.After(time.UnixMilli(v.Expires).Add(grace)))
}

// live tells whether a share is in force here, as far as is known on this side.
func (s *stay) live(q *store.VisitShare, v *guest.View, now time.Time) bool {
	return open(q, v, now) && v.Trusted(now)
}

// rename moves the stay out of the way of a network of ours that has its name.
func (s *stay) rename(w *store.Visit) {
	if s.alias = w.Alias; !slices.ContainsFunc(s.n.e.nets, func(n *network) bool { return n.alias == s.alias }) {
		return
	}
	alias := s.alias
	for _, q := range w.Shares {
		if v, err := guest.OpenView(q.Proof, s.id, q.Share); err == nil {
			alias = s.n.e.visitAlias(v.Name)
		}
	}
	if err := s.n.updateVisit(s.id, func(w *store.Visit) { w.Alias = alias }); err == nil {
		s.alias = alias
	}
}

// post queues work for the actor, unless the stay has ended by then.
func (s *stay) post(fn func()) {
	s.n.e.post(func() {
		if !s.closed {
			fn()
		}
	})
}

// groups is how this device makes itself heard on the LAN as a guest.
func (s *stay) groups() []discover.Group {
	var out []discover.Group
	w := s.stored()
	if w == nil {
		return nil
	}
	for _, q := range w.Shares {
		if q.Ended != "" {
			continue
		}
		door := q.Door.Public()
		speak := discover.Group{Secret: guest.LANSecret(door), Speak: true, Port: s.conn.Port(), ID: shortID(s.self), Handle: func(discover.Heard) {}}
		if d := s.doors[q.Share]; d != nil {
			speak.Port, speak.ID = d.conn.Port(), shortID(door)
		}
		out = append(out, speak)
	}
	return out
}

// networkChanged follows a change of the host's network.
func (s *stay) networkChanged() {
	s.wire.SetLocal(s.n.e.local())
	s.wire.NetworkChanged()
	for _, d := range s.doors {
		d.networkChanged(s.n.e)
	}
	for _, c := range s.callers {
		c.kick()
	}
	s.refresh()
}

// zone is the names of what is shared.
func (s *stay) zone() (*dns.Zone, error) {
	var hosts []dns.Host
	now := time.Now()
	if w := s.stored(); w != nil && s.routeErr == nil {
		for i := range w.Shares {
			v := s.views[w.Shares[i].Share]
			if !s.live(&w.Shares[i], v, now) {
				continue
			}
			for _, t := range v.Targets {
				if !slices.ContainsFunc(hosts, func(h dns.Host) bool { return h.V6 == t.IP }) {
					hosts = append(hosts, dns.Host{Name: s.label(t), V6: t.IP, V4: s.four[t.Key]})
				}
			}
		}
	}
	if s.names.zone != nil && s.names.alias == s.alias && slices.Equal(s.names.hosts, hosts) {
		return s.names.zone, nil
	}
	z, refused, err := dns.NewZone(s.alias, s.ranges(), hosts)
	if err != nil {
		return nil, err
	}
	for _, r := range refused {
		s.log.Warn("a name is left out", "err", r)
	}
	s.names = stayNames{s.alias, hosts, z}
	return z, nil
}

// stayHandler hears the guest's wire.
type stayHandler struct{ s *stay }

func (h stayHandler) PeerWants(id key.Public) {
	h.s.post(func() { h.s.tunnel.Ensure(id) })
}

func (h stayHandler) PeerRestarted(id key.Public) {
	h.s.post(func() { h.s.tunnel.Reset(id); h.s.back(id); h.s.n.e.publishSoon() })
}

func (h stayHandler) PathChanged(id key.Public, p wire.Path) {
	h.s.post(func() {
		h.s.tunnel.SetMTU(id, h.s.wire.MTU(id))
		if p.Kind == wire.None {
			delete(h.s.gone, id) // should a path come up, it is back
		}
		if id == h.s.exits {
			h.s.n.e.applyExit()
		}
		h.s.n.e.publishSoon()
	})
}

// left notes that a friend's device stops; from then until it is back it is not
// counted on, whatever its path.
func (s *stay) left(id key.Public) {
	s.gone[id] = true
	s.n.e.applyExit()
	s.n.e.publishSoon()
}

// back notes that it has started again.
func (s *stay) back(id key.Public) {
	if s.gone[id] {
		delete(s.gone, id)
		s.n.e.applyExit()
		s.n.e.publishSoon()
	}
}

func (stayHandler) NeighboursChanged() {}

// Accept refuses: nobody has anything to ask of a guest.
func (stayHandler) Accept(_ key.Public, s wire.Session) { s.Close(0) }
