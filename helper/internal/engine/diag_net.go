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
func (n *network) diagNet(check func(ipc.Check), reached, members int, probes []probed) {
	o := outlook{
		network: n.alias, report: n.on.wire.Net(), reached: reached, members: members, found: probes, portal: n.e.portal.by,
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
	n.notice(probes)
}

// removedHeard is for how long it is said that a removed device was heard.
const removedHeard = time.Hour

// notice has health know who answered for the relays.
func (n *network) notice(probes []probed) {
	for _, p := range probes {
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
func idle(c ipc.Check, why ...ipc.Finding) ipc.Check { return details(moot(c), "; ", why...) }

func moot(c ipc.Check) ipc.Check {
	c.OK, c.NA, c.Fix = true, true, ""
	return c
}

func (o *outlook) udp() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckUDP, OK: true, Text: "UDP",
		Fix: "The network here lets no UDP out; relays carry traffic over TLS meanwhile.",
	}
	switch {
	case o.report.UDP:
		return details(c, "", found(ipc.FoundUDPBack, "datagrams come back"))
	case noUDP(o.report):
		c.OK = false
		return details(c, "", found(ipc.FoundTLSOnly, "relays answer over TLS alone"))
	case o.members == 0:
		return idle(c, found(ipc.FoundNobody, "there is nobody to try it with"))
	}
	c.OK, c.Fix = false, "Check that other devices are on, and that this host's firewall lets UDP out."
	return details(c, "", found(ipc.FoundNotYet, "no datagram has come back yet"))
}

func (o *outlook) family(code ipc.CheckCode, name string, is, other wire.FamilyReport) ipc.Check {
	c := ipc.Check{
		Code: code, OK: is.Has, Text: name + " of this host",
		Fix: "Connect this host to a network.",
	}
	none := found(ipc.FoundNoAddress, "no address here")
	switch at := joinAddrs(is.Observed); {
	case !is.Has && other.Has:
		return idle(c, none)
	case at != "":
		return details(c, "", found(ipc.FoundSeenAt, "others see this device at "+at, "at", at))
	case is.Has:
		return details(c, "", found(ipc.FoundAddress, "this host has an address"))
	}
	return details(c, "", none)
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
		Fix:  "This router gives each connection another port; where no direct way is found relays carry traffic. UPnP or NAT-PMP, turned on in the router, helps.",
		Args: map[string]string{"ipv4": r.IPv4.NAT.String(), "ipv6": r.IPv6.NAT.String()},
	}
	kinds := []ipc.Finding{natOf("IPv4", r.IPv4), natOf("IPv6", r.IPv6)}
	if r.IPv4.NAT == wire.NATUnknown && r.IPv6.NAT == wire.NATUnknown {
		c = moot(c)
	}
	return details(c, ", ", kinds...)
}

func (o *outlook) portMap() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckPortMap, OK: true, Text: "Port mapping by the router",
		Fix: "Turn on UPnP or NAT-PMP in the router.",
	}
	var words []ipc.Finding
	odd := false
	for _, g := range o.gateways {
		words = append(words, g.words())
		odd = odd || len(g.Complaints) > 0
	}
	if len(words) == 0 {
		words = append(words, found(ipc.FoundNoRouter, "no router was found to ask"))
	}
	switch {
	case len(o.report.Mapped) > 0:
	case odd:
		c.OK, c.Fix = false, "The router's answers make no sense, and Kith does without; an update of the router may mend it."
	case o.hard():
		c.OK = false
	case len(o.gateways) == 0 && o.report.IPv4.NAT == wire.NATNone:
		return idle(c, notNeeded())
	default:
		return idle(c, words...)
	}
	return details(c, "; ", words...)
}

func (o *outlook) hairpin() ipc.Check {
	c := ipc.Check{Code: ipc.CheckHairpin, OK: true, Text: "Hairpin through the router"}
	switch f := o.report.IPv4; {
	case o.report.Hairpin:
		return details(c, "", found(ipc.FoundWorks, "works"))
	case f.NAT == wire.NATNone || !f.Has:
		return idle(c, notNeeded())
	}
	return idle(c, found(ipc.FoundNoHairpin, "not seen: two devices behind one router may need another way"))
}

func notNeeded() ipc.Finding { return found(ipc.FoundNotNeeded, "not needed: no NAT") }

func (o *outlook) relays() ipc.Check {
	c := ipc.Check{Code: ipc.CheckRelays, Text: "Answers of the relays", Fix: "Look whether they run, and let UDP and TCP in."}
	of := map[key.Public]probed{}
	for _, p := range o.found {
		of[p.id] = p
	}
	var words []ipc.Finding
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
		return idle(c, found(ipc.FoundNoRelays, "there are no other relays in "+o.network, "network", o.network))
	}
	return details(c, "; ", words...)
}

// alive tells whether a relay does anything.
func alive(q wire.RelayReport, p probed) bool {
	return q.UDP > 0 || q.TLS > 0 || p.took > 0 && q.Error == ""
}

func (o *outlook) captive() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckCaptive, OK: true, Text: "Sign-in page of the network here",
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
		c.OK = false
		return details(c, "", found(ipc.FoundPortal, "noticed by "+o.portal, "by", o.portal))
	case len(o.found) == 0:
		return idle(c, found(ipc.FoundNoRelay, "there is no relay to try it with"))
	case answered > 0:
		return details(c, "", found(ipc.FoundNoPortal, "none: who answers for the relays is them"))
	case others > 0:
		c.OK = false
		return details(c, "", found(ipc.FoundOthers, "somebody else answers for the relays"))
	}
	return idle(c, found(ipc.FoundNoAnswer, "nobody answers for the relays"))
}

// honest names who does not do what it should.
func (o *outlook) honest() ipc.Check {
	c := ipc.Check{
		Code: ipc.CheckHonest, Text: "Word of relays, forwarders and servers",
		Fix: "Kith avoids them; an admin should look at those devices.",
	}
	var words []ipc.Finding
	for _, w := range o.report.Complaints {
		who := o.name(w.ID)
		if w.ID.IsZero() {
			who = "the STUN server " + w.Server.String()
		}
		if w.What == wire.OneDrops {
			names := strings.Join(o.names(w.Way), ", then ")
			words = append(words, found(ipc.FoundDropper, "one of those on a way drops packets: "+names, "names", strings.Join(o.names(w.Way), " → ")))
			continue
		}
		words = append(words, found("", who+" "+w.What.String()))
	}
	for _, p := range o.found {
		if p.key {
			words = append(words, found(ipc.FoundOtherKey, "who answers for "+p.name+" has another key than it", "relay", p.name))
		}
	}
	if c.OK = len(words) == 0; c.OK {
		words = append(words, found(ipc.FoundKept, "kept"))
	}
	return details(c, "; ", words...)
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
	c := ipc.Check{Code: ipc.CheckKeptOut, OK: true, Text: "Datagrams kept out"}
	var words []ipc.Finding
	for _, d := range dropWords {
		if n := o.report.Drops[d.kind]; n > 0 {
			words = append(words, found(ipc.FoundDropped, fmt.Sprintf("%d %s", n, d.words), "n", fmt.Sprint(n), "case", d.kind))
		}
	}
	for _, name := range o.removed {
		words = append(words, found(ipc.FoundCalls, name+" calls, which was removed", "device", name))
	}
	if len(words) == 0 {
		words = append(words, found(ipc.FoundNone, "none"))
	}
	return details(c, ", ", words...)
}

var natWords = map[wire.NAT]string{
	wire.NATUnknown: "not known yet", wire.NATNone: "none", wire.NATEasy: "one port for all peers (easy)", wire.NATHard: "another port for each peer (symmetric)",
}

var natCodes = map[wire.NAT]ipc.FindingCode{
	wire.NATUnknown: ipc.FoundNATUnknown, wire.NATNone: ipc.FoundNATNone, wire.NATEasy: ipc.FoundNATEasy, wire.NATHard: ipc.FoundNATHard,
}

// natOf says how a router treats a family of addresses.
func natOf(family string, f wire.FamilyReport) ipc.Finding {
	code, words := natCodes[f.NAT], natWords[f.NAT]
	if !f.Has {
		code, words = ipc.FoundNATNoAddress, "no address"
	}
	return found(code, family+": "+words, "family", family)
}

// words says what a gateway does.
func (g Gateway) words() ipc.Finding {
	var code ipc.FindingCode
	s := fmt.Sprintf("%s on %s: ", g.Addr, g.Interface)
	switch {
	case len(g.Mapped) > 0:
		code = ipc.FoundGives
		s += g.Method + " gives " + joinAddrs(g.Mapped)
		if slices.ContainsFunc(g.Mapped, func(a netip.AddrPort) bool { return a.Addr().Is4() && a.Addr().IsPrivate() }) {
			code = ipc.FoundGivesPrivate
			s += ", a private address: there is another NAT, or it is none of the router's"
		}
	case g.Why != "":
		s += g.Why
	default:
		code = ipc.FoundAsking
		s += "asking"
	}
	if len(g.Complaints) > 0 {
		code = ""
		s += " (" + strings.Join(g.Complaints, ", ") + ")"
	}
	return found(code, s, "router", g.Addr.String(), "interface", g.Interface, "method", g.Method, "at", joinAddrs(g.Mapped))
}

// relayWords says how far a relay is.
func relayWords(name string, q wire.RelayReport, p probed, tried bool) ipc.Finding {
	var code ipc.FindingCode
	var parts []string
	udp, took := fmt.Sprintf("%.1f", ms(q.UDP)), fmt.Sprintf("%.0f", ms(p.took))
	if q.UDP > 0 {
		parts = append(parts, "UDP "+udp+" ms")
	}
	switch {
	case q.TLS > 0:
		parts = append(parts, fmt.Sprintf("TLS %.1f ms", ms(q.TLS)))
	case p.took > 0:
		connects := "TLS connects in " + took + " ms"
		switch {
		case q.UDP > 0:
			code = ipc.FoundUDPConnects
		case q.Error != "":
			connects += ", but " + q.Error
		default:
			code = ipc.FoundConnects
		}
		parts = append(parts, connects)
	case tried && p.err != nil:
		parts = append(parts, "TLS: "+p.err.Error())
	case q.Error != "":
		parts = append(parts, "TLS: "+q.Error)
	}
	if len(parts) == 0 {
		code = ipc.FoundSilent
		parts = append(parts, "no answer")
	}
	if q.Kept {
		code = ""
		parts = append(parts, "kept")
	}
	return found(code, name+" ("+strings.Join(parts, ", ")+")", "relay", name, "udp", udp, "ms", took)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func joinAddrs(addrs []netip.AddrPort) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
