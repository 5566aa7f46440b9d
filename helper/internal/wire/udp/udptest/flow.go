package udptest

import (
	"net/netip"
	"slices"
	"time"
)

// How long Linux's connection tracking keeps what nobody uses
// (nf_conntrack_udp_timeout, nf_conntrack_udp_timeout_stream; TCP roughly).
const (
	unrepliedLives = 30 * time.Second
	repliedLives   = 120 * time.Second
	synLives       = time.Minute
	tcpLives       = 2 * time.Hour
)

// lifetimes are those of one NAT or firewall.
type lifetimes struct{ unreplied, replied time.Duration }

// flow is packets between two addresses, as a stateful box between them sees
// them.
type flow struct {
	last    time.Time
	replied bool
}

func (f *flow) alive(tcp bool, l lifetimes) bool {
	if f == nil {
		return false
	}
	life := l.unreplied
	switch {
	case tcp && f.replied:
		life = tcpLives
	case tcp:
		life = synLives
	case f.replied:
		life = l.replied
	}
	return time.Since(f.last) < life
}

// tuple names a flow by its inner and its outer address.
type tuple struct {
	tcp           bool
	inner, remote netip.AddrPort
}

// firewall remembers flows that began inside. A nil one lets all in.
type firewall struct {
	flows map[tuple]*flow
	open  []uint16 // TCP ports
}

func newFirewall(on bool, open []uint16) *firewall {
	if !on {
		return nil
	}
	return &firewall{map[tuple]*flow{}, open}
}

func (f *firewall) remember(d Datagram) {
	if f == nil {
		return
	}
	t := tuple{d.TCP(), d.From, d.To}
	old := f.flows[t]
	f.flows[t] = &flow{time.Now(), old.alive(t.tcp, linux) && old.replied}
}

var linux = lifetimes{unrepliedLives, repliedLives}

func (f *firewall) admits(d Datagram) bool {
	if f == nil || d.TCP() && slices.Contains(f.open, d.To.Port()) {
		return true
	}
	t := tuple{d.TCP(), d.To, d.From}
	old := f.flows[t]
	if !old.alive(t.tcp, linux) {
		delete(f.flows, t)
		return false
	}
	old.last, old.replied = time.Now(), true
	return true
}
