package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/relay"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire"
	"kith.internal/helper/internal/wire/udp"
	"kith.internal/ipc"
)

// forwardQuota is how many bytes a day a device passes on that is no relay.
const forwardQuota = 4 << 30

// Pauses of a relay that cannot listen, of the lookup of its name, and before
// its record follows a change of the host's addresses.
const (
	relayAgain   = time.Minute
	lookupWithin = 10 * time.Second
	recordAfter  = 20 * time.Second
)

// ports is what a relay listens on.
type ports struct {
	listen string
	tcp    net.Listener
	udp    udp.Conn // nil where the network's own port is it
}

func (p *ports) close() {
	p.tcp.Close()
	if p.udp != nil {
		p.udp.Close()
	}
}

// openPorts opens both ports of a relay; it blocks.
func (e *Engine) openPorts(ctx context.Context, listen string, own uint16) (*ports, error) {
	_, _, port, err := parseListen(listen)
	if err != nil {
		return nil, err
	}
	p := &ports{listen: listen}
	if p.tcp, err = e.cfg.Host.ListenTCP(ctx, listen); err != nil {
		return nil, portError("TCP", port, err)
	}
	if port == own {
		return p, nil
	}
	if p.udp, err = e.cfg.Host.Listen(port); err != nil {
		p.tcp.Close()
		return nil, portError("UDP", port, err)
	}
	return p, nil
}

func portError(kind string, port uint16, err error) error {
	var coded *ipc.Error
	switch {
	case errors.Is(err, udp.ErrInUse), errors.Is(err, syscall.EADDRINUSE):
		coded = ipc.Errorf(ipc.CodePortTaken, "another program holds %s port %d", kind, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		coded = ipc.Errorf(ipc.CodeNoAddress, "this device has no such address to listen on: %w", err)
	default:
		return fmt.Errorf("listen on %s port %d: %w", kind, port, err)
	}
	coded.Args = map[string]string{"port": strconv.Itoa(int(port)), "transport": kind}
	return coded
}

// heldByOurs names the network of ours, other than n, whose relay or wire holds
// a port, "" for none: each keeps its members apart by ports of its own.
func (n *network) heldByOurs(port uint16) string {
	for _, o := range n.e.nets {
		if o == n || o.on == nil {
			continue
		}
		if r := o.on.relay; r != nil {
			if _, _, p, err := parseListen(r.listen); err == nil && p == port {
				return o.alias
			}
		}
		if o.on.conn.Port() == port {
			return o.alias
		}
	}
	return ""
}

// relaying is the relay of a network, while both are up.
type relaying struct {
	*ports
	pin    [32]byte
	server *relay.Server
	remove func() // takes the UDP port from the wire
	since  time.Time
}

// serveRelay starts the relay on its ports.
func (on *live) serveRelay(p *ports, keyDER []byte) (*relaying, error) {
	cert, pin, err := relay.Certificate(keyDER)
	if err != nil {
		return nil, fmt.Errorf("read the relay's key: %w", err)
	}
	r := &relaying{ports: p, pin: pin, remove: func() {}, since: time.Now()}
	if r.server, err = on.startRelay(p.tcp, cert); err != nil {
		return nil, err
	}
	if p.udp != nil {
		r.remove = on.wire.AddConn(p.udp)
	}
	return r, nil
}

func (on *live) startRelay(l net.Listener, cert tls.Certificate) (*relay.Server, error) {
	return relay.Serve(relay.ServerConfig{
		Listener: l, Cert: cert, Log: on.log,
		Open:   on.wire.OpenToken,
		Attach: func(id key.Public, l *relay.Link) { on.wire.Attach(id, l) },
	})
}

// freeUDP gives the UDP port back, while the wire still runs.
func (r *relaying) freeUDP() {
	r.remove()
	if r.udp != nil {
		r.udp.Close()
	}
}

// stopRelay ends the relay; its links take a moment to end, which nobody has to
// wait for but who wants the port again.
func (on *live) stopRelay() (wait <-chan struct{}) {
	done := make(chan struct{})
	r := on.relay
	if r == nil {
		close(done)
		return done
	}
	on.relay = nil
	on.answers.Store(nil)
	r.freeUDP()
	on.n.e.background(func() {
		defer close(done)
		r.server.Close()
	})
	return done
}

// takeRelay makes ports that are open the network's relay.
func (n *network) takeRelay(p *ports) error {
	on := n.on
	r, err := on.serveRelay(p, n.secrets.Relay)
	if err != nil {
		p.close()
		return err
	}
	on.relay, on.relayFailed = r, false
	on.answers.Store(&relay.STUN{})
	n.clear(ipc.HealthRelayPort)
	n.e.log.Info("the relay listens", "network", n.alias, "on", p.listen)
	return nil
}

// resumeRelay opens the relay's ports again after a start of the network. Where
// they are taken, health says so, and it is tried again.
func (n *network) resumeRelay() {
	on := n.on
	if on == nil || n.set.Relay == nil || on.relay != nil {
		return
	}
	listen, own := n.set.Relay.Listen, on.conn.Port()
	n.e.background(func() {
		if n.relayGate.enter(n.e.ctx) != nil {
			return
		}
		p, err := n.e.openPorts(n.e.ctx, listen, own)
		if !n.e.box.post(func() {
			defer n.relayGate.leave()
			n.relayOpened(on, p, err)
		}) {
			n.relayGate.leave()
			if p != nil {
				p.close()
			}
		}
	})
}

func (n *network) relayOpened(on *live, p *ports, err error) {
	if n.on != on || n.set.Relay == nil || on.relay != nil || err == nil && p.listen != n.set.Relay.Listen {
		if p != nil {
			p.close()
		}
		return
	}
	if err == nil {
		err = n.takeRelay(p)
	}
	if err != nil {
		n.e.log.Error("start the relay", "network", n.alias, "err", err)
		_, _, port, _ := parseListen(n.set.Relay.Listen)
		n.warn(ipc.HealthRelayPort, map[string]string{"port": strconv.Itoa(int(port)), "by": n.heldByOurs(port)})
		on.relayFailed = true
		on.relayRetry = time.AfterFunc(relayAgain, func() { n.e.post(n.resumeRelay) })
	} else {
		n.recordSoon(0)
	}
	n.sayPresence()
	n.refresh()
}

// relayKey makes the relay's TLS key where there is none yet.
func (n *network) relayKey() error {
	if n.secrets.Relay != nil {
		return nil
	}
	_, der, _, err := relay.NewCertificate()
	if err != nil {
		return fmt.Errorf("make the relay's key: %w", err)
	}
	return n.updateSecrets(func(s *store.Secrets) error { s.Relay = der; return nil })
}

// relayApproved tells whether this device relays, with the roster's word.
func (n *network) relayApproved() bool {
	me := n.me()
	return me != nil && me.Relay != nil && n.on != nil && n.on.relay != nil && me.Relay.Pin == n.on.relay.pin
}

// serves tells whether a member is a relay: approved, and it offers to be. Until
// its own word is known, the approval counts.
func (n *network) serves(m *roster.Member) bool {
	if m.Relay == nil {
		return false
	}
	l, ok := n.learnt[m.Key]
	return !ok || l.Seq == 0 || l.Relays
}

// forwarding is what this device passes on for others.
func (n *network) forwarding() wire.Forwarding {
	if n.relayApproved() {
		f := wire.Forwarding{On: true}
		if n.set.Relay != nil {
			f.Rate = int64(n.set.Relay.Limit) * 1e6 / 8
		}
		return f
	}
	return wire.Forwarding{On: !n.set.NoForward, Quota: forwardQuota}
}

// carries tells whether this device passes on what guests and the devices shared
// with them send each other: a relay does, another member by choice.
func (n *network) carries() bool {
	return n.relayApproved() || n.set.Carry && !n.set.NoForward
}

// lookup resolves the name that a relay goes by; it blocks.
func (e *Engine) lookup(ctx context.Context, name string, addr netip.Addr) ([]netip.Addr, error) {
	if name == "" {
		if addr.IsValid() {
			return []netip.Addr{addr}, nil
		}
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	addrs, err := e.cfg.Host.LookupHost(ctx, name)
	if err == nil && len(addrs) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil {
		coded := ipc.Errorf(ipc.CodeUnresolved, "look up %s: %w", name, err)
		coded.Args = map[string]string{"name": name}
		return nil, coded
	}
	return addrs, nil
}

// relayRecord is what the roster is to say of this relay.
func (n *network) relayRecord(set store.Relay, named []netip.Addr, pin [32]byte) (roster.RelayInfo, error) {
	_, ip, listen, err := parseListen(set.Listen)
	if err != nil {
		return roster.RelayInfo{}, err
	}
	name, port := "", listen
	if set.Advertise != "" {
		if name, _, port, err = parseAdvertise(set.Advertise, listen); err != nil {
			return roster.RelayInfo{}, err
		}
	}
	r := relayInfo(name, named, port, publicAddrs(n.e.foreign(), ip), listen, pin)
	if len(r.Addrs) > 0 {
		return r, nil
	}
	hint := ""
	for _, a := range n.on.wire.Candidates() {
		if isPublic(a.Addr()) {
			hint = fmt.Sprintf("; others see it at %s, which works where that router lets TCP and UDP port %d in", a.Addr(), listen)
			break
		}
	}
	return r, ipc.Errorf(ipc.CodeNoAddress, "this device has no public address of its own%s", hint)
}

// recordSoon has the roster follow the relay's addresses.
func (n *network) recordSoon(after time.Duration) {
	on := n.on
	if on == nil || on.relay == nil || on.record != nil {
		return
	}
	on.record = time.AfterFunc(after, func() {
		n.e.post(func() {
			on.record = nil
			if n.on == on && n.set.Relay != nil {
				n.followAddrs(*n.set.Relay)
			}
		})
	})
}

// followAddrs looks the relay's name up again and writes what has changed.
func (n *network) followAddrs(set store.Relay) {
	on := n.on
	_, _, listen, err := parseListen(set.Listen)
	if err != nil {
		return
	}
	var name string
	var addr netip.Addr
	if set.Advertise != "" {
		if name, addr, _, err = parseAdvertise(set.Advertise, listen); err != nil {
			return
		}
	}
	n.e.background(func() {
		named, err := n.e.lookup(n.e.ctx, name, addr)
		n.e.post(func() {
			switch {
			case n.on != on || on.relay == nil || n.me() == nil:
				return
			case err != nil:
				n.e.log.Info("the relay's record stays as it is", "network", n.alias, "err", err)
				return
			}
			info, err := n.relayRecord(set, named, on.relay.pin)
			if err == nil {
				_, err = n.approveRelay(info)
			}
			if err != nil {
				n.e.log.Info("the relay's record stays as it is", "network", n.alias, "err", err)
			}
		})
	})
}

// approveRelay has the roster say how to find this relay: at once where this
// device may, else as a request to an admin.
func (n *network) approveRelay(info roster.RelayInfo) (pending bool, err error) {
	me := n.me()
	if sameRelay(me.Relay, &info) {
		n.dropAsks(replica.AskRelay)
		return false, nil
	}
	if n.book.View().Caps(n.self)&roster.CapNet != 0 {
		return false, n.write(func(a *roster.Author) error { _, err := a.ApproveRelay(n.self, &info); return err })
	}
	value, err := info.Encode()
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(n.asks, func(a replica.Ask) bool { return a.Kind == replica.AskRelay && slices.Equal(a.Relay, value) }) {
		return true, nil
	}
	return true, n.ask(replica.Ask{Kind: replica.AskRelay, Relay: value})
}

// gate lets one in at a time.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() { <-g }

// answers is the relay's STUN server while there is one.
type answers struct{ atomic.Pointer[relay.STUN] }

// answer is what wire.Config.AnswerSTUN wants.
func (a *answers) answer(request []byte, from netip.AddrPort, buf []byte) []byte {
	s := a.Load()
	if s == nil {
		return nil
	}
	return s.Answer(request, from, buf)
}

// dialLink opens a link to a relay, as wire.Config wants it.
func (e *Engine) dialLink(ctx context.Context, r wire.Relay, token func([]byte) ([]byte, error)) (wire.Link, error) {
	d := relay.Dialer{DialContext: e.cfg.Host.DialTCP, Proxy: e.cfg.Host.Proxy}
	l, err := relay.Dial(ctx, d, relay.Target{Addrs: r.Addrs, Host: r.Host, Pin: r.Pin}, token)
	if err != nil {
		return nil, err
	}
	return l, nil
}
