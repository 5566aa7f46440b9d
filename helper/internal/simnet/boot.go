package simnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	wgtun "golang.zx2c4.com/wireguard/tun"

	"kith.internal/dns/osconf"
	"kith.internal/dns/stub"
	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/engine"
	"kith.internal/helper/internal/osnet/egress"
	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/osnet/netmon/netmontest"
	"kith.internal/helper/internal/osnet/portal"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/osnet/router/routertest"
	"kith.internal/helper/internal/osnet/sysctl"
	"kith.internal/helper/internal/osnet/tun"
	"kith.internal/helper/internal/wire/udp"
)

// boot is a host as one engine sees it: what the process holds of it goes with
// the process.
type boot struct {
	h       *Host
	monitor *netmontest.Host
	woke    chan struct{}
	dead    chan struct{}

	mu      sync.Mutex
	tuns    []*device
	index   int // of the last TUN
	held    int
	closers map[int]func() error
	sockets map[netip.AddrPort]*socket
}

var _ engine.Host = (*boot)(nil)

// firstTUN keeps the TUNs' interface indexes apart from those of the LANs.
const firstTUN = 1000

func newBoot(h *Host) *boot {
	b := &boot{
		h: h, monitor: netmontest.New(), woke: make(chan struct{}, 1), dead: make(chan struct{}), index: firstTUN,
		sockets: map[netip.AddrPort]*socket{}, closers: map[int]func() error{},
	}
	b.changed()
	return b
}

func (b *boot) isDead() bool {
	select {
	case <-b.dead:
		return true
	default:
		return false
	}
}

// die takes from the process what it holds: nothing more goes in or out.
func (b *boot) die() {
	if b.isDead() {
		return
	}
	close(b.dead)
	b.mu.Lock()
	closers := b.closers
	b.closers = nil
	b.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(closers)) {
		closers[n]()
	}
}

// hold has c called when the process dies, unless it forgets it before. Where
// it is dead already c is called at once.
func (b *boot) hold(c func() error) (forget func()) {
	b.mu.Lock()
	if b.isDead() {
		b.mu.Unlock()
		c()
		return func() {}
	}
	defer b.mu.Unlock()
	b.held++
	n := b.held
	b.closers[n] = c
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.closers, n)
	}
}

// changed tells the monitor what the network looks like now.
func (b *boot) changed() {
	if b.isDead() {
		return
	}
	state := netmon.State{Interfaces: b.h.udp.Interfaces(), Default4: b.h.udp.Default(false), Default6: b.h.udp.Default(true)}
	b.h.mu.Lock()
	routes := append(b.h.udp.Routes(), b.h.foreign...)
	state.Interfaces = append(state.Interfaces, b.h.extra...)
	b.h.mu.Unlock()
	b.mu.Lock()
	for _, d := range b.tuns {
		c := d.router.Config()
		state.Interfaces = append(state.Interfaces, netmon.Interface{
			Index: d.index, Name: d.name, MTU: d.mtu, Up: c.Up, PointToPoint: true, Multicast: true, Prefixes: c.Addrs,
		})
		for _, r := range c.Routes {
			routes = append(routes, netmon.Route{Prefix: r, Index: d.index})
		}
	}
	b.mu.Unlock()
	slices.SortFunc(state.Interfaces, func(x, y netmon.Interface) int { return x.Index - y.Index })
	b.monitor.Set(state, routes...)
}

func (b *boot) Name() string { return b.h.name }

func (b *boot) OS() string { return "linux" }

// conn is a port that falls silent when its process is killed.
type conn struct {
	udp.Conn
	b     *boot
	close func() error
}

func (c conn) Close() error { return c.close() }

func (c conn) WriteBatch(bufs [][]byte, to netip.AddrPort, src udp.Source) error {
	if c.b.isDead() {
		return syscall.EBADF
	}
	return c.Conn.WriteBatch(bufs, to, src)
}

func (b *boot) Listen(port uint16) (udp.Conn, error) {
	c, err := b.h.udp.Listen(port)
	if err != nil {
		return nil, err
	}
	return badConn{conn{c, b, b.dies(c.Close)}, &b.h.bad}, nil
}

func (b *boot) PortMapper(engine.Monitor) engine.PortMapper { return nil }

type multicast struct {
	discover.Multicast
	b *boot
}

func (m multicast) Send(p []byte, ifindex int) error {
	if m.b.isDead() {
		return syscall.EBADF
	}
	return m.Multicast.Send(p, ifindex)
}

func (b *boot) Multicast() discover.Multicast {
	m := b.h.udp.Multicast()
	b.hold(m.Close)
	return multicast{m, b}
}

// watcher tells of sleep, which the fake clock knows nothing of.
type watcher struct {
	*netmon.Watcher
	woke chan struct{}
}

func (w watcher) Woke() <-chan struct{} { return w.woke }

func (b *boot) Monitor() (engine.Monitor, error) {
	return watcher{netmon.Watch(b.monitor), b.woke}, nil
}

func (b *boot) TUN(name string, mtu int) (wgtun.Device, string, int, error) {
	b.h.mu.Lock()
	no := b.h.noTUN
	b.h.mu.Unlock()
	if no {
		return nil, "", 0, fmt.Errorf("create a TUN: %w", tun.ErrNoTUN)
	}
	b.mu.Lock()
	for i := 0; name == ""; i++ {
		n := fmt.Sprintf("kith%d", i)
		if !slices.ContainsFunc(b.tuns, func(d *device) bool { return d.name == n }) {
			name = n
		}
	}
	b.index++
	d := newDevice(b, name, mtu, b.index)
	b.tuns = append(b.tuns, d)
	b.mu.Unlock()
	b.hold(d.Close)
	b.changed()
	return d, name, d.index, nil
}

func (b *boot) RemoveTUN(ifname string) error {
	b.h.mu.Lock()
	b.h.removed = append(b.h.removed, ifname)
	b.h.mu.Unlock()
	return nil
}

// seen is a router whose changes the monitor tells of, as the system does.
type seen struct {
	*routertest.Router
	b *boot
}

func (r seen) Set(c router.Config) error {
	before := r.Config()
	err := r.Router.Set(c)
	after := r.Config()
	if before.Up != after.Up || !slices.Equal(before.Addrs, after.Addrs) || !slices.Equal(before.Routes, after.Routes) {
		r.b.changed()
	}
	return err
}

func (b *boot) Router(ifname string, index int) (router.Router, error) {
	d := b.device(func(d *device) bool { return d.index == index && d.name == ifname })
	if d == nil {
		return nil, fmt.Errorf("configure %s: %w", ifname, router.ErrGone)
	}
	b.h.mu.Lock()
	d.router.DisableIPv6(b.h.no6)
	b.h.mu.Unlock()
	return seen{d.router, b}, nil
}

func (b *boot) device(is func(*device) bool) *device {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.tuns, is); i >= 0 {
		return b.tuns[i]
	}
	return nil
}

// Egress and NAT are the host's: what is set outlives the process.
// Portal is what the system says of captive portals; nothing, unless it is told to.
func (b *boot) Portal() (portal.Watcher, error) {
	if b.h.verdict == nil {
		return nil, portal.ErrNone
	}
	return b.h.verdict, nil
}

func (b *boot) Egress(sysctl.Journal) (egress.Egress, error) { return b.h.egress, nil }
func (b *boot) NAT(sysctl.Journal) (nat.NAT, error)          { return b.h.nat, nil }

func (b *boot) RestoreNet(_ sysctl.Journal, keepGuard bool) error {
	if err := b.h.nat.Set(nat.Config{}); err != nil || keepGuard {
		return err
	}
	return b.h.egress.Set(egress.Config{})
}

func (b *boot) Blocked4(netip.Prefix, string) (string, bool, error) {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	return b.h.rule, b.h.rule != "", nil
}

func (b *boot) Resolver() stub.Sockets { return sockets{b} }

func (b *boot) DNS(j osconf.Journal, _ func(osconf.Event)) (osconf.Manager, error) {
	return &manager{b: b, journal: j}, nil
}

func (b *boot) RestoreDNS(j osconf.Journal) error { return (&manager{b: b, journal: j}).undo() }

var errNoRoute = errors.New("no route through any TUN")

// Ping sends an echo from src, an address of ours, through the TUN that leads
// to dst.
func (b *boot) Ping(ctx context.Context, src, dst netip.Addr, seq int) (time.Duration, error) {
	d := b.device(func(d *device) bool { return d.owns(src) && d.leads(dst) })
	if d == nil {
		return 0, fmt.Errorf("ping %s from %s: %w", dst, src, errNoRoute)
	}
	return d.ping(ctx, src, dst, seq)
}
