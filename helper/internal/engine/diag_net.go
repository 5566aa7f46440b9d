package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/relay"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// Bounds on the probe of our own relays; no third party is asked anything.
const (
	probeMost   = 4
	probeWithin = 5 * time.Second
)

// probed is what came of a TLS connection to a relay.
type probed struct {
	name  string
	id    key.Public
	took  time.Duration
	err   error
	other bool // who answered is not the relay: its key is another's, or it speaks no TLS
}

// errReached ends a probe: the relay's key has been seen, no link is wanted.
var errReached = errors.New("reached")

// probeRelays connects to the relays of the networks that are up, or of the one
// named, all at once.
func (e *Engine) probeRelays(ctx context.Context, name string) map[roster.ID][]probed {
	type target struct {
		network roster.ID
		relay   *roster.Member
	}
	targets, err := call(ctx, e, func() (out []target, _ error) {
		for _, n := range e.nets {
			if n.on == nil || name != "" && name != n.alias && name != n.name() {
				continue
			}
			relays := n.relaysByUse()
			for _, m := range relays[:min(len(relays), probeMost)] {
				out = append(out, target{n.id, m})
			}
		}
		return out, nil
	})
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	found := make([]probed, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { found[i] = e.probeRelay(ctx, t.relay) })
	}
	wg.Wait()
	out := map[roster.ID][]probed{}
	for i, t := range targets {
		out[t.network] = append(out[t.network], found[i])
	}
	return out
}

func (e *Engine) probeRelay(ctx context.Context, m *roster.Member) probed {
	p := probed{name: m.Name, id: m.Key}
	began := time.Now()
	l, err := e.dialLink(ctx, *wireRelay(m.Relay), func([]byte) ([]byte, error) {
		p.took = time.Since(began)
		return nil, errReached
	})
	if err == nil {
		l.Close()
	}
	if p.took > 0 {
		return p
	}
	p.err = err
	var failed *relay.DialError
	if errors.As(err, &failed) {
		if f := failed.Furthest(); f != nil {
			p.err = f
			p.other = f.Step == relay.StepKey || f.Step == relay.StepTLS
		}
	}
	return p
}

// diagNet checks how this network gets out into the world.
func (n *network) diagNet(check func(ipc.Check), reached, members int, found []probed) {
	r := n.on.wire.Net()
	udp := ipc.Check{
		Code: ipc.CheckUDP, OK: !noUDP(r) && (r.UDP || reached == 0 && members == 0), Text: "UDP passes", Detail: "datagrams come back",
		Fix: "The network here lets no UDP out; relays carry traffic over TLS meanwhile.",
	}
	switch {
	case r.UDP:
	case members == 0:
		udp.Detail = "there is nobody to try it with"
	case !noUDP(r):
		udp.Detail, udp.Fix = "no datagram has come back yet", "Check that other devices are on, and that this host's firewall lets UDP out."
	default:
		udp.Detail = "relays answer over TLS alone"
	}
	check(udp)
	for _, f := range []struct {
		code ipc.CheckCode
		name string
		is   wire.FamilyReport
		has  bool // the other one
	}{{ipc.CheckIPv4, "IPv4", r.IPv4, r.IPv6.Has}, {ipc.CheckIPv6, "IPv6", r.IPv6, r.IPv4.Has}} {
		detail := "no address here"
		if f.is.Has {
			detail = "this host has an address"
		}
		if len(f.is.Observed) > 0 {
			detail = "others see this device at " + joinAddrs(f.is.Observed)
		}
		check(ipc.Check{
			Code: f.code, OK: f.is.Has || f.has, Text: f.name + " is there", Detail: detail,
			Fix: "Connect this host to a network.",
		})
	}
	n.diagNAT(check, r)
	n.diagRelays(check, r, found)
	n.diagHonest(check, r)
}

func (n *network) diagNAT(check func(ipc.Check), r wire.NetReport) {
	hard := r.IPv4.NAT == wire.NATHard || r.IPv6.NAT == wire.NATHard
	check(ipc.Check{
		Code: ipc.CheckNAT, OK: !hard || len(r.Mapped) > 0, Text: "The NAT lets devices meet",
		Detail: fmt.Sprintf("IPv4: %s, IPv6: %s", natOf(r.IPv4), natOf(r.IPv6)),
		Fix:    "This router gives each connection another port; where no direct way is found relays carry traffic. UPnP or NAT-PMP, turned on in the router, helps.",
		Args:   map[string]string{"ipv4": r.IPv4.NAT.String(), "ipv6": r.IPv6.NAT.String()},
	})
	pm := ipc.Check{
		Code: ipc.CheckPortMap, OK: len(r.Mapped) > 0 || !hard, Text: "Port mapping by the router", Detail: "no router was found to ask",
		Fix: "Turn on UPnP or NAT-PMP in the router.",
	}
	if n.e.mapper != nil {
		var words []string
		for _, g := range n.e.mapper.Report() {
			words = append(words, g.words())
		}
		if len(words) > 0 {
			pm.Detail = strings.Join(words, "; ")
		}
	}
	check(pm)
	hairpin := "not seen: two devices behind one router may need another way"
	switch {
	case r.Hairpin:
		hairpin = "works"
	case r.IPv4.NAT == wire.NATNone || !r.IPv4.Has:
		hairpin = "not needed: no NAT"
	}
	check(ipc.Check{Code: ipc.CheckHairpin, OK: true, Text: "Hairpin through the router", Detail: hairpin})
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

func (n *network) diagRelays(check func(ipc.Check), r wire.NetReport, found []probed) {
	c := ipc.Check{Code: ipc.CheckRelays, OK: true, Text: "Relays answer", Detail: "there are no other relays in " + n.alias}
	portal := ipc.Check{
		Code: ipc.CheckCaptive, OK: true, Text: "No sign-in page is in the way", Detail: "there is no relay to try it with",
		Fix: "Open a browser and sign in to this network.",
	}
	var words []string
	answered, others := 0, 0
	of := map[key.Public]probed{}
	for _, p := range found {
		of[p.id] = p
		if p.other {
			others++
		}
	}
	for _, q := range r.Relays {
		p, tried := of[q.ID]
		if q.UDP > 0 || q.TLS > 0 || p.took > 0 {
			answered++
		}
		words = append(words, relayWords(n.book.View().NameOf(q.ID), q, p, tried))
		delete(of, q.ID)
	}
	for _, p := range found {
		if _, left := of[p.id]; left {
			if p.took > 0 {
				answered++
			}
			words = append(words, relayWords(p.name, wire.RelayReport{}, p, true))
		}
	}
	if len(words) > 0 {
		c.OK, c.Detail = answered > 0, strings.Join(words, "; ")
		c.Fix = "Look whether they run, and let UDP and TCP in."
	}
	check(c)
	if len(found) > 0 {
		portal.Detail = "who answers for the relays is them"
		switch {
		case others > 0 && answered == 0:
			portal.OK, portal.Detail = false, "somebody else answers for the relays"
		case answered == 0:
			portal.Detail = "nobody answers for the relays"
		}
	}
	check(portal)
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
		parts = append(parts, fmt.Sprintf("TLS connects in %.0f ms", ms(p.took)))
	case tried && p.err != nil:
		parts = append(parts, "TLS: "+p.err.Error())
	case q.Error != "":
		parts = append(parts, "TLS: "+q.Error)
	}
	if q.Kept {
		parts = append(parts, "kept")
	}
	return name + " (" + strings.Join(parts, ", ") + ")"
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (n *network) diagHonest(check func(ipc.Check), r wire.NetReport) {
	c := ipc.Check{
		Code: ipc.CheckHonest, OK: len(r.Complaints) == 0, Text: "Relays and forwarders keep their word",
		Fix: "Kith avoids them; an admin should look at those devices.",
	}
	var words []string
	for _, w := range r.Complaints {
		who := n.book.View().NameOf(w.ID)
		if w.ID.IsZero() {
			who = "the STUN server " + w.Server.String()
		}
		words = append(words, who+" "+w.What.String())
	}
	c.Detail = strings.Join(words, "; ")
	check(c)
}

func joinAddrs(addrs []netip.AddrPort) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
