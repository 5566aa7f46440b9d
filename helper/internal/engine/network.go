package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/visit"
	"kith.internal/ipc"
)

// network is one network that this device is in. It belongs to the actor, but
// for book and what never changes.
type network struct {
	e          *Engine
	id         roster.ID
	device     key.Private // of this device; with its public half, safe for all
	self       key.Public
	alias      string
	set        store.Settings
	secrets    store.Secrets
	book       *replica.Book
	on         *live // nil while it is not up
	queued     atomic.Bool
	warned     map[string]bool // health codes raised for it
	learnt     map[key.Public]learnt
	offered    [][32]byte    // discovery secrets that no record vouches for yet
	asks       []replica.Ask // what this device asks an admin for
	failed     error         // why it is not up
	expiry     *time.Timer   // when the next member's admission ends
	epochTimer *time.Timer   // renews the discovery secret
	retry      *time.Timer   // when it is started again after a failure
	leaving    bool          // this device has left, and forgets it

	refreshed  time.Time   // when all was decided last
	refreshing *time.Timer // decides again when it is due
	relayGate  gate        // who opens or closes the relay's ports
	names      names
	policy     policy

	// Shares: given, by the roster; to whom, by what they have shown.
	shareCache shareCache
	shareWords map[key.Public][]string
	visitors   map[guestID]*visitor
	cancels    []takenBack
	proofs     map[guest.SID][]byte // by admins, where this device signs none
	spread     map[handing]spread
	shownAs    map[guest.SID]string // what guests were told last
	refused    map[refuser]*refusals
	// Friends': as an admin of this network, and as their guest.
	accepts map[guest.SID]*accepting
	handed  map[handing]bool // which admins know of which shares
	offers  map[handing]offered
	got     map[handing]bool // which devices have a pass, as they say
	stays   map[roster.ID]*stay
	opening atomic.Pointer[opening] // to the LAN; nil: none
}

// learnt is what a member's presence said, kept also while replication is down.
type learnt struct {
	replica.Presence
	at time.Time
}

func (n *network) name() string { return n.book.View().Name }
func (n *network) me() *roster.Member {
	m := n.book.View().Member(n.self)
	if m == nil || expired(m, time.Now()) {
		return nil
	}
	return m
}

// openNetwork reads a network from the store.
func (e *Engine) openNetwork(set store.Settings) (*network, error) {
	n := &network{
		e: e, id: set.Network, alias: set.Alias, set: set,
		warned: map[string]bool{}, learnt: map[key.Public]learnt{}, relayGate: make(gate, 1),
		proofs: map[guest.SID][]byte{}, spread: map[handing]spread{}, shownAs: map[guest.SID]string{}, refused: map[refuser]*refusals{}, accepts: map[guest.SID]*accepting{}, handed: map[handing]bool{}, offers: map[handing]offered{}, got: map[handing]bool{},
		stays: map[roster.ID]*stay{},
	}
	var err error
	if n.secrets, err = e.cfg.Store.Secrets(n.id); err != nil {
		return nil, err
	}
	n.device, n.self = n.secrets.Device, n.secrets.Device.Public()
	records, err := e.cfg.Store.Records(n.id)
	if err != nil {
		return nil, err
	}
	rs, err := loadSet(n.id, records)
	if err != nil {
		return nil, err
	}
	n.book = replica.NewBook(rs, keeper{e.cfg.Store, n.id}, n.changed)
	if err := n.loadAsks(); err != nil {
		return nil, fmt.Errorf("read what is asked for: %w", err)
	}
	if err := n.loadVisitors(); err != nil {
		return nil, fmt.Errorf("read what is known of guests: %w", err)
	}
	return n, nil
}

// loadSet builds a network's set from its stored records.
func loadSet(id roster.ID, records []store.Record) (*roster.Set, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("load the roster: %w: it has no records", store.ErrDamaged)
	}
	set, err := roster.NewSet(records[0].Raw)
	if err != nil {
		return nil, fmt.Errorf("load the roster: %w: its first record: %w", store.ErrDamaged, err)
	}
	for _, r := range records[1:] {
		if _, err := set.Add(r.Raw, roster.AddOptions{Verified: r.Verified, At: r.Arrival}); err != nil {
			return nil, fmt.Errorf("load the roster: %w: %w", store.ErrDamaged, err)
		}
	}
	if set.Network() != id {
		return nil, fmt.Errorf("load the roster: %w: it is another network's", store.ErrDamaged)
	}
	return set, nil
}

// changed is called by the book, from any goroutine.
func (n *network) changed() {
	if n.queued.CompareAndSwap(false, true) {
		n.e.post(func() {
			n.queued.Store(false)
			n.refreshSoon()
		})
	}
}

// setActive starts or stops the network as its settings say.
func (n *network) setActive() {
	switch want := n.set.Active && !n.e.down; {
	case want && n.on == nil:
		n.start()
	case !want && n.on != nil:
		n.stop()
	}
	n.e.publishSoon()
}

// start brings the network up. What is missing is said by health and tried
// again when the host changes.
func (n *network) start() {
	if n.me() == nil {
		n.refresh()
		return
	}
	on, err := n.e.startLive(n)
	if n.retry != nil {
		n.retry.Stop()
	}
	if n.failed = err; err != nil {
		n.e.log.Error("start a network", "network", n.alias, "err", err)
		n.retry = time.AfterFunc(retryAfter, func() {
			n.e.post(func() {
				if n.failed != nil && !n.leaving && !n.e.stopping {
					n.setActive()
				}
			})
		})
		return
	}
	n.on = on
	n.expectKeys()
	n.e.lookForPortal()
	n.e.tellLocal()
	n.learnCached()
	n.refresh()
	n.resumeRelay()
	n.loadAccepts()
	n.tendShares()
	n.tendVisits()
	n.armMinute()
	n.e.setPorts()
	n.e.announcer.Query()
}

// retryAfter is when a network that could not be started is tried again, unless
// the host changes before.
const retryAfter = time.Minute

// stop takes the network down and gives all back.
func (n *network) stop() {
	if n.on == nil {
		return
	}
	for _, a := range n.accepts {
		a.stop()
	}
	on := n.on
	n.on = nil
	n.e.lookForPortal()
	for _, s := range n.stays {
		n.endStay(s)
	}
	clear(n.handed)
	clear(n.offers)
	clear(n.got)
	clear(n.spread)
	n.endNearby()
	if on.index != 0 {
		n.e.closed[on.index] = true // until the monitor tells that it is gone
	}
	on.close()
	n.e.tellLocal()
	n.e.setPorts()
	if n.epochTimer != nil {
		n.epochTimer.Stop()
		n.epochTimer = nil
	}
	if n.expiry != nil {
		n.expiry.Stop()
	}
	for _, code := range ofLive {
		n.raise(false, code, nil)
	}
}

// ofLive is the warnings that concern what a network has of the host, and end
// with it. What concerns the roster stays.
var ofLive = []string{ipc.HealthIPv4Conflict, ipc.HealthIPv4Blocked, ipc.HealthNoIPv6, ipc.HealthNoTUN, ipc.HealthPortTaken, ipc.HealthRelayPort, ipc.HealthRelayHidden, ipc.HealthRelayLies, ipc.HealthForwardDrops,
	ipc.HealthRelayOther, ipc.HealthSTUNLies, ipc.HealthRouteConflict}

// sayGone tells the members, and friends' devices, that this device stops.
func (n *network) sayGone() {
	if n.on == nil {
		return
	}
	n.on.replica.Gone()
	n.leaveGuests()
}

// leaveGuests tells friends' devices that this device stops, for good where it is no
// member any more and nobody else answers for a share.
func (n *network) leaveGuests() {
	var wg sync.WaitGroup
	for id, g := range n.visitors {
		last := visit.Answer{Gone: true}
		if s := guest.Read(n.book.View(), id.sid); s != nil && n.me() == nil && len(s.Reach(n.book.View())) == 0 {
			last = visit.Refusal(ipc.Errorf(ipc.CodeShareRevoked, "what was shared, and who answered for it, has left"))
		}
		for h := range g.hellos {
			wg.Go(func() { h.Leave(last, goneWithin) })
		}
	}
	wg.Wait()
}

// goneWithin bounds for how long friends' devices are told.
const goneWithin = 200 * time.Millisecond

// refresh decides and applies, after any change of the roster, the presence or
// the host.
func (n *network) refresh() {
	if n.e.stopping || n.leaving {
		return
	}
	n.refreshed = time.Now()
	n.forgetStrangers()
	n.checkRemoved()
	n.checkRoster()
	n.settleAsks()
	n.checkKeys()
	n.checkEpoch()
	n.checkLeft()
	n.checkVisitors()
	if o := n.open(); o != nil && n.book.View().Caps(n.self)&roster.CapAdmit == 0 {
		n.closeNearby(o)
	}
	if n.on == nil {
		n.e.publishSoon()
		return
	}
	n.checkVias()
	d := n.decide()
	if !d.member {
		n.e.log.Warn("this device is no member any more", "network", n.alias)
		n.leaveGuests()
		n.stop()
		n.e.apply()
		return
	}
	on := n.on
	n.setFilter(d.guests) // before who is kept apart by it has a session
	on.map4(d.mapped)
	on.guests = d.guests
	on.tunnel.SetPeers(d.tunnel)
	on.replica.SetMembers(d.members, d.removed)
	on.wire.SetPeers(d.wire)
	on.wire.SetForwarding(n.forwarding())
	n.routeSoon()
	n.route(d.router)
	n.arm()
	n.tendShares()
	n.spreadProofs()
	n.e.apply()
}

func (n *network) decide() decision {
	d := decide(n.input())
	if d.member {
		n.decideGuests(&d)
	}
	return d
}

// input is what is known now.
func (n *network) input() input {
	in := input{
		view: n.book.View(), self: n.self, now: time.Now(),
		presence: func(k key.Public) (replica.Presence, bool) { l, ok := n.learnt[k]; return l.Presence, ok },
		relays:   n.serves, relay: n.relayApproved(),
	}
	if o := n.opening.Load(); o != nil {
		in.opening = o.id
	}
	if n.on != nil {
		in.use4, in.use6 = n.on.use4, n.on.use6
		in.behind, in.exit = n.on.behind(), n.exitOf()
	}
	return in
}

// route sets addresses and routes, and notes which families work.
func (n *network) route(c router.Config) {
	on := n.on
	if on.router == nil {
		return
	}
	err := on.router.Set(c)
	switch {
	case errors.Is(err, router.ErrNoIPv6):
		n.warn(ipc.HealthNoIPv6, nil)
		if on.use6 {
			on.use6 = false
			n.sayPresence()
		}
	case err != nil:
		n.e.log.Error("set addresses and routes", "network", n.alias, "err", err)
	case on.use6:
		n.clear(ipc.HealthNoIPv6)
	}
}

// retry6 looks whether IPv6, which was switched off on this host, works again.
func (n *network) retry6() {
	on := n.on
	if on.use6 || !n.e.hasIPv6() {
		return
	}
	on.use6 = true
	if n.route(n.decide().router); on.use6 {
		n.sayPresence()
		n.refresh()
	}
}

// drifted tells whether the TUN has lost an address: IPv6 was switched off, or
// another program took it away.
func (n *network) drifted() bool {
	for _, i := range n.e.host.Interfaces {
		if i.Index != n.on.index {
			continue
		}
		for _, a := range n.on.addrs() {
			if !slices.Contains(i.Prefixes, netip.PrefixFrom(a, a.BitLen())) {
				return true
			}
		}
	}
	return false
}

// networkChanged follows a change of the host's interfaces or addresses.
func (n *network) networkChanged() {
	if n.on == nil {
		if n.set.Active && !n.e.down {
			n.start()
		}
		return
	}
	if n.e.checkIPv4(); n.on == nil {
		return
	}
	clear(n.on.near) // who was near here may not be there
	n.on.wire.SetLocal(n.e.local())
	n.on.wire.NetworkChanged()
	n.on.replica.Redial()
	n.recordSoon(recordAfter)
	n.sayPresence()
	n.refresh()
	for _, s := range n.stays {
		s.networkChanged()
	}
	for _, a := range n.accepts {
		a.caller.networkChanged(n.e)
	}
}

// groups is what LAN discovery speaks and hears for this network.
func (n *network) groups() []discover.Group {
	if n.on == nil {
		return nil
	}
	port := n.on.conn.Port()
	var out []discover.Group
	epochs := heardEpochs(n.secrets.Epochs, time.Now())
	for i, ep := range epochs {
		out = append(out, discover.Group{
			Secret: ep.Secret, Speak: i == len(epochs)-1, Port: port, ID: shortID(n.self), Handle: n.heardMember,
		})
	}
	for _, inv := range sponsored(n.book.View(), n.self) {
		id := inv.Key
		out = append(out, discover.Group{Secret: lanSecret(id), Port: port, Handle: func(h discover.Heard) { n.heard(id, h) }})
	}
	for _, a := range n.accepts {
		out = append(out, a.group())
	}
	for _, s := range n.stays {
		out = append(out, s.groups()...)
	}
	if o := n.open(); o != nil {
		out = append(out, discover.Group{Secret: lanSecret(o.id), Port: port, Handle: func(h discover.Heard) { n.heard(o.id, h) }})
	}
	return append(out, n.guestGroups()...)
}

// heardMember is called from discovery's goroutine.
func (n *network) heardMember(h discover.Heard) {
	for _, m := range n.book.View().Members {
		if shortID(m.Key) == h.ID && m.Key != n.self {
			n.heard(m.Key, h)
			return
		}
	}
}

func (n *network) heard(id key.Public, h discover.Heard) {
	n.e.post(func() {
		if n.on != nil {
			n.on.wire.AddCandidates(id, h.From)
			n.on.wire.Seek(id)
		}
	})
}

// updateSecrets changes the stored secrets and the copy of them here.
func (n *network) updateSecrets(fn func(*store.Secrets) error) error {
	if err := n.e.cfg.Store.UpdateSecrets(n.id, fn); err != nil {
		return err
	}
	s, err := n.e.cfg.Store.Secrets(n.id)
	if err == nil {
		n.secrets = s
	}
	return err
}

// updateSettings changes the stored settings and the copy of them here.
func (n *network) updateSettings(fn func(*store.Settings)) error {
	err := n.e.cfg.Store.UpdateSettings(n.id, func(s *store.Settings) error { fn(s); return nil })
	if err == nil {
		fn(&n.set)
	}
	return err
}

// keeper stores a book's records.
type keeper struct {
	st *store.Store
	id roster.ID
}

func (k keeper) Keep(recs []*roster.Record, at time.Time) error {
	out := make([]store.Record, len(recs))
	for i, r := range recs {
		out[i] = store.Record{ID: r.ID, Raw: r.Raw, Arrival: at, Verified: true, Class: store.Wanted}
	}
	return k.st.PutRecords(k.id, out...)
}
