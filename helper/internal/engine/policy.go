package engine

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// policy is a network's policy as this device reads it.
type policy struct {
	raw   []byte // as the roster has it
	in    *filter.Policy
	fault *filter.Fault // why raw is not what is in force
	by    string        // what is in force instead
}

// policyValue is the last policy that could be read, behind a byte that tells it
// from none at all.
const policyValue = "policy"

// readPolicy reads the roster's policy, when it has changed. One that this build
// cannot read fails safe: the last one that it could read stays in force, or,
// where there was none, nothing comes in but echoes.
func (n *network) readPolicy() {
	raw := n.book.View().Policy
	if n.policy.in != nil && bytes.Equal(raw, n.policy.raw) {
		return
	}
	p := policy{raw: bytes.Clone(raw)}
	in, faults := filter.Parse(raw)
	if p.in = in; in == nil {
		p.fault = &faults[0]
		self := n.set.Device
		if m := n.book.View().Member(n.self); m != nil {
			self = m.Name
		}
		p.in, p.by = n.lastGood(self)
		n.e.log.Warn("read the policy", "network", n.alias, "err", p.fault.Error())
	} else {
		n.keepPolicy(raw)
	}
	n.policy = p
	n.raise(p.fault != nil, ipc.HealthPolicy, map[string]string{"why": why(p.fault), "by": p.by})
}

func why(f *filter.Fault) string {
	if f == nil {
		return ""
	}
	return f.Error()
}

func (n *network) keepPolicy(raw []byte) {
	value := append([]byte{'p'}, raw...)
	old, err := n.e.cfg.Store.Value(n.id, policyValue)
	if err == nil && !bytes.Equal(old, value) {
		err = n.e.cfg.Store.PutValue(n.id, policyValue, value)
	}
	if err != nil {
		n.e.log.Warn("keep the policy", "network", n.alias, "err", err)
	}
}

// lastGood is the policy to go by while the roster's cannot be read, for this
// device's name.
func (n *network) lastGood(self string) (p *filter.Policy, by string) {
	value, err := n.e.cfg.Store.Value(n.id, policyValue)
	if err == nil && len(value) > 0 {
		if p, faults := filter.Parse(value[1:]); faults == nil {
			return p, "the one before"
		}
	}
	return filter.Closed(self), "none: nothing comes in"
}

// worldOf is a network as its policy sees it: pure.
func worldOf(v *roster.View, self key.Public, now time.Time, p *filter.Policy) *filter.World {
	w := &filter.World{Networks: []netip.Prefix{roster.Prefix6(v.Network), roster.Range4(v.Network)}, Self: self}
	w.Devices = make([]filter.Device, 0, len(v.Members))
	for _, m := range v.Members {
		if expired(m, now) {
			continue
		}
		d := deviceOf(m)
		d.Exit = d.Exit || p.ApprovesExit(d)
		w.Devices = append(w.Devices, d)
	}
	for _, s := range guest.All(v) {
		w.Shares = append(w.Shares, s.SID.String())
	}
	return w
}

// deviceOf is a member as a policy sees it, with what an admin has approved: the
// policy itself may approve more.
func deviceOf(m *roster.Member) filter.Device {
	d := filter.Device{Key: m.Key, Name: m.Name, Tags: m.Tags, Addrs: []netip.Addr{m.IPv6}, Admin: m.Role >= roster.RoleAdmin, Exit: m.Exit, Routes: m.Routes}
	if m.IPv4.IsValid() {
		d.Addrs = append(d.Addrs, m.IPv4)
	}
	return d
}

// exitApproved tells whether an admin, or the policy, agrees that a member is an
// exit node.
func (n *network) exitApproved(m *roster.Member) bool {
	return m.Exit || n.policyInForce().ApprovesExit(deviceOf(m))
}

// routeApproved is the same of a subnet that a member leads to.
func (n *network) routeApproved(m *roster.Member, p netip.Prefix) bool {
	return slices.Contains(m.Routes, p) ||
		n.policyInForce().ApprovesRoute(deviceOf(m), p) && !slices.ContainsFunc(overlay(n.id), p.Overlaps)
}

// policyInForce is the policy that this device goes by.
func (n *network) policyInForce() *filter.Policy {
	n.readPolicy()
	return n.policy.in
}

// sharePorts is a share's ports in the filter's form.
func sharePorts(ports guest.Ports) filter.Ports {
	switch {
	case len(ports) == 0:
		return filter.AllPorts
	case ports.None():
		return filter.Ports{}
	}
	var sum []filter.Ports
	for _, p := range ports {
		sum = append(sum, filter.PortRange(p.Proto, p.First, p.Last))
	}
	return filter.Union(sum...)
}

// setFilter puts the policy in force here.
func (n *network) setFilter(guests []filter.Guest) {
	n.on.apart = n.apart()
	p := n.policyInForce()
	if n.on.filter == nil {
		return
	}
	w := worldOf(n.book.View(), n.self, time.Now(), p)
	w.Guests = guests
	w.Exit = n.offersExit()
	w.LAN = w.Exit && n.set.Exit.LAN
	for _, o := range n.offersRoutes() {
		w.Routes = append(w.Routes, o.Prefix)
	}
	w.Accepted = sortedPrefixes(n.on.vias)
	for _, i := range n.e.foreign() {
		w.Links = append(w.Links, masked(i.Prefixes)...)
		for _, p := range i.Prefixes {
			w.Host = append(w.Host, taken(p)...)
		}
	}
	w.Apart = n.on.apart
	n.on.filter.Set(filter.Compile(p, w, n.set.Shields))
}

// apart is this machine's other overlays: who is in one network is not let into
// another.
func (n *network) apart() (out []netip.Prefix) {
	for _, o := range n.e.nets {
		if o != n {
			out = append(out, overlay(o.id)...)
		}
	}
	for _, s := range n.e.stays() {
		out = append(out, roster.Prefix6(s.id), cgnat) // somewhere there are its IPv4 addresses
	}
	return out
}

// taken is what a host with an address takes for itself: that, its network's first
// address, which stands for any of its routers (RFC 4291 §2.6.1; IPv4 before Linux
// 5.14 likewise), and a broadcast.
func taken(p netip.Prefix) []netip.Addr {
	a := p.Addr()
	out := []netip.Addr{a}
	if a.BitLen()-p.Bits() < 2 {
		return out
	}
	if first := p.Masked().Addr(); first != a {
		out = append(out, first)
	}
	if a.Is4() {
		last := a.As4()
		for i := p.Bits(); i < 32; i++ {
			last[i/8] |= 0x80 >> (i % 8)
		}
		out = append(out, netip.AddrFrom4(last))
	}
	return out
}

func masked(list []netip.Prefix) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, p.Masked())
	}
	return out
}

// mayBecome is why a member must not become something else: under the policy in
// force nobody who may change it could reach any other device, as policy set would
// refuse it.
func (n *network) mayBecome(k key.Public, change func(*filter.Device)) error {
	p := n.policyInForce()
	if len(n.book.View().Policy) == 0 {
		return nil
	}
	w := n.everyone()
	if filter.LockedOut(p, w) {
		return nil // already
	}
	for i := range w.Devices {
		if w.Devices[i].Key == k {
			change(&w.Devices[i])
		}
	}
	if filter.LockedOut(p, w) {
		return ipc.Errorf(ipc.CodeLocksOut, "under the policy no owner or admin could then open a connection to any other device: change the policy first")
	}
	return nil
}

// everyone is the network with all its guests: whom a policy is about. Shares
// that nobody has accepted yet are in it by their names.
func (n *network) everyone() *filter.World {
	v, now := n.book.View(), time.Now()
	w := worldOf(v, n.self, now, n.policyInForce())
	for _, s := range guest.All(v) {
		if s.Over(now) != nil {
			continue
		}
		g := filter.Guest{Label: "share " + s.Name, Share: s.SID.String(), Ports: sharePorts(s.Ports), In: true, Out: s.Both, Exit: s.Exit}
		if s.Accepted() {
			g.Label = s.By.Label
		}
		for _, m := range s.Targets(v) {
			g.To = append(g.To, m.Name)
		}
		w.Guests = append(w.Guests, g)
	}
	return w
}
