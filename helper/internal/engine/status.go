package engine

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"kith.internal/dns"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// publishWait gathers changes into one snapshot; freshFor is how old the
// traffic counters of a snapshot may be when somebody asks.
const (
	publishWait = 40 * time.Millisecond
	publishEach = 100 * time.Microsecond // longer, for each member
	freshFor    = 500 * time.Millisecond
)

// publishSoon has whoever watches look again shortly: a snapshot takes time in
// a large network, and is made for who asks.
func (e *Engine) publishSoon() {
	if e.publish != nil || e.stopping {
		return
	}
	wait := publishWait
	for _, n := range e.nets {
		wait += time.Duration(len(n.book.View().Members)) * publishEach
	}
	e.publish = time.AfterFunc(wait, func() {
		e.post(func() {
			if e.publish != nil {
				e.publish, e.stale = nil, true
				e.board.Outdate()
			}
		})
	})
}

func (e *Engine) publishNow() {
	if e.publish != nil {
		e.publish.Stop()
		e.publish = nil
	}
	e.stale = false
	e.published = time.Now()
	e.board.Publish(e.status())
}

// source shows the board, freshened when it is asked after a quiet while or a
// change: who has just done something sees what came of it.
type source struct{ e *Engine }

func (s source) Snapshot() (*ipc.Status, uint64, <-chan struct{}) {
	ctx, cancel := context.WithTimeout(s.e.ctx, time.Second)
	defer cancel()
	call(ctx, s.e, func() (struct{}, error) {
		if s.e.publish != nil || s.e.stale || time.Since(s.e.published) > freshFor {
			s.e.publishNow()
		}
		return struct{}{}, nil
	})
	return s.e.board.Snapshot()
}

var _ server.Source = source{}

// status is the whole state, for all; the server leaves out what a caller may
// not see.
func (e *Engine) status() *ipc.Status {
	st := &ipc.Status{Schema: ipc.Schema, Version: e.cfg.Version, State: e.state(), Health: e.health.List(), Portal: e.portal.status()}
	for _, n := range e.nets {
		st.Networks = append(st.Networks, n.status())
	}
	st.Nearby = e.nearbyStatus()
	for _, j := range e.joins {
		st.Joining = append(st.Joining, j.status())
	}
	return st
}

func (e *Engine) state() ipc.State {
	switch {
	case e.stopping:
		return ipc.StateStopping
	case e.down:
		return ipc.StateOff
	case len(e.nets) == 0:
		return ipc.StateRunning
	}
	failed := false
	for _, n := range e.nets {
		if n.on != nil {
			return ipc.StateRunning
		}
		failed = failed || n.set.Active && n.me() != nil
	}
	if failed {
		return ipc.StateError
	}
	return ipc.StateRunning
}

func (n *network) status() ipc.Network {
	v := n.book.View()
	out := ipc.Network{Name: v.Name, Alias: n.alias, ID: n.id.String(), Active: n.on != nil, Self: n.selfStatus(v), Relay: n.relayStatus(), Forward: n.forwardStatus(),
		Exit: n.exitStatus(), Routes: n.routeStatus(), Shields: n.set.Shields}
	var paths map[key.Public]wire.PeerStatus
	var sessions map[key.Public]tunnel.Status
	var linked map[key.Public]bool
	var report wire.NetReport
	if n.on != nil {
		report = n.on.wire.Net()
		paths = map[key.Public]wire.PeerStatus{}
		for _, p := range n.on.wire.Status() {
			paths[p.ID] = p
		}
		sessions = n.on.tunnel.Status()
		linked = n.on.replica.Linked()
	}
	out.Shares = n.allShares()
	now := time.Now()
	for _, m := range v.Members {
		if m.Key == n.self || expired(m, now) {
			continue
		}
		p := ipc.Peer{
			Name: m.Name, FQDN: dns.FQDN(m.Name, n.alias), IPv6: addr(m.IPv6), IPv4: addr(m.IPv4),
			Tags: m.Tags, Role: role(m.Role), Key: m.Key.String(), AddedBy: v.NameOf(m.Admit.Author), Path: ipc.PathNone, Relay: n.serves(m), Exit: n.exits(m),
		}
		n.fillPath(&p, paths[m.Key], linked[m.Key])
		if p.Online {
			p.Why = n.whyNot(paths[m.Key], report)
		}
		if s, ok := sessions[m.Key]; ok {
			p.RxBytes, p.TxBytes, p.Active = &s.Rx, &s.Tx, s.Active
			if !s.LastHandshake.IsZero() {
				p.LastHandshake = moment(s.LastHandshake)
			}
		}
		n.fillPresence(&p, n.learnt[m.Key])
		out.Peers = append(out.Peers, p)
	}
	return out
}

func (n *network) selfStatus(v *roster.View) ipc.Self {
	s := ipc.Self{Name: n.set.Device, Key: n.self.String(), Role: ipc.RoleRemoved}
	m := n.me()
	if m == nil {
		s.FQDN = dns.FQDN(s.Name, n.alias)
		return s
	}
	s.Name, s.FQDN, s.Role = m.Name, dns.FQDN(m.Name, n.alias), role(m.Role)
	if !m.Expires.IsZero() {
		s.Expires = moment(m.Expires)
	}
	if n.on == nil {
		s.IPv4, s.IPv6 = addr(m.IPv4), addr(m.IPv6)
		return s
	}
	s.Port = n.on.conn.Port()
	for _, a := range n.on.addrs() {
		if a.Is4() {
			s.IPv4 = addr(a)
		} else {
			s.IPv6 = addr(a)
		}
	}
	if at := n.resolver(); at.IsValid() {
		ap := netip.AddrPortFrom(at, 53)
		s.DNS = &ap
	}
	return s
}

// fillPath says how packets reach a peer; for an idle one, how they last did.
func (n *network) fillPath(p *ipc.Peer, w wire.PeerStatus, linked bool) {
	p.Path = pathKinds[w.Path.Kind]
	p.Via = n.via(w.Path)
	if w.Path.Addr.IsValid() {
		p.Endpoint = &w.Path.Addr
	}
	if w.Path.Kind != wire.None {
		p.Transport = new(transports[w.Path.Transport])
		ms := float64(w.Path.RTT.Microseconds()) / 1000
		p.LatencyMS = &ms
	}
	if !w.LastHeard.IsZero() {
		p.LastSeen = moment(w.LastHeard)
	}
	// A control session outlives a path that has died by some time.
	p.Online = w.Path.Kind != wire.None && (linked || time.Since(w.LastHeard) < time.Minute)
}

var pathKinds = map[wire.PathKind]ipc.PathKind{
	wire.None: ipc.PathNone, wire.LAN: ipc.PathLAN, wire.Direct: ipc.PathDirect,
	wire.Relayed: ipc.PathRelayed, wire.Forwarded: ipc.PathForwarded,
}

var transports = map[wire.Transport]ipc.Transport{wire.UDP: ipc.TransportUDP, wire.TLS: ipc.TransportTLS}

// via names the devices in between, nil for none.
func (n *network) via(p wire.Path) *string {
	if len(p.Via) == 0 {
		return nil
	}
	v := n.book.View()
	var names []string
	for _, id := range p.Via {
		names = append(names, v.NameOf(id))
	}
	return new(strings.Join(names, ", "))
}

// sayWhySoon publishes again once it is time to say why a path has not become
// direct.
func (n *network) sayWhySoon() {
	on := n.on
	if on.whying != nil {
		return
	}
	on.whying = time.AfterFunc(tryingFor+publishWait, func() {
		n.e.post(func() {
			on.whying = nil
			n.e.publishSoon()
		})
	})
}

// whyNot is why a peer is not reached directly, nil for nothing to tell.
func (n *network) whyNot(p wire.PeerStatus, r wire.NetReport) *ipc.WhyNot {
	w := situation{p, r, n.learnt[p.ID].NAT, time.Now()}.why()
	if w == "" {
		return nil
	}
	return &w
}

// fillPresence adds what a peer said of itself.
func (n *network) fillPresence(p *ipc.Peer, l learnt) {
	if l.Seq == 0 {
		return
	}
	if l.OS != "" {
		p.OS = &l.OS
	}
	said := time.UnixMilli(l.Seq)
	if p.LastSeen == nil || said.After(*p.LastSeen) && !said.After(time.Now()) {
		p.LastSeen = moment(said)
	}
	switch {
	case l.Gone:
		p.Online = false
	case len(n.book.View().Members) > replica.AllLinked && time.Since(l.at) < replica.PresenceTTL && time.Since(said).Abs() < replica.PresenceTTL+grace:
		p.Online = p.Online || n.on != nil
	}
	if l.No4 {
		p.IPv4 = nil
	}
	if l.No6 {
		p.IPv6 = nil
	}
}

func addr(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return &a
}

func moment(t time.Time) *time.Time {
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

func role(r roster.Role) ipc.Role {
	switch r {
	case roster.RoleOwner:
		return ipc.RoleOwner
	case roster.RoleAdmin:
		return ipc.RoleAdmin
	case roster.RoleSponsor:
		return ipc.RoleSponsor
	}
	return ipc.RolePlain
}
