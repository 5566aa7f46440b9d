package filter

import (
	"net/netip"
	"slices"
	"strings"
)

// Rules are a policy as one device applies it. They are immutable.
type Rules struct {
	gen      uint64 // set by the Filter
	shields  bool
	networks []netip.Prefix
	own      []netip.Addr
	host     []netip.Addr // of this device, too, but beyond the overlay
	apart    []netip.Prefix
	far      map[netip.Addr]*entry
	internet bool // what this device passes on
	lan      bool
	routes   []netip.Prefix
	accepted []netip.Prefix // where who is outside may be
	self     *beyond
	into     []into // who is outside and may open connections into the overlay
}

// entry is one device or guest on the other side.
type entry struct {
	in, out *Ports // on this device, and there
	here    *Ports // on this device's addresses beyond the overlay; nil for a guest
	through *beyond
	device  bool
	who     subject
}

// beyond is what one subject may open outside the overlay.
type beyond struct {
	public   bool // only to the internet, whatever prefixes say
	never    []netip.Prefix
	internet Ports
	bits     []int // lengths of the prefixes
	prefixes map[netip.Prefix]Ports
}

// into is a rule for who sends from outside the overlay.
type into struct {
	rule *Rule
	on   bool // its ports are open on this device
}

var nothing = &Ports{}

// names is what an exit node's resolver is asked on.
var names = PortRange(TCP, 53, 53).union(PortRange(UDP, 53, 53))

// Compile makes a device's rules of a policy, nil for the default. With shields
// nothing is opened from outside.
func Compile(p *Policy, w *World, shields bool) *Rules {
	if p == nil {
		p = Default()
	}
	r := &Rules{
		shields: shields, networks: w.Networks, far: map[netip.Addr]*entry{}, internet: w.Exit, lan: w.LAN, routes: w.Routes,
		accepted: w.Accepted, host: w.Host, apart: w.Apart, self: &beyond{},
	}
	self := w.self()
	if self == nil {
		return r
	}
	r.own = self.Addrs
	c := compiler{p: p, w: w, r: r, self: self, me: self.subject()}
	c.devices()
	c.guests()
	for _, a := range r.own {
		delete(r.far, a) // nobody else comes from there
	}
	r.self = c.beyond(c.which(&c.me))
	for i := range p.Allow {
		rule := &p.Allow[i]
		if slices.ContainsFunc(rule.From, func(s Selector) bool { return s.Kind == SelectPrefix }) {
			r.into = append(r.into, into{rule, anySelects(rule.To, &c.me, false)})
		}
	}
	return r
}

type compiler struct {
	p    *Policy
	w    *World
	r    *Rules
	self *Device
	me   subject
}

// devices makes an entry of each other device. Devices by the same rules share
// their ports.
func (c *compiler) devices() {
	n := len(c.w.Devices)
	in, out, from := make([][]uint16, n), make([][]uint16, n), make([][]uint16, n)
	pick := c.w.index()
	for i := range c.p.Allow {
		rule := &c.p.Allow[i]
		on, ours, away := anySelects(rule.To, &c.me, false), anySelects(rule.From, &c.me, true), leadsAway(rule.To)
		if on || away {
			pick(rule.From, func(d int) {
				if on {
					in[d] = append(in[d], uint16(i))
				}
				if away {
					from[d] = append(from[d], uint16(i))
				}
			})
		}
		if ours {
			pick(rule.To, func(d int) { out[d] = append(out[d], uint16(i)) })
		}
	}
	ports, beyonds := memo(c.union), memo(c.beyond)
	mine := c.beyond(c.which(&c.me))
	for i := range c.w.Devices {
		d := &c.w.Devices[i]
		if d.Key == c.w.Self {
			continue
		}
		e := &entry{in: ports(in[i]), out: ports(out[i]), here: ports(in[i]), through: beyonds(from[i]), device: true, who: d.subject()}
		if c.self.Exit && !e.through.internet.Empty() {
			u := e.in.union(names)
			e.in = &u
		}
		if d.Exit && !mine.internet.Empty() {
			u := e.out.union(names)
			e.out = &u
		}
		for _, a := range d.Addrs {
			c.r.far[a] = e
		}
	}
}

// memo computes once for equal lists.
func memo[T any](f func([]uint16) T) func([]uint16) T {
	seen := map[string]T{}
	return func(which []uint16) T {
		var b strings.Builder
		for _, i := range which {
			b.WriteByte(byte(i))
			b.WriteByte(byte(i >> 8))
		}
		v, ok := seen[b.String()]
		if !ok {
			v = f(which)
			seen[b.String()] = v
		}
		return v
	}
}

func (c *compiler) union(which []uint16) *Ports {
	if len(which) == 0 {
		return nothing
	}
	var sum Ports
	for _, i := range which {
		sum = sum.union(c.p.Allow[i].Ports)
	}
	return &sum
}

// which is the rules by which a subject may send.
func (c *compiler) which(u *subject) (out []uint16) {
	for i := range c.p.Allow {
		if anySelects(c.p.Allow[i].From, u, true) {
			out = append(out, uint16(i))
		}
	}
	return out
}

func leadsAway(to []Selector) bool {
	return slices.ContainsFunc(to, func(s Selector) bool {
		return s.Kind == SelectAll || s.Kind == SelectInternet || s.Kind == SelectPrefix
	})
}

// beyond is what rules open outside the overlay.
func (c *compiler) beyond(which []uint16) *beyond {
	b := &beyond{prefixes: map[netip.Prefix]Ports{}}
	var all Ports
	for _, i := range which {
		rule := &c.p.Allow[i]
		for _, s := range rule.To {
			switch s.Kind {
			case SelectAll:
				all = all.union(rule.Ports)
			case SelectInternet:
				b.internet = b.internet.union(rule.Ports)
			case SelectPrefix:
				b.prefixes[s.Prefix] = b.prefixes[s.Prefix].union(rule.Ports)
			}
		}
	}
	if !all.Empty() {
		b.internet = b.internet.union(all)
		for _, p := range []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)} {
			b.prefixes[p] = b.prefixes[p].union(all)
		}
	}
	b.measure()
	return b
}

// measure notes which lengths prefixes have.
func (b *beyond) measure() {
	for p := range b.prefixes {
		if !slices.Contains(b.bits, p.Bits()) {
			b.bits = append(b.bits, p.Bits())
		}
	}
}

// with is both: of a guest by two shares.
func (b *beyond) with(o *beyond) *beyond {
	for p, q := range o.prefixes {
		b.prefixes[p] = b.prefixes[p].union(q)
	}
	b.internet = b.internet.union(o.internet)
	b.measure()
	return b
}

func (b *beyond) opens(a netip.Addr, proto uint8, port uint16) bool {
	if b.public && !Public(a) || within(b.never, within4(a)) || within(b.never, a) {
		return false
	}
	return b.internet.opens(proto, port) && Public(a) || b.names(a, proto, port)
}

// names is what rules open by a prefix.
func (b *beyond) names(a netip.Addr, proto uint8, port uint16) bool {
	for _, n := range b.bits {
		p, err := a.Prefix(n)
		if err != nil {
			continue
		}
		if q, ok := b.prefixes[p]; ok && q.opens(proto, port) {
			return true
		}
	}
	return false
}

// guests adds who comes by a share: what the share opens, where the policy opens
// it, too.
func (c *compiler) guests() {
	for i := range c.w.Guests {
		g := &c.w.Guests[i]
		// No guest has a member's address.
		if slices.ContainsFunc(g.Addrs, func(a netip.Addr) bool {
			old := c.r.far[a]
			return old != nil && old.device || slices.Contains(c.self.Addrs, a)
		}) {
			continue
		}
		in, out, through := c.guest(g)
		for _, a := range g.Addrs {
			e := &entry{in: &in, out: &out, through: through}
			if old := c.r.far[a]; old != nil {
				in, out := in.union(*old.in), out.union(*old.out)
				e = &entry{in: &in, out: &out, through: through.with(old.through)}
			}
			c.r.far[a] = e
		}
	}
}

// guest is what one share opens.
func (c *compiler) guest(g *Guest) (in, out Ports, through *beyond) {
	u := g.subject()
	limit := g.Ports.union(Echo)
	if g.In {
		in = c.p.opens(&u, &c.me).Both(limit)
	}
	if g.Out {
		out = c.p.opens(&c.me, &u).Both(limit)
	}
	if g.Names {
		out = out.union(names)
	}
	var away []uint16
	if g.Exit && c.w.Exit {
		away = c.which(&u)
	}
	through = c.beyond(away)
	through.public, through.never = true, c.w.Links // no network behind this device
	if !through.internet.Empty() {
		in = in.union(names)
	}
	return in, out, through
}

// opens judges what begins: from far, on the tunnel's side, to near on this
// host's, or (in false) the other way.
func (r *Rules) opens(in bool, far, near netip.Addr, proto uint8, port uint16) bool {
	if in {
		return !r.shields && r.opensIn(far, near, proto, port)
	}
	return r.opensOut(near, far, proto, port)
}

func (r *Rules) opensIn(src, dst netip.Addr, proto uint8, port uint16) bool {
	e := r.far[src]
	own := slices.Contains(r.own, dst)
	if !own && !r.passesOn(dst) {
		return false
	}
	here := !own && slices.Contains(r.host, dst)
	switch {
	case e == nil && !r.speaks(src):
		return false
	case e == nil && own:
		return r.opensFor(src, proto, port, func(i *into) bool { return i.on })
	case e == nil && here:
		u := subject{addrs: []netip.Addr{dst}}
		return r.opensFor(src, proto, port, func(i *into) bool { return i.on || anySelects(i.rule.To, &u, false) })
	case e == nil:
		u := outside(dst)
		return r.opensFor(src, proto, port, func(i *into) bool { return anySelects(i.rule.To, &u, false) })
	case own:
		return e.in.opens(proto, port)
	case here:
		return e.device && (e.here.opens(proto, port) || e.through.names(dst, proto, port))
	}
	return e.through.opens(dst, proto, port)
}

// speaks tells whether what comes out of the tunnel may have a source that is
// nobody's in the overlay.
func (r *Rules) speaks(src netip.Addr) bool {
	return within(r.accepted, src) && !within(r.networks, src) && !slices.Contains(r.own, src)
}

// passesOn tells whether this device passes on what is for an address beyond the
// overlay.
func (r *Rules) passesOn(dst netip.Addr) bool {
	if within(r.networks, dst) || within(r.apart, dst) || within(unroutable, dst) {
		return false
	}
	return r.internet && (r.lan || Public(dst)) || within(r.routes, dst)
}

func (r *Rules) opensOut(src, dst netip.Addr, proto uint8, port uint16) bool {
	if within(unroutable, dst) || slices.Contains(r.own, dst) {
		return false
	}
	e := r.far[dst]
	if e == nil && within(r.networks, dst) {
		return false
	}
	if !slices.Contains(r.own, src) {
		// From a network behind this device.
		if e == nil || within(r.networks, src) {
			return false
		}
		return r.opensFor(src, proto, port, func(i *into) bool { return r.leadsTo(i, dst) })
	}
	if e != nil {
		return e.out.opens(proto, port)
	}
	return r.self.opens(dst, proto, port)
}

// opensFor judges what begins outside the overlay.
func (r *Rules) opensFor(src netip.Addr, proto uint8, port uint16, to func(*into) bool) bool {
	u := outside(src)
	for i := range r.into {
		t := &r.into[i]
		if t.rule.Ports.opens(proto, port) && anySelects(t.rule.From, &u, true) && to(t) {
			return true
		}
	}
	return false
}

// leadsTo tells whether a rule opens its ports on the device or guest with an
// overlay address.
func (r *Rules) leadsTo(i *into, dst netip.Addr) bool {
	e := r.far[dst]
	return e != nil && e.device && anySelects(i.rule.To, &e.who, false)
}
