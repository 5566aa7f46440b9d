// Package engine is the helper's one actor: it owns the state of all networks,
// decides by pure plans and applies them through the packages beside it. It
// imports all of them; nothing but the program imports it.
package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.internal/dns"
	"kith.internal/dns/forward"
	"kith.internal/dns/osconf"
	"kith.internal/dns/stub"
	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/health"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/egress"
	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// Config is what an engine works with.
type Config struct {
	Host    Host
	Store   *store.Store
	Version string
	Port    uint16 // the first network's UDP port; 0 is the stored one, or a random one
	Log     *slog.Logger

	STUN []netip.AddrPort // servers that someone has configured: usually none
}

// Engine runs from New to Close. Its verbs may be called from any goroutine.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	box    *mailbox
	board  *server.Board
	health *health.Registry
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// What follows belongs to the actor.
	nets      []*network // in the order in which they were joined
	joins     map[key.Public]*joining
	down      bool
	stopping  bool
	monitor   Monitor
	host      netmon.State
	closed    map[int]bool // interfaces that were ours and that host still holds
	routes    []netmon.Route
	multicast discover.Multicast
	announcer *discover.Announcer
	mapper    PortMapper // nil: the host has none
	portal    portalState
	stub      *stub.Server
	inside    insides
	forward   *forward.Forwarder
	outside   *forward.Forwarder // for members who use this device as an exit node
	dns       osconf.Manager
	egress    egress.Egress
	exit      exit
	nat       nat.NAT
	passing   passing
	zones     *dns.Zones                   // of the networks that are up
	offsets   map[key.Public]time.Duration // neighbours' clocks against ours
	publish   *time.Timer
	upkeep    *time.Timer
	published time.Time
	stale     bool        // something has changed since
	room      *time.Timer // looks whether a full disk has space again
	heard     map[[32]byte]*heardOpening
	heardNew  chan struct{} // closed with a new one
	sweep     *time.Timer
}

// New recovers what a crash left, loads the networks and starts those that are
// to be up. What the host lacks is said by health, not by an error.
func New(cfg Config) (*Engine, error) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{
		cfg: cfg, log: cfg.Log, box: newMailbox(), ctx: ctx, cancel: cancel,
		board:   server.NewBoard(&ipc.Status{State: ipc.StateStarting, Version: cfg.Version}),
		joins:   map[key.Public]*joining{},
		offsets: map[key.Public]time.Duration{},
		closed:  map[int]bool{},
		heard:   map[[32]byte]*heardOpening{}, heardNew: make(chan struct{}),
	}
	e.health = health.New(func() { e.post(e.publishSoon) })
	cfg.Store.OnFull(func(err error) { e.post(func() { e.diskFull(err) }) })
	if err := Cleanup(cfg.Host, cfg.Store, cfg.Log, true); err != nil {
		e.log.Warn("undo what a crash left", "err", err)
	}
	if err := e.open(); err != nil {
		cancel()
		e.release()
		return nil, err
	}
	e.wg.Go(func() { e.box.run(ctx) })
	e.wg.Go(e.watch)
	_, err := call(ctx, e, func() (struct{}, error) { return struct{}{}, e.load() })
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// open takes what all networks share of the host.
func (e *Engine) open() error {
	var err error
	if e.monitor, err = e.cfg.Host.Monitor(); err != nil {
		return fmt.Errorf("watch the host's network: %w", err)
	}
	e.readHost()
	e.multicast = e.cfg.Host.Multicast()
	e.announcer = discover.New(e.multicast, e.log)
	e.announcer.HearNotices(e.hearNotice)
	e.mapper = e.cfg.Host.PortMapper(e.monitor)
	if e.portal.watch, err = e.cfg.Host.Portal(); err != nil {
		e.log.Debug("the system's verdict on its network", "err", err)
	}
	e.forward = forward.New(forward.Config{Log: e.log})
	e.outside = forward.New(forward.Config{Log: e.log})
	e.stub = stub.New(stub.Config{
		Forward: e.forward,
		Outside: e.outside,
		Sockets: e.inside.around(e.cfg.Host.Resolver()),
		Log:     e.log,
		Changed: func() { e.post(e.applyDNS) },
	})
	e.dns, err = e.cfg.Host.DNS(journal{e.cfg.Store}, func(ev osconf.Event) { e.post(func() { e.dnsEvent(ev) }) })
	if err != nil {
		return fmt.Errorf("read the resolver's settings: %w", err)
	}
	j := settings{e.cfg.Store}
	if e.egress, err = e.cfg.Host.Egress(j); err != nil {
		return fmt.Errorf("read the host's routing: %w", err)
	}
	if e.nat, err = e.cfg.Host.NAT(j); err != nil {
		return fmt.Errorf("read what the host passes on: %w", err)
	}
	return nil
}

// release gives back what open took. What keeps traffic from leaking stays, unless
// Close has undone it.
func (e *Engine) release() {
	if e.dns != nil {
		if err := e.dns.Close(); err != nil {
			e.log.Warn("restore the resolver's settings", "err", err)
		}
	}
	if e.stub != nil {
		e.stub.Close()
	}
	for _, f := range []*forward.Forwarder{e.forward, e.outside} {
		if f != nil {
			f.Close()
		}
	}
	if e.announcer != nil {
		e.announcer.Close()
	}
	if e.multicast != nil {
		e.multicast.Close()
	}
	if e.mapper != nil {
		if err := e.mapper.Close(); err != nil {
			e.log.Debug("give ports back to the gateways", "err", err)
		}
	}
	if e.portal.watch != nil {
		if err := e.portal.watch.Close(); err != nil {
			e.log.Debug("end the watch for captive portals", "err", err)
		}
	}
	if e.egress != nil {
		e.egress.Close()
	}
	if e.nat != nil {
		e.nat.Close()
	}
	if e.monitor != nil {
		e.monitor.Close()
	}
	if e.health != nil {
		e.health.Close()
	}
}

// load reads the store and starts what is to be up.
func (e *Engine) load() error {
	m, err := e.cfg.Store.Machine()
	if err != nil {
		return fmt.Errorf("read the machine's settings: %w", err)
	}
	e.down = m.Down
	e.loadExit(m)
	e.applyExit() // before anything may leave in clear
	sets, err := e.cfg.Store.Networks()
	if err != nil {
		return fmt.Errorf("list the networks: %w", err)
	}
	for _, set := range sets {
		n, err := e.openNetwork(set)
		if err != nil {
			return fmt.Errorf("open network %s: %w", set.Alias, err)
		}
		e.nets = append(e.nets, n)
	}
	for _, n := range e.nets {
		n.setActive()
	}
	if err := e.loadJoins(); err != nil {
		return err
	}
	e.armUpkeep(upkeepFirst)
	e.apply()
	return nil
}

// watch turns the monitor's signals into work for the actor.
func (e *Engine) watch() {
	var mapped, verdict <-chan struct{}
	if e.portal.watch != nil {
		verdict = e.portal.watch.Changes()
	}
	if e.mapper != nil {
		mapped = e.mapper.Changes()
	}
	for {
		select {
		case <-e.ctx.Done():
			return
		case _, ok := <-e.monitor.Changes():
			if !ok {
				return
			}
			e.post(func() { e.hostChanged(false) })
		case _, ok := <-e.monitor.Woke():
			if !ok {
				return
			}
			e.post(func() { e.hostChanged(true) })
		case <-mapped:
			e.post(e.takeMapped)
		case <-verdict:
			e.post(e.lookForPortal)
		case <-e.egress.Changes():
			e.post(func() { e.egressProblem(e.egress.Problem()) })
		case <-e.nat.Changes():
			e.post(func() { e.natProblems(nil) })
		}
	}
}

func (e *Engine) readHost() {
	var err error
	if e.host, err = e.monitor.State(); err != nil {
		e.log.Warn("read the host's interfaces", "err", err)
	}
	if e.routes, err = e.monitor.Routes(); err != nil {
		e.log.Warn("read the host's routes", "err", err)
	}
	for index := range e.closed {
		if !slices.ContainsFunc(e.host.Interfaces, func(i netmon.Interface) bool { return i.Index == index }) {
			delete(e.closed, index)
		}
	}
}

// hostChanged follows a change of interfaces, addresses or routes, and a sleep.
func (e *Engine) hostChanged(woke bool) {
	if e.stopping {
		return
	}
	before, foreign, ways := e.seen(), e.foreign(), e.uplinks()
	e.readHost()
	// Nothing new after a word of the monitor is a carrier that went and came
	// back: the same addresses, maybe of another network.
	flapped := before.equal(e.seen())
	if !woke && !flapped && slices.EqualFunc(foreign, e.foreign(), sameInterface) && slices.Equal(ways, e.uplinks()) {
		e.checkIPv4()
		return
	}
	if woke && e.mapper != nil {
		e.mapper.Recheck()
	}
	e.setPorts()
	e.forward.Flush()
	e.outside.Flush()
	for _, n := range e.nets {
		n.networkChanged()
	}
	for _, j := range e.joins {
		j.networkChanged()
	}
	e.apply()
	e.announcer.Query()
	e.lookForPortal()
}

// seen is all that the monitor has told.
type seen struct {
	state  netmon.State
	routes []netmon.Route
}

func (e *Engine) seen() seen { return seen{e.host, e.routes} }

func (s seen) equal(t seen) bool {
	return s.state.Default4 == t.state.Default4 && s.state.Default6 == t.state.Default6 &&
		slices.EqualFunc(s.state.Interfaces, t.state.Interfaces, sameInterface) && slices.Equal(s.routes, t.routes)
}

// uplinks is the default routes that are not ours, as the system has them.
func (e *Engine) uplinks() []netmon.Route {
	own := e.ownInterfaces()
	var out []netmon.Route
	for _, r := range e.routes {
		if r.IsDefault() && !own[r.Index] {
			out = append(out, r)
		}
	}
	return out
}

// foreign is the host's interfaces without our own TUNs.
func (e *Engine) foreign() []netmon.Interface {
	own := e.ownInterfaces()
	out := make([]netmon.Interface, 0, len(e.host.Interfaces))
	for _, i := range e.host.Interfaces {
		if !own[i.Index] {
			out = append(out, i)
		}
	}
	return out
}

func sameInterface(a, b netmon.Interface) bool {
	return a.Index == b.Index && a.Up == b.Up && a.MTU == b.MTU && slices.Equal(a.Prefixes, b.Prefixes)
}

func (e *Engine) ownInterfaces() map[int]bool {
	own := maps.Clone(e.closed)
	for _, n := range e.nets {
		if n.on != nil && n.on.index != 0 {
			own[n.on.index] = true
		}
		for _, s := range n.stays {
			own[s.index] = true
		}
	}
	return own
}

// post queues work for the actor.
func (e *Engine) post(fn func()) { e.box.post(fn) }

// call runs fn on the actor and waits for it.
func call[T any](ctx context.Context, e *Engine, fn func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	if !e.box.post(func() {
		v, err := fn()
		done <- result{v, err}
	}) {
		var zero T
		return zero, ipc.Errorf(ipc.CodeBusy, "the helper is stopping")
	}
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	case <-e.ctx.Done():
		var zero T
		return zero, ipc.Errorf(ipc.CodeBusy, "the helper is stopping")
	}
}

// Close takes everything down and restores the host.
func (e *Engine) Close() error {
	call(e.ctx, e, func() (struct{}, error) {
		e.stopping = true
		for _, n := range e.nets {
			n.sayGone()
		}
		for _, j := range e.joins {
			j.stop()
		}
		// The resolver first: nothing may point at a stub that is gone.
		e.setDNS(nil)
		for _, n := range e.nets {
			n.stop()
		}
		e.undoSteering()
		for _, t := range []*time.Timer{e.publish, e.room, e.upkeep, e.portal.next, e.portal.end, e.exit.look, e.sweep} {
			if t != nil {
				t.Stop()
			}
		}
		return struct{}{}, nil
	})
	e.cancel()
	e.wg.Wait()
	e.release()
	return nil
}

// Source is what the IPC server shows.
func (e *Engine) Source() server.Source { return source{e} }

// named finds a network by name, alias or ID prefix; "" is the only one.
func (e *Engine) named(name string) (*network, error) {
	if name == "" {
		switch len(e.nets) {
		case 0:
			return nil, ipc.Errorf(ipc.CodeNotFound, "this device is in no network")
		case 1:
			return e.nets[0], nil
		}
		return nil, ipc.Errorf(ipc.CodeAmbiguous, "this device is in %d networks: say which one", len(e.nets))
	}
	var found []*network
	for _, n := range e.nets {
		if n.alias == name {
			return n, nil
		}
		if n.name() == name || len(name) >= 4 && len(name) <= 64 && n.id.String()[:len(name)] == name {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, ipc.Errorf(ipc.CodeNotFound, "this device is in no network called %.70q", name)
	case 1:
		return found[0], nil
	}
	return nil, ipc.Errorf(ipc.CodeAmbiguous, "%.70q is more than one network: use the local name or the ID", name)
}

// aliasFor is the name a network goes by on this device: its own, or with a
// number where another has it already.
func (e *Engine) aliasFor(name string) string {
	taken := func(a string) bool {
		return slices.ContainsFunc(e.nets, func(n *network) bool { return n.alias == a })
	}
	alias := name
	for i := 2; taken(alias); i++ {
		alias = fmt.Sprintf("%.60s-%d", name, i)
	}
	return alias
}

// ownAddrs is every overlay address of this device.
func (e *Engine) ownAddrs() []netip.Addr {
	var out []netip.Addr
	for _, n := range e.nets {
		if n.on != nil {
			out = append(out, n.on.addrs()...)
		}
	}
	return out
}
