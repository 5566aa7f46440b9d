package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// outlook is what the checks of how a network gets out into the world judge.
type outlook struct {
	network          string
	report           wire.NetReport
	reached, members int       // of the other devices
	gateways         []Gateway // asked to map a port
	found            []probed
	portal           string   // who noticed one
	removed          []string // devices that were removed and are heard yet
	name             func(key.Public) string
}

// diagNet checks how this network gets out into the world.
func (n *network) diagNet(check func(ipc.Check), reached, members int, found []probed) {
	o := outlook{
		network: n.alias, report: n.on.wire.Net(), reached: reached, members: members, found: found, portal: n.e.portal.by,
		name: n.book.View().NameOf,
	}
	if n.e.mapper != nil {
		o.gateways = n.e.mapper.Report()
	}
	for _, a := range removed(n.book.View(), removedTold) {
		if s, ok := n.on.wire.PeerStatus(a.Device); ok && time.Since(s.LastHeard) < removedHeard {
			o.removed = append(o.removed, a.Name)
		}
	}
	slices.Sort(o.removed)
	for _, c := range o.checks() {
		check(c)
	}
	n.notice(found)
}

// removedHeard is for how long it is said that a removed device was heard.
const removedHeard = time.Hour

// notice has health know who answered for the relays.
func (n *network) notice(found []probed) {
	for _, p := range found {
		m := n.book.View().Member(p.id)
		switch {
		case m == nil || m.Relay == nil:
		case p.took > 0:
			n.on.impostors.note(m.Relay.Pin, nil, time.Now())
		default:
			n.on.impostors.note(m.Relay.Pin, p.err, time.Now())
		}
	}
	n.checkHonest()
}

func (o *outlook) checks() []ipc.Check {
	return []ipc.Check{
		o.udp(),
		o.family(ipc.CheckIPv4, "IPv4", o.report.IPv4, o.report.IPv6),
		o.family(ipc.CheckIPv6, "IPv6", o.report.IPv6, o.report.IPv4),
		o.nat(), o.portMap(), o.hairpin(), o.relays(), o.captive(), o.honest(), o.keptOut(),
	}
}

// idle is a check that does not apply, or of which nothing is known.
func idle(c ipc.Check, why string) ipc.Check {
	c.OK, c.NA, c.Detail, c.Fix = true, true, why, ""
	return c
}

func (o *outlook) udp() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckUDP, OK: true, Text: "UDP", Detail: "datagrams come back",
		Fix: "The network here lets no UDP out; relays carry traffic over TLS meanwhile.",
	}
	switch {
	case o.report.UDP:
	case noUDP(o.report):
		c.OK, c.Detail = false, "relays answer over TLS alone"
	case o.members == 0:
		return idle(c, "there is nobody to try it with")
	default:
		c.OK, c.Detail = false, "no datagram has come back yet"
		c.Fix = "Check that other devices are on, and that this host's firewall lets UDP out."
	}
	return c
}

func (o *outlook) family(code ipc.CheckCode, name string, is, other wire.FamilyReport) ipc.Check {
	c := ipc.Check{
		Code: code, OK: is.Has, Text: name + " of this host", Detail: "no address here",
		Fix: "Connect this host to a network.",
	}
	switch {
	case !is.Has && other.Has:
		return idle(c, c.Detail)
	case len(is.Observed) > 0:
		c.Detail = "others see this device at " + joinAddrs(is.Observed)
	case is.Has:
		c.Detail = "this host has an address"
	}
	return c
}

// hard tells whether a router gives each connection another port, and no
// mapping makes up for it.
func (o *outlook) hard() bool {
	r := &o.report
	return (r.IPv4.NAT == wire.NATHard || r.IPv6.NAT == wire.NATHard) && len(r.Mapped) == 0
}

func (o *outlook) nat() ipc.Check {
	r := &o.report
	c := ipc.Check{
		Code: ipc.CheckNAT, OK: !o.hard(), Text: "Kind of NAT",
		Detail: fmt.Sprintf("IPv4: %s, IPv6: %s", natOf(r.IPv4), natOf(r.IPv6)),
		Fix:    "This router gives each connection another port; where no direct way is found relays carry traffic. UPnP or NAT-PMP, turned on in the router, helps.",
		Args:   map[string]string{"ipv4": r.IPv4.NAT.String(), "ipv6": r.IPv6.NAT.String()},
	}
	if r.IPv4.NAT == wire.NATUnknown && r.IPv6.NAT == wire.NATUnknown {
		return idle(c, c.Detail)
	}
	return c
}

func (o *outlook) portMap() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckPortMap, OK: true, Text: "Port mapping by the router", Detail: "no router was found to ask",
		Fix: "Turn on UPnP or NAT-PMP in the router.",
	}
	var words []string
	odd := false
	for _, g := range o.gateways {
		words = append(words, g.words())
		odd = odd || len(g.Complaints) > 0
	}
	if len(words) > 0 {
		c.Detail = strings.Join(words, "; ")
	}
	switch {
	case len(o.report.Mapped) > 0:
	case odd:
		c.OK, c.Fix = false, "The router's answers make no sense, and Kith does without; an update of the router may mend it."
	case o.hard():
		c.OK = false
	case len(words) == 0 && o.report.IPv4.NAT == wire.NATNone:
		return idle(c, "not needed: no NAT")
	default:
		return idle(c, c.Detail)
	}
	return c
}

func (o *outlook) hairpin() ipc.Check {
	c := ipc.Check{Code: ipc.CheckHairpin, OK: true, Text: "Hairpin through the router", Detail: "works"}
	switch f := o.report.IPv4; {
	case o.report.Hairpin:
		return c
	case f.NAT == wire.NATNone || !f.Has:
		return idle(c, "not needed: no NAT")
	}
	return idle(c, "not seen: two devices behind one router may need another way")
}

func (o *outlook) relays() ipc.Check {
	c := ipc.Check{Code: ipc.CheckRelays, Text: "Answers of the relays", Fix: "Look whether they run, and let UDP and TCP in."}
	of := map[key.Public]probed{}
	for _, p := range o.found {
		of[p.id] = p
	}
	var words []string
	add := func(name string, q wire.RelayReport, p probed, tried bool) {
		c.OK = c.OK || alive(q, p)
		words = append(words, relayWords(name, q, p, tried))
	}
	for _, q := range o.report.Relays {
		p, tried := of[q.ID]
		add(o.name(q.ID), q, p, tried)
		delete(of, q.ID)
	}
	for _, p := range o.found {
		if _, left := of[p.id]; left {
			add(p.name, wire.RelayReport{}, p, true)
		}
	}
	if len(words) == 0 {
		return idle(c, "there are no other relays in "+o.network)
	}
	c.Detail = strings.Join(words, "; ")
	return c
}

// alive tells whether a relay does anything.
func alive(q wire.RelayReport, p probed) bool {
	return q.UDP > 0 || q.TLS > 0 || p.took > 0 && q.Error == ""
}

func (o *outlook) captive() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckCaptive, OK: true, Text: "Sign-in page of the network here", Detail: "none: who answers for the relays is them",
		Fix: "Open a browser and sign in to this network; where an exit node or a resolver in the mesh is in use, kith portal open lets that through.",
	}
	answered, others := 0, 0
	for _, p := range o.found {
		if p.other {
			others++
		}
		if p.took > 0 {
			answered++
		}
	}
	for _, q := range o.report.Relays {
		if alive(q, probed{}) {
			answered++
		}
	}
	switch {
	case o.portal != "":
		c.OK, c.Detail = false, "noticed by "+o.portal
	case len(o.found) == 0:
		return idle(c, "there is no relay to try it with")
	case answered > 0:
	case others > 0:
		c.OK, c.Detail = false, "somebody else answers for the relays"
	default:
		return idle(c, "nobody answers for the relays")
	}
	return c
}

// honest names who does not do what it should.
func (o *outlook) honest() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckHonest, Text: "Word of relays, forwarders and servers", Detail: "kept",
		Fix: "Kith avoids them; an admin should look at those devices.",
	}
	var words []string
	for _, w := range o.report.Complaints {
		who := o.name(w.ID)
		if w.ID.IsZero() {
			who = "the STUN server " + w.Server.String()
		}
		if w.What == wire.OneDrops {
			words = append(words, "one of those on a way drops packets: "+strings.Join(o.names(w.Way), ", then "))
			continue
		}
		words = append(words, who+" "+w.What.String())
	}
	for _, p := range o.found {
		if p.key {
			words = append(words, "who answers for "+p.name+" has another key than it")
		}
	}
	if c.OK = len(words) == 0; !c.OK {
		c.Detail = strings.Join(words, "; ")
	}
	return c
}

func (o *outlook) names(ids []key.Public) (names []string) {
	for _, id := range ids {
		names = append(names, o.name(id))
	}
	return names
}

// dropWords is what a wire did not let in, in the order it is told.
var dropWords = []struct{ kind, words string }{
	{"strangers", "by strangers"}, {"forged", "forged"}, {"replayed", "repeated"}, {"malformed", "malformed"}, {"limited", "beyond the rate"},
	{"frames", "to be passed on wrongly"}, {"quota", "to be passed on beyond the quota"}, {"share", "to be passed on beyond their sender's share"}, {"stun", "answers by STUN that nobody asked for"},
	{"feed", "too many at once"}, {"queue", "too many at once for a session"},
}

// keptOut says what came in and was dropped: there is nothing to mend, but it may
// explain something.
func (o *outlook) keptOut() ipc.Check {
	c := ipc.Check{Code: ipc.CheckKeptOut, OK: true, Text: "Datagrams kept out", Detail: "none"}
	var words []string
	for _, d := range dropWords {
		if n := o.report.Drops[d.kind]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, d.words))
		}
	}
	for _, name := range o.removed {
		words = append(words, name+" calls, which was removed")
	}
	if len(words) > 0 {
		c.Detail = strings.Join(words, ", ")
	}
	return c
}

var natWords = map[wire.NAT]string{
	wire.NATUnknown: "not known yet", wire.NATNone: "none", wire.NATEasy: "one port for all peers (easy)", wire.NATHard: "another port for each peer (symmetric)",
}

func natOf(f wire.FamilyReport) string {
	if !f.Has {
		return "no address"
	}
	return natWords[f.NAT]
}

// words says what a gateway does.
func (g Gateway) words() string {
	s := fmt.Sprintf("%s on %s: ", g.Addr, g.Interface)
	switch {
	case len(g.Mapped) > 0:
		s += g.Method + " gives " + joinAddrs(g.Mapped)
		if slices.ContainsFunc(g.Mapped, func(a netip.AddrPort) bool { return a.Addr().Is4() && a.Addr().IsPrivate() }) {
			s += ", a private address: there is another NAT, or it is none of the router's"
		}
	case g.Why != "":
		s += g.Why
	default:
		s += "asking"
	}
	if len(g.Complaints) > 0 {
		s += " (" + strings.Join(g.Complaints, ", ") + ")"
	}
	return s
}

// relayWords says how far a relay is.
func relayWords(name string, q wire.RelayReport, p probed, tried bool) string {
	var parts []string
	if q.UDP > 0 {
		parts = append(parts, fmt.Sprintf("UDP %.1f ms", ms(q.UDP)))
	}
	switch {
	case q.TLS > 0:
		parts = append(parts, fmt.Sprintf("TLS %.1f ms", ms(q.TLS)))
	case p.took > 0:
		connects := fmt.Sprintf("TLS connects in %.0f ms", ms(p.took))
		if q.UDP == 0 && q.Error != "" {
			connects += ", but " + q.Error
		}
		parts = append(parts, connects)
	case tried && p.err != nil:
		parts = append(parts, "TLS: "+p.err.Error())
	case q.Error != "":
		parts = append(parts, "TLS: "+q.Error)
	}
	if len(parts) == 0 {
		parts = append(parts, "no answer")
	}
	if q.Kept {
		parts = append(parts, "kept")
	}
	return name + " (" + strings.Join(parts, ", ") + ")"
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func joinAddrs(addrs []netip.AddrPort) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
