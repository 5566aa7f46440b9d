package engine

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/wire"
)

// sayEvery is how far apart changes of our neighbours are told: others may take
// no more words of one device.
const sayEvery = 2 * time.Second

// sayPresence tells the members where this device is, whom it reaches and what
// it asks for.
func (n *network) sayPresence() {
	if n.on == nil {
		return
	}
	p := n.presence()
	n.on.said, n.on.saidAt = p, time.Now()
	n.on.replica.SetPresence(p)
}

// presence is what this device would say of itself now.
func (n *network) presence() replica.Presence {
	return replica.Presence{
		Endpoints:  n.endpoints(),
		OS:         n.e.cfg.Host.OS(),
		No4:        !n.on.use4,
		No6:        !n.on.use6,
		Asks:       n.asks,
		Neighbours: n.neighbours(),
		NoForward:  n.set.NoForward && !n.relayApproved(),
		NAT:        n.natKind(),
		Relays:     n.set.Relay != nil && !n.on.relayFailed,
		Exit:       n.set.Exit != nil,
		Routes:     n.routesOffered(),
		Carry:      n.carries(),
	}
}

// endpoints is where this device may be reached, best first.
func (n *network) endpoints() []netip.AddrPort {
	out := n.on.wire.Candidates()
	return out[:min(len(out), 16)]
}

// near is whom this device reaches without help: what the wire says now, and who
// has only become idle since. Otherwise each device of a LAN would tell, again
// and again, of all that nobody has talked with for a while.
func (n *network) near() []replica.Neighbour {
	on := n.on
	v := n.book.View()
	now := time.Now()
	var out []replica.Neighbour
	found := map[key.Public]bool{}
	for _, o := range on.wire.Neighbours() {
		if v.Member(o.ID) == nil {
			continue
		}
		rtt := uint32(max(1, min(o.RTT.Milliseconds(), 60_000)))
		out = append(out, replica.Neighbour{ID: o.ID, RTT: rtt})
		on.near[o.ID] = nearby{rtt, now}
		found[o.ID] = true
	}
	for id, q := range on.near {
		if found[id] {
			continue
		}
		st, ok := on.wire.PeerStatus(id)
		idle := ok && (st.Reason == wire.Idle || st.Path.Kind >= wire.Direct)
		if !idle || now.Sub(q.at) > idleFor || v.Member(id) == nil {
			delete(on.near, id)
			continue
		}
		out = append(out, replica.Neighbour{ID: id, RTT: q.rtt})
	}
	return out
}

// nearby is when a device was reached without help last.
type nearby struct {
	rtt uint32 // milliseconds
	at  time.Time
}

// idleFor is how long a device that nobody talks with counts as near.
const idleFor = 15 * time.Minute

// neighbours is what is told of near: relays first, which others come through,
// then whom it named before, or where there are many each change of a round trip
// would be told, then the nearest.
func (n *network) neighbours() []replica.Neighbour {
	v := n.book.View()
	named := map[key.Public]bool{}
	for _, q := range n.on.said.Neighbours {
		named[q.ID] = true
	}
	order := func(q replica.Neighbour) int {
		switch {
		case v.Member(q.ID).Relay != nil:
			return 0
		case named[q.ID]:
			return 1
		}
		return 2
	}
	out := n.near()
	slices.SortFunc(out, func(a, b replica.Neighbour) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.RTT, b.RTT), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out[:min(len(out), replica.MaxNeighbours)]
}

// natKind is what the wire has found out about the network here, the worse of
// the two families that others meet us by.
func (n *network) natKind() replica.NAT {
	r := n.on.wire.Net()
	if noUDP(r) {
		return replica.NATBlocked
	}
	kind := replica.NATUnknown
	for _, f := range []wire.FamilyReport{r.IPv4, r.IPv6} {
		if k := natKinds[f.NAT]; f.Has && k != replica.NATUnknown && (kind == replica.NATUnknown || k < kind) {
			kind = k
		}
	}
	return kind
}

var natKinds = map[wire.NAT]replica.NAT{
	wire.NATNone: replica.NATNone, wire.NATEasy: replica.NATEasy, wire.NATHard: replica.NATHard,
}

// noUDP tells whether relays answer over TLS alone: no datagram comes back.
func noUDP(r wire.NetReport) bool {
	return !r.UDP && slices.ContainsFunc(r.Relays, func(q wire.RelayReport) bool { return q.TLS > 0 })
}

// neighboursChanged follows the wire's word.
func (n *network) neighboursChanged() {
	n.routeSoon()
	n.tellIfChanged()
}

// tellIfChanged says our presence again where whom we reach, or what is said of
// the network here, differs from what was said last: a loss at once, else two
// seconds after the last word.
func (n *network) tellIfChanged() {
	if n.on == nil || n.on.telling != nil {
		return
	}
	p := n.presence()
	was := n.on.said
	gained, lost := whoChanged(was.Neighbours, p.Neighbours)
	if !gained && !lost && p.NAT == was.NAT && !moved(was, p) {
		return
	}
	wait := sayEvery - time.Since(n.on.saidAt)
	if wait <= 0 || lost && n.on.hasty.allow(time.Now()) {
		n.sayPresence()
		return
	}
	on := n.on
	on.telling = time.AfterFunc(wait, func() {
		n.e.post(func() {
			if n.on == on {
				on.telling = nil
				n.tellIfChanged()
			}
		})
	})
}

// moved tells whether this device is found elsewhere. Behind a NAT that has
// another port for each peer, what others see says nothing to the rest.
func moved(was, now replica.Presence) bool {
	if now.NAT == replica.NATHard {
		return false
	}
	return len(was.Endpoints) != len(now.Endpoints) || slices.ContainsFunc(now.Endpoints, func(a netip.AddrPort) bool {
		return !slices.Contains(was.Endpoints, a)
	})
}

// whoChanged tells whether devices came or went. A round trip that changes is
// not worth telling.
func whoChanged(was, now []replica.Neighbour) (gained, lost bool) {
	has := func(list []replica.Neighbour, id key.Public) bool {
		return slices.ContainsFunc(list, func(q replica.Neighbour) bool { return q.ID == id })
	}
	for _, q := range now {
		gained = gained || !has(was, q.ID)
	}
	for _, q := range was {
		lost = lost || !has(now, q.ID)
	}
	return gained, lost
}

// Hasty words: a few at once, then one in ten seconds.
const (
	hastyMost  = 3
	hastyEvery = 10 * time.Second
)

// heardPresence follows what a member says of itself.
func (n *network) heardPresence(p replica.Presence) {
	before := n.learnt[p.Device]
	n.learnt[p.Device] = learnt{p, time.Now()}
	n.on.wire.AddCandidates(p.Device, p.Endpoints...)
	if before.No4 != p.No4 || before.No6 != p.No6 {
		n.e.applyDNS()
	}
	if before.Relays != p.Relays || before.Exit != p.Exit || before.Carry != p.Carry || before.No4 != p.No4 || before.Gone != p.Gone || !slices.Equal(before.Routes, p.Routes) || before.Seq == 0 {
		n.refreshSoon()
	}
	gained, lost := whoChanged(before.Neighbours, p.Neighbours)
	if gained || lost || before.NoForward != p.NoForward || before.Gone != p.Gone {
		n.routeSoon()
	}
	n.e.publishSoon()
}

// settleFor gathers what changes at once before it is decided upon anew; longer
// where there are many members, each of whom is looked at.
const (
	settleFor  = 100 * time.Millisecond
	settleEach = 500 * time.Microsecond
)

func (n *network) settles() time.Duration {
	return settleFor + time.Duration(len(n.book.View().Members))*settleEach
}

// refreshSoon refreshes now, or shortly if that was done just before.
func (n *network) refreshSoon() {
	if n.refreshing != nil {
		return
	}
	wait := n.settles() - time.Since(n.refreshed)
	if wait <= 0 {
		n.refresh()
		return
	}
	n.refreshing = time.AfterFunc(wait, func() {
		n.e.post(func() {
			n.refreshing = nil
			n.refresh()
		})
	})
}

// routeSoon computes the chains to all peers shortly.
func (n *network) routeSoon() {
	if n.on == nil || n.on.routing != nil {
		return
	}
	on := n.on
	on.routing = time.AfterFunc(n.settles(), func() {
		n.e.post(func() {
			if on.routing = nil; n.on == on {
				n.routePeers()
			}
		})
	})
}

// allRouted is up to how many members each has its chains ready; in a larger
// network those that we want or link with have.
const allRouted = 32

// routePeers gives the wire its candidate chains.
func (n *network) routePeers() {
	v := n.book.View()
	m := n.mesh()
	var who []key.Public
	if len(v.Members) <= allRouted {
		for _, o := range v.Members {
			who = append(who, o.Key)
		}
	} else {
		who = n.on.replica.Chosen()
		for id := range n.on.wanted {
			who = append(who, id)
		}
	}
	for _, id := range who {
		n.setChains(m, id)
	}
}

// routePeer gives the wire the chains of one peer, which is wanted from now on.
func (n *network) routePeer(id key.Public) { n.setChains(n.mesh(), id) }

func (n *network) setChains(m *mesh, id key.Public) {
	if id == n.self || n.book.View().Member(id) == nil {
		return
	}
	chains := m.chains(id)
	if slices.EqualFunc(n.on.chains[id], chains, slices.Equal[[]key.Public]) {
		return
	}
	n.on.chains[id] = chains
	n.on.wire.SetChains(id, chains)
}

// mesh is what is known now of who reaches whom.
func (n *network) mesh() *mesh {
	m := newMesh(n.self)
	v := n.book.View()
	now := time.Now()
	for _, o := range v.Members {
		if o.Key != n.self && !expired(o, now) && n.serves(o) {
			m.relays[o.Key] = true
		}
	}
	for _, q := range n.near() {
		m.link(n.self, q.ID, time.Duration(q.RTT)*time.Millisecond)
	}
	for id, l := range n.learnt {
		if v.Member(id) != nil && now.Sub(l.at) < replica.PresenceTTL {
			m.hear(l.Presence)
		}
	}
	return m
}
