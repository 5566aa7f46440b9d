package filter

import (
	"net/netip"
	"slices"
	"strings"
)

// Policy is a policy as written. It is immutable.
type Policy struct {
	Allow []Rule
	Tests []Test
	// Approve grants offers without an admin's word.
	Exits  []Selector
	Routes []RouteGrant
}

// Rule lets From open Ports on To.
type Rule struct {
	From, To []Selector
	Ports    Ports
}

// RouteGrant lets Who offer routes in Prefix.
type RouteGrant struct {
	Prefix netip.Prefix
	Who    []Selector
}

// Test is what must hold of a policy.
type Test struct {
	From, To    Selector
	Allow, Deny []Port
	line, col   int
}

// Port is one entry of a test.
type Port struct {
	Text  string
	Ports Ports
}

// Selector names devices, guests or addresses.
type Selector struct {
	Kind      SelectorKind
	Name      string       // of a device, a tag, a share
	Prefix    netip.Prefix // of addresses
	line, col int
}

// SelectorKind is what a selector goes by.
type SelectorKind uint8

const (
	SelectAll      SelectorKind = iota + 1 // "*"
	SelectDevice                           // "nas"
	SelectTag                              // "tag:server"
	SelectShare                            // "share:ID"
	SelectGuests                           // "guests"
	SelectPrefix                           // "192.168.7.0/24"
	SelectInternet                         // "internet"
)

// Default is the policy where there is none: members reach members, and the
// routes and exit nodes that are approved; guests what is shared with them.
func Default() *Policy {
	all := []Selector{{Kind: SelectAll}}
	return &Policy{Allow: []Rule{{From: all, To: all, Ports: AllPorts}}}
}

// String is the selector as written.
func (s Selector) String() string {
	switch s.Kind {
	case SelectDevice:
		return s.Name
	case SelectTag:
		return "tag:" + s.Name
	case SelectShare:
		return "share:" + s.Name
	case SelectGuests:
		return "guests"
	case SelectPrefix:
		if s.Prefix.IsSingleIP() {
			return s.Prefix.Addr().String()
		}
		return s.Prefix.String()
	case SelectInternet:
		return "internet"
	}
	return "*"
}

// selects tells whether the selector names a subject as who sends (from) or as
// whom it goes to. Outside the overlay "*" names destinations alone: nobody who
// is not in the network opens a connection into it unless a prefix says so.
func (s *Selector) selects(u *subject, from bool) bool {
	switch s.Kind {
	case SelectAll:
		return !u.out || !from
	case SelectDevice:
		return u.name != "" && u.name == s.Name
	case SelectTag:
		return slices.Contains(u.tags, s.Name)
	case SelectShare:
		return u.share != "" && sameShare(u.share, s.Name)
	case SelectGuests:
		return u.share != ""
	case SelectPrefix:
		return slices.ContainsFunc(u.addrs, s.Prefix.Contains)
	case SelectInternet:
		return u.out && !from && Public(u.addrs[0])
	}
	return false
}

// sameShare: a share may be named by its ID's beginning, of 8 digits or more.
func sameShare(id, name string) bool { return len(name) >= 8 && strings.HasPrefix(id, name) }

func anySelects(ss []Selector, u *subject, from bool) bool {
	for i := range ss {
		if ss[i].selects(u, from) {
			return true
		}
	}
	return false
}

var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0/96"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/9"), netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("64:ff9b:1::/48"), // what translates to IPv4 of local use (RFC 8215)
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo4 = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// within4 is the IPv4 address that an IPv6 one leads to by a translator or tunnel
// of whoever is on the way, else a itself.
func within4(a netip.Addr) netip.Addr {
	switch b := a.As16(); {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixTo4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:]))
	}
	return a
}

// unroutable is what no other device is asked to pass on.
var unroutable = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0/96"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// anyPublic stands for the internet (RFC 5737).
var anyPublic = netip.MustParseAddr("198.51.100.1")

// Public tells whether an address is the internet's (RFC 6890), not a private
// network's.
func Public(a netip.Addr) bool { return !within(notPublic, within4(a)) }

// opens is the naive reading: what the policy lets from open on to.
func (p *Policy) opens(from, to *subject) (sum Ports) {
	for i := range p.Allow {
		if r := &p.Allow[i]; anySelects(r.From, from, true) && anySelects(r.To, to, false) {
			sum = sum.union(r.Ports)
		}
	}
	return sum
}

// Internet tells whether the policy lets a device send anything to the internet.
func (p *Policy) Internet(d Device) bool { return p.reachesOut(d.subject()) }

// GuestInternet is Internet for those who come by a share.
func (p *Policy) GuestInternet(share string) bool { return p.reachesOut(subject{share: share}) }

// GuestPorts is what the policy lets those who come by a share open on a device, with
// the addresses that one of them may have.
func (p *Policy) GuestPorts(share string, addrs []netip.Addr, d Device) Ports {
	from, to := subject{share: share, addrs: addrs}, d.subject()
	return p.opens(&from, &to)
}

func (p *Policy) reachesOut(u subject) bool {
	out := outside(anyPublic)
	return !p.opens(&u, &out).Empty()
}

// ApprovesExit tells whether the policy makes a device's offer good to be an exit
// node.
func (p *Policy) ApprovesExit(d Device) bool {
	u := d.subject()
	return anySelects(p.Exits, &u, true)
}

// ApprovesRoute tells whether the policy makes a device's offer of a route good.
func (p *Policy) ApprovesRoute(d Device, route netip.Prefix) bool {
	u := d.subject()
	for i := range p.Routes {
		g := &p.Routes[i]
		if g.Prefix.Bits() <= route.Bits() && g.Prefix.Contains(route.Addr()) && anySelects(g.Who, &u, true) {
			return true
		}
	}
	return false
}

// Closed is the policy of a device that can read none: nothing comes in but
// echoes, and what it opens itself passes.
func Closed(self string) *Policy {
	all := []Selector{{Kind: SelectAll}}
	return &Policy{Allow: []Rule{
		{From: all, To: all, Ports: Echo},
		{From: []Selector{{Kind: SelectDevice, Name: self}}, To: all, Ports: AllPorts},
	}}
}
