package simnet

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/dns/plan"
	"kith.internal/helper/internal/engine"
	"kith.internal/helper/internal/osnet/egress/egresstest"
	"kith.internal/helper/internal/osnet/nat/nattest"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// Host is a machine. Its disk and its resolver's settings outlast its engine.
type Host struct {
	// Engine runs between Start and Stop or Kill; call its verbs directly.
	Engine *engine.Engine

	net   *Net
	tb    testing.TB
	name  string
	udp   *udptest.Host
	addrs map[*LAN][]netip.Prefix
	log   *slog.Logger
	dir   string
	life  int // numbers the state directory; each Kill goes on with a copy
	store *store.Store
	boot  *boot
	bad   bad
	ends  sync.WaitGroup // engines that were killed and wind up in the dark

	egress *egresstest.Egress // outlives the engine
	nat    *nattest.NAT

	verdict  *verdict         // nil: the system tells none on its network
	upstream []netip.AddrPort // the resolvers that the system has

	mu      sync.Mutex
	resolv  plan.OSConfig  // what the system's resolver is told
	foreign []netmon.Route // routes of other programs
	extra   []netmon.Interface
	rule    string // a firewall rule that drops the overlay's IPv4 range
	noTUN   bool
	no6     bool
	proxy   string   // the HTTP proxy's URL
	removed []string // interfaces that were cleaned up
}

func (h *Host) state() string { return filepath.Join(h.dir, fmt.Sprintf("state%d", h.life)) }

// Egress is what steers the host's traffic, whichever engine set it.
func (h *Host) Egress() *egresstest.Egress { return h.egress }

// NAT is what the host passes on.
func (h *Host) NAT() *nattest.NAT { return h.nat }

// Attach plugs the host into a LAN.
func (h *Host) Attach(l *LAN) {
	if h.addrs[l] == nil {
		h.addrs[l] = l.address()
	}
	h.udp.Attach(l.Segment, h.addrs[l]...)
	h.udp.RemoveRoutes(l.Segment)
	l.routes(h.udp, metric*len(h.udp.Interfaces()))
	h.changed()
}

// SetUp cuts a LAN of the host, or mends it: its carrier tells both sides.
func (h *Host) SetUp(l *LAN, up bool) {
	l.SetDown(!up)
	for _, o := range h.net.hosts {
		if o.addrs[l] != nil {
			o.changed()
		}
	}
}

// Sleep has the host sleep: it hears and says nothing for d, then finds out.
func (h *Host) Sleep(d time.Duration) {
	h.udp.SetAsleep(true)
	time.Sleep(d)
	h.udp.SetAsleep(false)
	select {
	case h.boot.woke <- struct{}{}:
	default:
	}
}

// SetProxy is the proxy that the host's system has set, "" for none.
func (h *Host) SetProxy(u string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proxy = u
}

// Detach pulls the plug.
func (h *Host) Detach(l *LAN) {
	h.udp.Detach(l.Segment)
	h.changed()
}

// Move unplugs the host everywhere and plugs it into another LAN.
func (h *Host) Move(to *LAN) {
	for l := range h.addrs {
		h.udp.Detach(l.Segment)
	}
	h.Attach(to)
}

// SetRoutes gives the host another program's routes, and interfaces.
func (h *Host) SetRoutes(ifaces []netmon.Interface, routes ...netmon.Route) {
	h.mu.Lock()
	h.extra, h.foreign = ifaces, routes
	h.mu.Unlock()
	h.changed()
}

// SetFirewallRule gives the host a rule that drops the overlay's IPv4 range,
// "" for none.
func (h *Host) SetFirewallRule(rule string) {
	h.mu.Lock()
	h.rule = rule
	h.mu.Unlock()
	h.changed()
}

// SetTUN says whether the host can make TUNs.
func (h *Host) SetTUN(can bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noTUN = !can
}

// SetIPv6 switches IPv6 off on the host, before its Start.
func (h *Host) SetIPv6(on bool) {
	h.mu.Lock()
	h.no6 = !on
	h.mu.Unlock()
	h.udp.SetFamilies(true, on)
}

// Resolver is what the system's resolver is told now.
func (h *Host) Resolver() plan.OSConfig {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resolv
}

// Removed is the interfaces that were cleaned up after a crash.
func (h *Host) Removed() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.removed...)
}

// changed lets the engine see the host's network as it is now.
func (h *Host) changed() {
	if h.boot != nil {
		h.boot.changed()
	}
}

// Start runs the engine.
func (h *Host) Start() {
	h.tb.Helper()
	st, err := store.Open(h.state())
	if err != nil {
		h.tb.Fatalf("%s: open the store: %v", h.name, err)
	}
	b := newBoot(h)
	e, err := engine.New(engine.Config{Host: b, Store: st, Version: "sim", STUN: h.bad.stun, Log: slog.New(alive{h.log.Handler(), b})})
	if err != nil {
		st.Close()
		h.tb.Fatalf("%s: start the engine: %v", h.name, err)
	}
	h.store, h.boot, h.Engine = st, b, e
}

// Stop ends the engine in good order.
func (h *Host) Stop() {
	if h.Engine == nil {
		return
	}
	if err := h.Engine.Close(); err != nil {
		h.tb.Errorf("%s: close the engine: %v", h.name, err)
	}
	if err := h.store.Close(); err != nil {
		h.tb.Errorf("%s: close the store: %v", h.name, err)
	}
	h.boot.die()
	h.Engine, h.boot, h.store = nil, nil, nil
}

// Kill ends the engine as SIGKILL does: from this instant none of its packets
// leaves, its sockets and TUNs are gone, what it did to the resolver stays, and
// the disk is as it was. What is left of it winds up in the dark, on a copy
// that nobody sees.
func (h *Host) Kill() {
	h.tb.Helper()
	synctest.Wait()
	h.boot.die()
	old := h.state()
	h.life++
	if err := copyDir(old, h.state()); err != nil {
		h.tb.Fatalf("%s: keep the disk: %v", h.name, err)
	}
	e, st := h.Engine, h.store
	h.ends.Go(func() {
		e.Close()
		st.Close()
	})
	h.Engine, h.boot, h.store = nil, nil, nil
}

// Restart kills the engine and starts it again.
func (h *Host) Restart() {
	h.tb.Helper()
	h.Kill()
	h.Start()
}

// Status is a fresh snapshot.
func (h *Host) Status() *ipc.Status {
	st, _, _ := h.Engine.Source().Snapshot()
	return st
}

// Network is the host's network by its local name; "" is the only one.
func (h *Host) Network(name string) ipc.Network {
	h.tb.Helper()
	st := h.Status()
	for _, n := range st.Networks {
		if n.Alias == name || name == "" && len(st.Networks) == 1 {
			return n
		}
	}
	h.tb.Fatalf("%s: no network %q in %+v", h.name, name, st.Networks)
	return ipc.Network{}
}

// Peer is another device as the host's only network shows it.
func (h *Host) Peer(name string) (ipc.Peer, bool) {
	for _, n := range h.Status().Networks {
		for _, p := range n.Peers {
			if p.Name == name {
				return p, true
			}
		}
	}
	return ipc.Peer{}, false
}

// Create founds a network and returns its root phrase.
func (h *Host) Create(name string) string {
	h.tb.Helper()
	a, err := h.Engine.Create(h.tb.Context(), server.Caller{}, ipc.CreateRequest{Name: name, ShowPhrase: true})
	if err != nil {
		h.tb.Fatalf("%s: create %s: %v", h.name, name, err)
	}
	return a.Phrase
}

// Invite is a link into the named network.
func (h *Host) Invite(network string, uses int) string {
	h.tb.Helper()
	a, err := h.Engine.Invite(h.tb.Context(), server.Caller{}, ipc.InviteRequest{Network: network, Uses: uses})
	if err != nil {
		h.tb.Fatalf("%s: invite: %v", h.name, err)
	}
	return a.Link
}

// Join asks to join and waits for the answer.
func (h *Host) Join(link string) error {
	_, err := h.Engine.Join(h.tb.Context(), server.Caller{}, ipc.JoinRequest{Link: link})
	return err
}

// Ping sends one echo to a device by name and returns how long the answer took
// and the path that it came by.
func (h *Host) Ping(name string) (rtt time.Duration, path ipc.PathKind, err error) {
	err = h.Engine.Ping(h.tb.Context(), server.Caller{}, ipc.PingRequest{Host: name, Count: 1}, func(r ipc.PingReply) error {
		path = r.Path
		if r.RTTMS != nil {
			rtt = time.Duration(*r.RTTMS * float64(time.Millisecond))
		}
		return nil
	})
	return rtt, path, err
}

// Reach pings a device by name ten times a second until an answer comes, and
// returns how long that took and the path; past the limit the test fails.
func (h *Host) Reach(name string, limit time.Duration) (took time.Duration, path ipc.PathKind) {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(h.tb.Context(), limit)
	var pings sync.WaitGroup
	defer pings.Wait()
	defer cancel()
	answers := make(chan ipc.PathKind, 1)
	began := time.Now()
	e := h.Engine
	for {
		pings.Go(func() {
			e.Ping(ctx, server.Caller{}, ipc.PingRequest{Host: name, Count: 1}, func(r ipc.PingReply) error {
				if r.RTTMS != nil {
					select {
					case answers <- r.Path:
					default:
					}
				}
				return nil
			})
		})
		select {
		case p := <-answers:
			return time.Since(began), p
		case <-time.After(100 * time.Millisecond):
		}
		if ctx.Err() != nil {
			h.tb.Fatalf("%s does not reach %s within %v", h.name, name, limit)
		}
	}
}

// Until waits until cond holds, looking every 10 ms, and returns how long it
// took; past the limit the test fails.
func (h *Host) Until(limit time.Duration, what string, cond func() bool) time.Duration {
	h.tb.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > limit {
			h.tb.Fatalf("%s: not within %v: %s", h.name, limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// tunsWanted says when the host has more or fewer TUNs.
func (h *Host) tunsWanted(n int) error {
	h.boot.mu.Lock()
	defer h.boot.mu.Unlock()
	if len(h.boot.tuns) != n {
		return fmt.Errorf("%s has %d TUNs, want %d", h.name, len(h.boot.tuns), n)
	}
	return nil
}
