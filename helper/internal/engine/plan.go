package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"

	"kith.internal/dns"
	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/wire"
)

// mtu of a TUN: what plain wireguard-go takes; fits a path of 1500 over IPv6.
const mtu = 1420

// removedTold is how many removed devices may still be told of it.
const removedTold = 64

// input is all that decides what one network needs of the host and its peers.
type input struct {
	view     *roster.View
	self     key.Public
	use4     bool // this device's IPv4 overlay address is in use
	use6     bool
	now      time.Time
	presence func(key.Public) (p replica.Presence, ok bool)
	relays   func(*roster.Member) bool     // it serves as a relay; nil: none does
	relay    bool                          // this device does
	exit     key.Public                    // internet traffic goes there; zero: nowhere
	behind   map[key.Public][]netip.Prefix // accepted subnets, by who leads there
	opening  key.Public                    // who asks nearby holds its key; zero: the network is not open
}

// decision is what follows. It is made anew at each change and applied by
// idempotent calls.
type decision struct {
	member  bool // false: this device was removed, or left
	wire    []wire.Peer
	tunnel  []tunnel.Peer
	members []key.Public // without self
	removed []key.Public // may be told that they are
	router  router.Config
	guests  []filter.Guest // who may come to this device
	mapped  []guestAddrs   // likewise
}

// decide is pure.
func decide(in input) decision {
	var d decision
	self := in.view.Member(in.self)
	if self == nil || expired(self, in.now) {
		return d
	}
	d.member = true
	v4 := in.use4 && self.IPv4.IsValid()
	d.router = router.Config{MTU: mtu, Up: true}
	if in.use6 {
		d.router.Addrs = append(d.router.Addrs, netip.PrefixFrom(self.IPv6, 128))
		d.router.Routes = append(d.router.Routes, roster.Prefix6(in.view.Network))
	}
	if v4 {
		d.router.Addrs = append(d.router.Addrs, netip.PrefixFrom(self.IPv4, 32))
		d.router.Routes = append(d.router.Routes, roster.Range4(in.view.Network))
	}
	most := len(in.view.Members)
	d.members, d.wire, d.tunnel = make([]key.Public, 0, most), make([]wire.Peer, 0, most), make([]tunnel.Peer, 0, most)
	for _, m := range in.view.Members {
		if expired(m, in.now) {
			continue
		}
		if m.Key == in.self {
			continue
		}
		d.members = append(d.members, m.Key)
		w := wire.Peer{ID: m.Key, Control: m.Control}
		if in.relays != nil && in.relays(m) {
			w.Relay = wireRelay(m.Relay)
		}
		d.wire = append(d.wire, w)
		t := tunnel.Peer{ID: m.Key, WG: m.WG, Addrs: []netip.Addr{m.IPv6}} // kept by the tunnel, one by one
		if m.IPv4.IsValid() {
			t.Addrs = append(t.Addrs, m.IPv4)
		}
		t.Prefixes = in.behind[m.Key]
		if m.Key == in.exit {
			t.Prefixes = slices.Concat(t.Prefixes, internet(in.view.Network))
			t.Hold = true
		}
		d.tunnel = append(d.tunnel, t)
	}
	d.wire = append(d.wire, joiners(in)...)
	for _, a := range removed(in.view, removedTold) {
		if a.Device != in.self {
			d.removed = append(d.removed, a.Device)
			d.wire = append(d.wire, wire.Peer{ID: a.Device, Control: a.Control, Removed: true})
		}
	}
	return d
}

// named is the members by name, and the ranges for reverse names; none where
// this device is no member.
func named(in input) (hosts []dns.Host, ranges []netip.Prefix) {
	self := in.view.Member(in.self)
	if self == nil || expired(self, in.now) {
		return nil, nil
	}
	v4 := in.use4 && self.IPv4.IsValid()
	if in.use6 {
		ranges = append(ranges, roster.Prefix6(in.view.Network))
	}
	if v4 {
		ranges = append(ranges, roster.Range4(in.view.Network))
	}
	hosts = make([]dns.Host, 0, len(in.view.Members))
	for _, m := range in.view.Members {
		if expired(m, in.now) {
			continue
		}
		h := dns.Host{Name: m.Name}
		p, _ := in.presence(m.Key)
		if in.use6 && (!p.No6 || m.Key == in.self) {
			h.V6 = m.IPv6
		}
		if v4 && (!p.No4 || m.Key == in.self) {
			h.V4 = m.IPv4
		}
		hosts = append(hosts, h)
	}
	return hosts, ranges
}

// wireRelay is an approval as the wire knows it.
func wireRelay(r *roster.RelayInfo) *wire.Relay {
	return &wire.Relay{Addrs: r.Addrs, Host: r.Host, Pin: r.Pin}
}

// joiners is the invites whose holders may be heard: those that this device
// answers for and, where it relays, all that are good, each towards its sponsor
// alone.
func joiners(in input) []wire.Peer {
	var out []wire.Peer
	add := func(i *roster.InviteState, only []key.Public) {
		if c, err := i.Key.Exchange(); err == nil {
			out = append(out, wire.Peer{ID: i.Key, Control: c, Shared: true, Only: only})
		}
	}
	own := map[roster.ID]bool{}
	for _, i := range sponsored(in.view, in.self) {
		own[i.ID] = true
		add(i, joinsAt(i, in))
	}
	if c, err := in.opening.Exchange(); err == nil && !in.opening.IsZero() {
		out = append(out, wire.Peer{ID: in.opening, Control: c, Shared: true})
	}
	if !in.relay {
		return out
	}
	for _, i := range in.view.Invites {
		if !own[i.ID] && !i.Revoked && !in.now.After(i.Expires.Add(grace)) {
			add(i, joinsAt(i, in))
		}
	}
	return out
}

// joinsAt is the member whom an invite's holder may reach through this device,
// none or one: its sponsor, or, where any may be it, who made it.
func joinsAt(i *roster.InviteState, in input) []key.Public {
	at := i.Sponsor
	if i.Any {
		at = i.Author
	}
	if !in.relay || at == in.self || in.view.Member(at) == nil {
		return nil
	}
	return []key.Public{at}
}

// grace is how far clocks may be apart where an expiry is judged.
const grace = 10 * time.Minute

func expired(m *roster.Member, now time.Time) bool {
	return !m.Expires.IsZero() && now.After(m.Expires.Add(grace))
}

// sponsored is the invites that this device answers for, ended ones among them:
// who comes with one of those is told so.
func sponsored(v *roster.View, self key.Public) []*roster.InviteState {
	caps := v.Caps(self)
	if caps&(roster.CapAdmit|roster.CapSponsor) == 0 {
		return nil
	}
	var out []*roster.InviteState
	for _, i := range v.Invites {
		if i.Any || i.Sponsor == self {
			out = append(out, i)
		}
	}
	return out
}

// removed is the admissions of devices that were revoked, as far as their keys
// are known.
func removed(v *roster.View, most int) []*roster.Admit {
	latest := map[key.Public]*roster.Admit{}
	for r := range v.Wanted() {
		if b, ok := r.Body.(*roster.Revoke); ok && !b.Key.IsZero() && v.Member(b.Key) == nil {
			latest[b.Key] = nil
		}
	}
	if len(latest) == 0 {
		return nil
	}
	for r := range v.Wanted() {
		if a, ok := r.Body.(*roster.Admit); ok {
			if old, told := latest[a.Device]; told && (old == nil || old.N < a.N) {
				latest[a.Device] = a
			}
		}
	}
	var out []*roster.Admit
	for _, a := range latest {
		if a != nil {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *roster.Admit) int { return bytes.Compare(a.Device[:], b.Device[:]) })
	return out[:min(len(out), most)]
}

// lanSecret is what the tags of a LAN announcement are made of for an invite:
// its public key is known to the members and to whoever holds the link.
func lanSecret(invite key.Public) [32]byte {
	h := hmac.New(sha256.New, invite[:])
	h.Write([]byte("kith lan tag of an invite 1"))
	return [32]byte(h.Sum(nil))
}

// shortID is how a device names itself inside a sealed announcement.
func shortID(k key.Public) [8]byte {
	h := sha256.Sum256(k[:])
	return [8]byte(h[:8])
}
