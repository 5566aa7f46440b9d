package engine

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"kith.internal/dns"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

const (
	pingEvery   = time.Second
	pingQuick   = 200 * time.Millisecond // while waiting for a direct path
	pingTimeout = 5 * time.Second
	pingDefault = 4
	untilDirect = 300 // a minute of quick ones
)

// target is what a ping needs of the actor.
type target struct {
	wire     *wire.Wire
	id       key.Public
	name     string
	src, dst netip.Addr
	via      func(wire.Path) *string           // any goroutine
	whyNot   func(wire.PeerStatus) *ipc.WhyNot // likewise
}

// Ping sends ICMP echoes through the TUN, as any program's packets go.
func (e *Engine) Ping(ctx context.Context, _ server.Caller, req ipc.PingRequest, send func(ipc.PingReply) error) error {
	if req.Count < 0 || req.Count > ipc.PingCount {
		return ipc.Errorf(ipc.CodeUsage, "the count is 1 to %d", ipc.PingCount)
	}
	count := req.Count
	switch {
	case count == 0 && req.UntilDirect:
		count = untilDirect
	case count == 0:
		count = pingDefault
	}
	t, err := call(ctx, e, func() (target, error) { return e.target(req.Network, req.Host) })
	if err != nil {
		return err
	}
	answered := 0
	for seq := 1; seq <= count; seq++ {
		began := time.Now()
		r := t.ping(ctx, e.cfg.Host, seq)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := send(r); err != nil {
			return err
		}
		if r.RTTMS != nil {
			answered++
			if req.UntilDirect && (r.Path == ipc.PathLAN || r.Path == ipc.PathDirect) {
				return nil
			}
		}
		every := pingEvery
		if req.UntilDirect {
			every = pingQuick
		}
		if seq < count {
			pause(ctx, every-time.Since(began))
		}
	}
	switch {
	case answered == 0:
		return ipc.Errorf(ipc.CodeNotConnected, "%s did not answer", t.name)
	case req.UntilDirect:
		return ipc.Errorf(ipc.CodeNotConnected, "%s answers, but on no direct path", t.name)
	}
	return nil
}

func (t target) ping(ctx context.Context, h Host, seq int) ipc.PingReply {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	r := ipc.PingReply{Seq: seq, Addr: t.dst, Name: t.name, Path: ipc.PathNone}
	if rtt, err := h.Ping(ctx, t.src, t.dst, seq); err == nil {
		ms := float64(rtt.Microseconds()) / 1000
		r.RTTMS = &ms
	}
	if st, ok := t.wire.PeerStatus(t.id); ok {
		r.Path, r.Via = pathKinds[st.Path.Kind], t.via(st.Path)
		if r.Path != ipc.PathLAN && r.Path != ipc.PathDirect {
			r.Why = t.whyNot(st)
		}
		if st.Path.Addr.IsValid() {
			r.Endpoint = &st.Path.Addr
		}
	}
	return r
}

// target finds a device by name, full name or overlay address, in the network
// named or in any.
func (e *Engine) target(name, host string) (target, error) {
	nets := e.nets
	if name != "" {
		n, err := e.named(name)
		if err != nil {
			return target{}, err
		}
		nets = []*network{n}
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	var down string
	for _, n := range nets {
		k, ok := n.find(host)
		switch {
		case !ok:
		case n.on == nil:
			down = n.alias
		case k == n.self:
			return target{}, ipc.Errorf(ipc.CodeUsage, "%s is this device", host)
		default:
			return n.aim(k)
		}
	}
	if name == "" {
		for _, s := range e.stays() {
			if t, ok := s.aim(host); ok {
				return t, nil
			}
		}
	}
	if down != "" {
		return target{}, ipc.Errorf(ipc.CodeNotConnected, "%s is not connected: connect it with kith up", down)
	}
	if len(e.nets) == 0 {
		return target{}, ipc.Errorf(ipc.CodeNotFound, "this device is in no network")
	}
	return target{}, ipc.Errorf(ipc.CodeNotFound, "no device is called %.80q", host)
}

func (n *network) find(host string) (key.Public, bool) {
	v := n.book.View()
	if a, err := netip.ParseAddr(host); err == nil {
		if m := v.ByAddr(a); m != nil {
			return m.Key, true
		}
		return key.Public{}, false
	}
	if m := v.ByName(strings.TrimSuffix(host, "."+n.alias+"."+dns.Domain)); m != nil {
		return m.Key, true
	}
	return key.Public{}, false
}

// aim picks the addresses: IPv6, which every device has, unless it is off on
// either side.
func (n *network) aim(k key.Public) (target, error) {
	v := n.book.View()
	m, me := v.Member(k), n.me()
	if m == nil || me == nil {
		return target{}, ipc.Errorf(ipc.CodeNotFound, "the device is no member of %s any more", n.alias)
	}
	l := n.learnt[k]
	t := target{wire: n.on.wire, id: k, name: dns.FQDN(m.Name, n.alias), via: n.via}
	there := l.NAT
	t.whyNot = func(st wire.PeerStatus) *ipc.WhyNot {
		w := situation{st, t.wire.Net(), there, time.Now()}.why()
		return &w
	}
	switch {
	case n.on.use6 && !l.No6:
		t.src, t.dst = me.IPv6, m.IPv6
	case n.on.use4 && !l.No4 && me.IPv4.IsValid() && m.IPv4.IsValid():
		t.src, t.dst = me.IPv4, m.IPv4
	default:
		return target{}, ipc.Errorf(ipc.CodeNotConnected, "this device and %s have no address family in common", m.Name)
	}
	return t, nil
}

// Diag is a list of checks, each with its fix.
func (e *Engine) Diag(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.Diag, error) {
	type subject struct {
		n *network
		j *joining
	}
	all := req.Network == ""
	only, err := call(ctx, e, func() (s subject, err error) {
		if all {
			return s, nil
		}
		s.j, _ = e.joinNamed(req.Network)
		if s.n, err = e.named(req.Network); s.j != nil {
			err = nil
		}
		return s, err
	})
	if err != nil {
		return ipc.Diag{}, err
	}
	var probes map[roster.ID][]probed
	if all || only.n != nil {
		probes = e.probeRelays(ctx, only.n)
	}
	return call(ctx, e, func() (ipc.Diag, error) {
		d := ipc.Diag{Schema: ipc.Schema}
		add := func(c ipc.Check) {
			if c.OK {
				c.Fix = ""
			}
			d.Checks = append(d.Checks, c)
		}
		e.diag(add)
		for _, n := range e.nets {
			if all || n == only.n {
				n.diag(add, probes[n.id])
			}
		}
		for _, j := range e.joins {
			if all || j == only.j {
				j.diag(add)
			}
		}
		return d, nil
	})
}

// families tells which IP families have an address beyond link-local and
// loopback on an interface that is up.
func (e *Engine) families() (v4, v6 bool) {
	for _, i := range e.foreign() {
		if !i.Up || i.Loopback {
			continue
		}
		for _, p := range i.Prefixes {
			v4 = v4 || p.Addr().Is4()
			v6 = v6 || p.Addr().Is6()
		}
	}
	return v4, v6
}

// hasIPv6 tells whether any interface but our own has an IPv6 address, be it
// the loopback's.
func (e *Engine) hasIPv6() bool {
	for _, i := range e.foreign() {
		for _, p := range i.Prefixes {
			if p.Addr().Is6() {
				return true
			}
		}
	}
	return false
}

func familyWords(v4, v6 bool) ipc.Finding {
	switch {
	case v4 && v6:
		return found(ipc.FoundBoth, "IPv4 and IPv6")
	case v4:
		return found("", "IPv4")
	case v6:
		return found("", "IPv6")
	}
	return found(ipc.FoundNone, "none")
}

func joinErrors(errs []error) string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Error())
	}
	return strings.Join(out, "; ")
}
