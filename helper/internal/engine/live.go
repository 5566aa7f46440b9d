package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/osnet/tun"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/usernat"
	"kith.internal/helper/internal/wire"
	"kith.internal/helper/internal/wire/udp"
	"kith.internal/ipc"
)

// live is what a network has of the host while it is up.
type live struct {
	n       *network
	log     *slog.Logger
	conn    udp.Conn
	wire    *wire.Wire
	replica *replica.Replica
	tunnel  *tunnel.Tunnel
	filter  *filter.Filter
	inside  *tunnel.Inside
	router  router.Router // nil without a TUN
	device  *usernat.Device
	passing *usernat.NAT // nil: what members send elsewhere is the kernel's
	ifname  string
	index   int // of the TUN; 0 without
	journal uint64
	keys    store.Keys // in force
	use4    bool       // the IPv4 overlay address is in use
	use6    bool
	saved   map[key.Public][]store.Endpoint // as the cache has them, the newest first
	joiners chan struct{}                   // holds one for each that is being answered

	said    replica.Presence // last
	saidAt  time.Time
	hasty   allowance
	telling *time.Timer // says our presence again when it is due

	mapped  []netip.AddrPort // by the gateways
	minute  *time.Timer      // looks after what changes without a word
	minutes int              // since the start
	near    map[key.Public]nearby
	wanted  map[key.Public]bool // WireGuard sessions
	chains  map[key.Public][][]key.Public
	vias    map[netip.Prefix]key.Public // who leads to the accepted subnets
	looking bool                        // they are looked at again soon
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
	on := &live{n: n, log: e.log.With("network", n.alias), use4: true, use6: true, saved: map[key.Public][]store.Endpoint{}, joiners: make(chan struct{}, joinersMost),
		near: map[key.Public]nearby{}, wanted: map[key.Public]bool{}, chains: map[key.Public][][]key.Public{}}
	if on.keys, err = n.currentKeys(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			on.close()
		}
	}()
	if on.conn, err = n.listen(); err != nil {
		return nil, err
	}
	n.checkFamilies(on)
	on.wire, err = wire.New(wire.Config{
		Conn: on.conn, Device: n.device, Control: on.keys.Control, Former: n.formerControl(on.keys), Handler: handler{on}, Log: on.log,
		DialLink: on.dialLink, Listen: e.cfg.Host.Listen, STUN: e.cfg.STUN, AnswerSTUN: on.answers.answer,
	})
	if err != nil {
		return nil, fmt.Errorf("start the wire: %w", err)
	}
	if err = on.openTUN(); err != nil {
		return nil, err
	}
	on.replica = replica.New(replica.Config{
		Network: n.id, Self: n.device, Book: n.book, Wire: on.wire, Handler: handler{on},
		Epoch: n.epochForReplica(), Log: on.log,
	})
	return on, nil
}

// listen opens the network's port; where it is taken, another, and says so.
func (n *network) listen() (udp.Conn, error) {
	port := n.set.Port
	if n.e.cfg.Port != 0 && len(n.e.nets) > 0 && n.e.nets[0] == n {
		port = n.e.cfg.Port
	}
	conn, err := n.e.cfg.Host.Listen(port)
	if errors.Is(err, udp.ErrInUse) {
		if conn, err = n.e.cfg.Host.Listen(0); err == nil {
			n.warn(ipc.HealthPortTaken, map[string]string{"port": fmt.Sprint(port), "using": fmt.Sprint(conn.Port())})
			return conn, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open UDP port %d: %w", port, err)
	}
	if conn.Port() != n.set.Port {
		if err := n.updateSettings(func(s *store.Settings) { s.Port = conn.Port() }); err != nil {
			n.e.log.Warn("keep the port", "network", n.alias, "err", err)
		}
	}
	return conn, nil
}

// openTUN makes the TUN and WireGuard's device on it. Without a TUN the network
// still keeps its roster in step, and says what is missing.
func (on *live) openTUN() error {
	e := on.n.e
	id, err := e.journalTUN("")
	if err != nil {
		return err
	}
	dev, name, index, err := e.cfg.Host.TUN("", mtu)
	if err != nil {
		e.cfg.Store.DoneJournal(id)
		if errors.Is(err, tun.ErrNoTUN) {
			on.n.warn(ipc.HealthNoTUN, map[string]string{"why": err.Error()})
		}
		return err
	}
	on.n.clear(ipc.HealthNoTUN)
	on.ifname, on.index, on.journal = name, index, id
	// Now the name is known: what a crash leaves can be found by it.
	if on.journal, err = e.journalTUN(name); err != nil {
		dev.Close()
		return err
	}
	e.cfg.Store.DoneJournal(id)
	if on.router, err = e.cfg.Host.Router(name, index); err != nil {
		dev.Close()
		return fmt.Errorf("configure %s: %w", name, err)
	}
	on.device = usernat.Wrap(dev)
	on.inside = tunnel.NewInside(on.device)
	on.filter = filter.New()
	on.tunnel, err = tunnel.New(tunnel.Gated(on.inside, on.filter), on.keys.WireGuard, seeker{on.wire, on}, on.log)
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
	for _, t := range []*time.Timer{on.telling, on.routing, on.relayRetry, on.record, on.minute, on.whying} {
		if t != nil {
			t.Stop()
		}
	}
	on.stopRelay()
	on.savePresence()
	if on.replica != nil {
		on.replica.Close()
	}
	if on.router != nil {
		if err := on.router.Set(router.Config{}); err != nil {
			on.log.Warn("undo addresses and routes", "err", err)
		}
		on.router.Close()
	}
	on.endPassing()
	if on.tunnel != nil {
		on.tunnel.Close()
	}
	if on.wire != nil {
		on.wire.Close()
	}
	if on.conn != nil {
		on.conn.Close()
	}
	if on.journal != 0 {
		if err := on.n.e.cfg.Store.DoneJournal(on.journal); err != nil {
			on.log.Warn("end the journal's entry", "err", err)
		}
	}
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
	case n.knocker(id):
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
		}
		h.on.n.e.publishSoon()
	})
}

func (h handler) Note(peer key.Public, raw []byte) {
	h.post(func() { h.on.n.heardNote(peer, raw) })
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
