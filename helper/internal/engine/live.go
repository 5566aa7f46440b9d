package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/key"
	ostun "kith.internal/helper/internal/osnet/tun"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/usernat"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// live is what a network has of the host while it is up.
type live struct {
	endpoint
	n       *network
	replica *replica.Replica
	inside  *tunnel.Inside
	device  *usernat.Device
	passing *usernat.NAT // nil: what members send elsewhere is the kernel's
	keys    store.Keys   // in force
	use4    bool         // the IPv4 overlay address is in use
	use6    bool
	saved   map[key.Public][]store.Endpoint // as the cache has them, the newest first
	joiners chan struct{}                   // holds one for each that is being answered
	askers  askers

	said    replica.Presence // last
	saidAt  time.Time
	hasty   allowance
	telling *time.Timer // says our presence again when it is due

	mapped  []netip.AddrPort // by the gateways
	minute  *time.Timer      // looks after what changes without a word
	minutes int              // since the start
	near    map[key.Public]nearby
	wanted  map[key.Public]bool // WireGuard sessions
	guests  []filter.Guest      // who may come
	guest4s fours               // their IPv4 addresses on this device
	chains  map[key.Public][][]key.Public
	vias    map[netip.Prefix]key.Public // who leads to the accepted subnets
	apart   []netip.Prefix              // this machine's other overlays, as the filter knows them
	left    map[netip.Prefix]bool       // accepted subnets that are left to wider ones
	sought  map[key.Public]sought       // of who leads there
	looking *time.Timer                 // chooses again
	routing *time.Timer                 // computes the chains when it is due
	whying  *time.Timer                 // says why a path has not become direct

	relay       *relaying // nil: none
	relayFailed bool      // it could not listen
	relayRetry  *time.Timer
	record      *time.Timer // has the roster follow the relay's addresses
	answers     answers
	impostors   impostors
}

// startLive takes the port and the TUN and starts the network's parts.
func (e *Engine) startLive(n *network) (_ *live, err error) {
	on := &live{endpoint: endpoint{e: e, log: e.log.With("network", n.alias)}, n: n, use4: true, use6: true, saved: map[key.Public][]store.Endpoint{}, joiners: make(chan struct{}, joinersMost), hasty: allowance{most: hastyMost, every: hastyEvery},
		near: map[key.Public]nearby{}, wanted: map[key.Public]bool{}, guest4s: fours{}, chains: map[key.Public][][]key.Public{}}
	if on.keys, err = n.currentKeys(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			on.close()
		}
	}()
	if err = on.takePort(); err != nil {
		return nil, err
	}
	n.checkFamilies(on)
	err = on.startWire(wire.Config{
		Device: n.device, Control: on.keys.Control, Former: n.formerControl(on.keys), Handler: handler{on},
		DialLink: on.dialLink, AnswerSTUN: on.answers.answer,
	})
	if err != nil {
		return nil, err
	}
	if err = on.makeTUN(); err != nil {
		return nil, err
	}
	on.replica = replica.New(replica.Config{
		Network: n.id, Self: n.device, Book: n.book, Wire: on.wire, Handler: handler{on},
		Epoch: n.epochForReplica(), Log: on.log,
	})
	return on, nil
}

// takePort opens the network's port; where it is taken, another, and says so.
func (on *live) takePort() error {
	n := on.n
	port := n.set.Port
	if on.e.cfg.Port != 0 && len(on.e.nets) > 0 && on.e.nets[0] == n {
		port = on.e.cfg.Port
	}
	taken, err := on.listen(port)
	switch {
	case err != nil:
		return err
	case taken:
		n.warn(ipc.HealthPortTaken, map[string]string{"port": fmt.Sprint(port), "using": fmt.Sprint(on.conn.Port())})
	case on.conn.Port() != n.set.Port:
		if err := n.updateSettings(func(s *store.Settings) { s.Port = on.conn.Port() }); err != nil {
			on.log.Warn("keep the port", "err", err)
		}
	}
	return nil
}

// makeTUN makes the TUN, or says what is missing.
func (on *live) makeTUN() error {
	err := on.openTUN(on.keys.WireGuard, seeker{on.wire, on}, func(dev tun.Device) tun.Device {
		on.device = usernat.Wrap(dev)
		on.inside = tunnel.NewInside(on.device)
		return on.inside
	})
	switch {
	case errors.Is(err, ostun.ErrNoTUN):
		on.n.warn(ipc.HealthNoTUN, map[string]string{"why": err.Error()})
	case err == nil:
		on.n.clear(ipc.HealthNoTUN)
	}
	return err
}

// seeker is the wire as the tunnel sees it: a member who is wanted and to whom
// no way is known is asked for among the neighbours.
type seeker struct {
	*wire.Wire
	on *live
}

func (s seeker) Want(id key.Public, want bool) {
	if !want {
		s.Wire.Want(id, false)
		handler{s.on}.post(func() { delete(s.on.wanted, id) })
		return
	}
	s.Wire.Want(id, true)
	handler{s.on}.post(func() {
		s.on.wanted[id] = true
		s.on.n.routePeer(id)
		if st, ok := s.on.wire.PeerStatus(id); ok && st.Path.Kind == wire.None {
			s.on.replica.Ask(id)
		}
	})
}

// addrs is this device's overlay addresses in use, IPv4 first.
func (on *live) addrs() []netip.Addr {
	var out []netip.Addr
	m := on.n.me()
	if m == nil {
		return nil
	}
	if on.use4 && m.IPv4.IsValid() {
		out = append(out, m.IPv4)
	}
	if on.use6 {
		out = append(out, m.IPv6)
	}
	return out
}

func (on *live) close() {
	for _, t := range []*time.Timer{on.telling, on.routing, on.relayRetry, on.record, on.minute, on.whying, on.looking} {
		if t != nil {
			t.Stop()
		}
	}
	on.stopRelay()
	on.savePresence()
	if on.replica != nil {
		on.replica.Close()
	}
	on.endPassing()
	on.endpoint.close()
}

// handler hears the wire and the replica, and posts to the actor.
type handler struct{ on *live }

func (h handler) post(fn func()) {
	on := h.on
	on.n.e.post(func() {
		if on.n.on == on {
			fn()
		}
	})
}

func (h handler) PeerWants(id key.Public) {
	h.post(func() { h.on.tunnel.Ensure(id) })
}

func (h handler) PeerRestarted(id key.Public) {
	h.post(func() { h.on.tunnel.Reset(id); h.on.n.e.publishSoon() })
}

func (h handler) PathChanged(id key.Public, p wire.Path) {
	h.post(func() {
		h.on.tunnel.SetMTU(id, h.on.wire.MTU(id))
		if p.Kind != wire.None && !p.Silent {
			h.on.replica.PathUp(id)
			if p.Kind >= wire.Direct && p.Addr.IsValid() {
				h.on.savePath(id, p.Addr)
			} else {
				h.on.n.sayWhySoon()
			}
		}
		h.on.n.pathMoved(id)
		h.on.n.e.publishSoon()
	})
}

func (h handler) NeighboursChanged() { h.post(h.on.n.neighboursChanged) }

// Accept serves a control session: an invite's holder asks to join, a member
// replicates.
func (h handler) Accept(id key.Public, s wire.Session) {
	if o := h.on.n.opening.Load(); o != nil && o.id == id {
		h.on.n.serveNearby(h.on, o, s)
		return
	}
	// A member first: an invite with its key must not keep it from replicating.
	if v := h.on.n.book.View(); v.Member(id) == nil && v.Invite(id) != nil {
		h.on.n.serveJoin(h.on, s)
		return
	}
	switch n := h.on.n; {
	case n.book.View().Member(id) == nil && n.knocker(id): // a member first: the door is the friend's to choose
		n.serveKnock(h.on, s)
	case n.book.View().Member(id) == nil && n.visiting(id, s):
		n.serveGuest(h.on, s)
	default:
		h.on.replica.Accept(id, s)
	}
}

func (h handler) Presence(p replica.Presence) {
	h.post(func() { h.on.n.heardPresence(p) })
}

func (h handler) Epoch(secret [32]byte) {
	h.post(func() { h.on.n.takeEpoch(secret) })
}

func (h handler) ClockOffset(peer key.Public, d time.Duration) {
	h.post(func() { h.on.n.e.heardClock(peer, d) })
}

func (h handler) Linked(peer key.Public, up bool) {
	h.post(func() {
		if up {
			h.on.n.forgetSaid(peer)
			h.on.n.tendShares()
			h.on.n.spreadProofs()
			h.on.n.tellAllRefused(peer)
		}
		h.on.n.e.publishSoon()
	})
}

// Note holds back who sends many: the actor has one of each neighbour's at a time.
func (h handler) Note(peer key.Public, raw []byte) <-chan struct{} {
	done := make(chan struct{})
	h.post(func() {
		defer close(done)
		h.on.n.heardNote(peer, raw)
	})
	return done
}

// epochForReplica reads the newest secret from any goroutine.
func (n *network) epochForReplica() func() ([32]byte, bool) {
	return func() (secret [32]byte, ok bool) {
		s, err := n.e.cfg.Store.Secrets(n.id)
		if err != nil || len(s.Epochs) == 0 {
			return secret, false
		}
		return s.Epochs[len(s.Epochs)-1].Secret, true
	}
}
