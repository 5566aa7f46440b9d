package usernat

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.internal/helper/internal/osnet/nat"
)

// never is what no offer opens: this host itself, and groups.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("::ffff:0:0/96"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// policy is what may be reached. The host's own addresses count as they are now.
type policy struct {
	nat.Offer
	private []netip.Prefix
	addrs   func() ([]netip.Prefix, error)

	mu   sync.Mutex // guards what follows
	last []netip.Prefix
	at   time.Time
}

// fresh is how long the host's addresses are taken for what they were.
const fresh = 2 * time.Second

func newPolicy(o nat.Offer, addrs func() ([]netip.Prefix, error)) *policy {
	return &policy{Offer: o, private: nat.Private(), addrs: addrs}
}

// owns tells whether an address is of the overlay.
func (p *policy) owns(a netip.Addr) bool { return within(p.Sources, a) }

// allows tells whether a peer may reach an address.
func (p *policy) allows(src, dst netip.Addr) bool {
	if !p.owns(src) || p.owns(dst) || within(never, dst) || dst.Is4In6() {
		return false
	}
	host, err := p.host()
	if err != nil {
		return false
	}
	lan := false
	for _, a := range host {
		if a.Addr() == dst || a.Addr().Is4() && a.Bits() < 31 && lastOf(a) == dst {
			return false // its own address, or a broadcast
		}
		lan = lan || !a.IsSingleIP() && a.Contains(dst)
	}
	if slices.ContainsFunc(p.Routes, func(r nat.Route) bool { return r.Prefix.Contains(dst) }) {
		return true
	}
	return p.Exit && (p.ExitLAN || !lan && !within(p.private, dst))
}

// hostIn tells whether an address is the host's own in a subnet that is offered.
func (p *policy) hostIn(dst netip.Addr) bool {
	if !slices.ContainsFunc(p.Routes, func(r nat.Route) bool { return r.Prefix.Contains(dst) }) {
		return false
	}
	host, err := p.host()
	return err == nil && slices.ContainsFunc(host, func(a netip.Prefix) bool { return a.Addr() == dst })
}

func (p *policy) host() ([]netip.Prefix, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && time.Since(p.at) < fresh {
		return p.last, nil
	}
	list, err := p.addrs()
	if err != nil {
		return nil, err
	}
	p.last, p.at = list, time.Now()
	return list, nil
}

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// lastOf is an IPv4 prefix's last address.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}

// hostAddrs are the host's addresses.
func hostAddrs() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	out := []netip.Prefix{}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				ones, _ := n.Mask.Size()
				out = append(out, netip.PrefixFrom(ip.Unmap(), ones))
			}
		}
	}
	return out, nil
}
