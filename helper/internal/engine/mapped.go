package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/siit"
)

// fours is the IPv4 addresses that stand here for devices of which the tunnel
// knows an IPv6 address: they stay the same as long as they are free.
type fours map[key.Public]netip.Addr

// picksMost bounds the search for one that is free.
const picksMost = 64

// pick is the address for k: the one it has, else wish, else one out of space by
// the key's hash; invalid where none of them is free.
func (f fours) pick(k key.Public, wish netip.Addr, space netip.Prefix, free func(netip.Addr) bool) netip.Addr {
	if a, ok := f[k]; ok && free(a) {
		return a
	}
	delete(f, k)
	for i := range picksMost {
		a := wish
		if i > 0 || !wish.IsValid() {
			a = hashed4(k, i, space)
		}
		if free(a) {
			f[k] = a
			return a
		}
	}
	return netip.Addr{}
}

func (f fours) has(a netip.Addr) bool {
	for _, b := range f {
		if a == b {
			return true
		}
	}
	return false
}

// hashed4 is the try-th address of an IPv4 prefix for a key.
func hashed4(k key.Public, try int, space netip.Prefix) netip.Addr {
	h := sha256.Sum256(append([]byte{'4', byte(try)}, k[:]...))
	a := space.Masked().Addr().As4()
	mask := uint32(1)<<(32-space.Bits()) - 1
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|binary.BigEndian.Uint32(h[:])&mask)
	return netip.AddrFrom4(a)
}

// guest4 is the address of the network's IPv4 range that a guest has on this
// device alone, invalid where this device has no IPv4 there.
func (n *network) guest4(k key.Public) netip.Addr {
	me := n.me()
	if n.on == nil || !n.on.use4 || me == nil || !me.IPv4.IsValid() {
		return netip.Addr{}
	}
	v, space := n.book.View(), roster.Range4(n.id)
	last := n.insideFor(me.IPv4)
	return n.on.guest4s.pick(k, netip.Addr{}, space, func(a netip.Addr) bool {
		own, ok := n.on.guest4s[k]
		return space.Contains(a) && a != space.Addr() && a != last && v.ByAddr(a) == nil && (ok && own == a || !n.on.guest4s.has(a))
	})
}

// map4 has the guests that may come reach this device by IPv4, too.
func (on *live) map4(guests []guestAddrs) {
	wanted := map[key.Public]bool{}
	var pairs []siit.Pair
	for _, g := range guests {
		if wanted[g.key] = true; g.four.IsValid() {
			pairs = append(pairs, siit.Pair{Four: g.four, Six: g.six})
		}
	}
	for k := range on.guest4s {
		if !wanted[k] {
			delete(on.guest4s, k)
		}
	}
	if on.siit == nil {
		return
	}
	if len(pairs) == 0 {
		on.siit.Set(nil)
		return
	}
	on.siit.Set(siit.NewTable(pairs))
}

// guestAddrs is a guest's address, and what stands for it here.
type guestAddrs struct {
	key       key.Public
	six, four netip.Addr
}

func (g guestAddrs) all() []netip.Addr {
	if g.four.IsValid() {
		return []netip.Addr{g.six, g.four}
	}
	return []netip.Addr{g.six}
}

// cgnat is where overlays' IPv4 addresses are (RFC 6598).
var (
	cgnat    = netip.MustParsePrefix("100.64.0.0/10")
	notCGNAT = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/16"), netip.MustParsePrefix("100.100.0.0/16")}
)

// free4 tells whether nobody on this host has an IPv4 address, nor a range around
// it, but for this stay itself.
func (s *stay) free4(a netip.Addr) bool {
	p, e := netip.PrefixFrom(a, 32), s.n.e
	if !cgnat.Contains(a) || slices.ContainsFunc(notCGNAT, func(p netip.Prefix) bool { return p.Contains(a) }) || a.As4()[3] == 0 || a.As4()[3] == 255 {
		return false
	}
	for _, n := range e.nets {
		if roster.Range4(n.id).Contains(a) {
			return false
		}
	}
	for _, o := range e.stays() {
		if o != s && o.four.has(a) {
			return false
		}
	}
	own := e.ownInterfaces()
	_, taken := router.Conflict4(p, e.host.Interfaces, e.routes, func(i int) bool { return own[i] || i == s.index })
	return !taken
}

// pick4s chooses this device's IPv4 address in the friend's network and those of
// what is shared: the friend's own choice where that is free here. Where a
// firewall of the host drops such addresses, there are none.
func (s *stay) pick4s(targets []guest.Target) {
	wanted := map[key.Public]bool{s.self: true}
	any4 := false
	pick := func(k key.Public, wish netip.Addr) netip.Addr {
		return s.four.pick(k, wish, cgnat, func(a netip.Addr) bool {
			own, ok := s.four[k]
			return s.free4(a) && (ok && own == a || !s.four.has(a))
		})
	}
	for _, t := range targets {
		if t.IP4.IsValid() {
			wanted[t.Key], any4 = true, true
			pick(t.Key, t.IP4)
		}
	}
	for k := range s.four {
		if !wanted[k] {
			delete(s.four, k)
		}
	}
	if any4 {
		if a := pick(s.self, netip.Addr{}); a.IsValid() {
			rule, blocked, err := s.n.e.cfg.Host.Blocked4(netip.PrefixFrom(a, 32), s.ifname)
			if err != nil {
				s.log.Debug("read the firewall's rules", "err", err)
			}
			if !blocked {
				return
			}
			s.log.Info("no IPv4 to what is shared: the firewall drops it", "rule", rule)
		}
	}
	clear(s.four)
}

// map4 has the host reach what is shared by IPv4.
func (s *stay) map4(targets []guest.Target) {
	self, ok := s.four[s.self]
	if !ok {
		s.siit.Set(nil)
		return
	}
	pairs := []siit.Pair{{Four: self, Six: s.addr}}
	for _, t := range targets {
		if a, ok := s.four[t.Key]; ok {
			pairs = append(pairs, siit.Pair{Four: a, Six: siit.Embed(t.IP4)})
		}
	}
	s.siit.Set(siit.NewTable(pairs))
}

// addrsOf is by which addresses this host reaches what is shared.
func (s *stay) addrsOf(t guest.Target) []netip.Addr {
	out := []netip.Addr{t.IP}
	if a, ok := s.four[t.Key]; ok {
		out = append(out, a)
	}
	return out
}

// ranges is what leads into the stay's TUN and nowhere else.
func (s *stay) ranges() []netip.Prefix {
	out := []netip.Prefix{roster.Prefix6(s.id)}
	for _, a := range slices.SortedFunc(maps.Values(s.four), netip.Addr.Compare) {
		out = append(out, netip.PrefixFrom(a, 32))
	}
	return out
}
