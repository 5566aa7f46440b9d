package udptest

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// Host is a machine on the net: interfaces and open ports. It passes nothing on
// between its interfaces.
type Host struct {
	net        *Net
	name       string
	ifaces     []*iface // the loopback first
	conns      map[uint16]*conn
	multicasts []*multicast
	no4, no6   bool
	wall       *firewall
}

// Host makes a host with nothing but a loopback.
func (n *Net) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{net: n, name: name, conns: map[uint16]*conn{}}
	n.hosts = append(n.hosts, h)
	n.ifaces++
	h.ifaces = []*iface{{host: h, index: n.ifaces, name: "lo", prefixes: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128"),
	}}}
	return h
}

// Attach plugs the host into s with these addresses beside the link-local one,
// or gives it these in place of those it had there. It returns the interface's
// index, which is no other interface's in the whole net.
func (h *Host) Attach(s *Segment, prefixes ...netip.Prefix) int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	i := h.on(s)
	if i == nil {
		h.net.ifaces++
		i = &iface{host: h, segment: s, index: h.net.ifaces, name: fmt.Sprintf("%s%d", s.name, h.net.ifaces)}
		h.ifaces = append(h.ifaces, i)
		s.ports = append(s.ports, i)
	}
	ll := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i.index >> 8), 15: byte(i.index)})
	i.prefixes = append([]netip.Prefix{netip.PrefixFrom(ll, 64)}, prefixes...)
	return i.index
}

// Detach pulls the host's plug out of s.
func (h *Host) Detach(s *Segment) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if i := h.on(s); i != nil {
		is := func(j *iface) bool { return i == j }
		h.ifaces = slices.DeleteFunc(h.ifaces, is)
		s.ports = slices.DeleteFunc(s.ports, is)
	}
}

// SetFamilies turns IPv4 and IPv6 off or on for ports opened later and for
// Interfaces.
func (h *Host) SetFamilies(v4, v6 bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.no4, h.no6 = !v4, !v6
}

// Interfaces is what netmon would see on the host.
func (h *Host) Interfaces() []netmon.Interface {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var out []netmon.Interface
	for _, i := range h.ifaces {
		n := netmon.Interface{Index: i.index, Name: i.name, MTU: 65536, Up: i.up(), Loopback: i.segment == nil}
		if i.segment != nil {
			n.MTU, n.Multicast = i.segment.mtu, true
		}
		for _, p := range i.prefixes {
			if !h.off(p.Addr()) {
				n.Prefixes = append(n.Prefixes, p)
			}
		}
		out = append(out, n)
	}
	return out
}

func (h *Host) off(a netip.Addr) bool { return a.Is4() && h.no4 || a.Is6() && h.no6 }

func (h *Host) on(s *Segment) *iface {
	for _, i := range h.ifaces {
		if i.segment == s {
			return i
		}
	}
	return nil
}

func (h *Host) byIndex(index int) *iface {
	for _, i := range h.ifaces {
		if i.index == index {
			return i
		}
	}
	return nil
}

// route picks the interface and the source address to send to a by. The net is
// locked.
func (h *Host) route(a netip.Addr, src udp.Source) (*iface, netip.Addr, error) {
	zone := udp.Index(a)
	a = a.WithZone("")
	for _, i := range h.ifaces {
		if i.has(a) {
			return h.ifaces[0], a, nil
		}
	}
	if s := h.byIndex(src.Index); s != nil && s.up() && (zone == 0 || zone == s.index) && s.reaches(a) {
		if s.has(src.Addr) && src.Addr.Is4() == a.Is4() {
			return s, src.Addr, nil
		}
	}
	if linkLocal(a) && a.Is6() && zone == 0 {
		return nil, netip.Addr{}, fmt.Errorf("send to %v: no zone: %w", a, syscall.EINVAL)
	}
	for _, i := range h.ifaces {
		if !i.up() || zone != 0 && zone != i.index || !i.reaches(a) {
			continue
		}
		if from := i.source(a); from.IsValid() {
			return i, from, nil
		}
	}
	return nil, netip.Addr{}, fmt.Errorf("send to %v: %w", a, syscall.ENETUNREACH)
}

// send puts datagrams on the way. The net is locked.
func (h *Host) send(bufs [][]byte, port uint16, to netip.AddrPort, src udp.Source) error {
	via, from, err := h.route(to.Addr(), src)
	if err != nil {
		return err
	}
	for _, b := range bufs {
		d := Datagram{From: netip.AddrPortFrom(from, port), To: netip.AddrPortFrom(to.Addr().WithZone(""), to.Port()), Payload: b}
		h.wall.remember(d)
		if via.segment == nil {
			d.Payload = slices.Clone(b)
			h.receive(via, d)
		} else {
			via.segment.carry(via, d)
		}
	}
	return nil
}

// receive hands a datagram that came in by an interface to its port. The net
// is locked.
func (h *Host) receive(in *iface, d Datagram) {
	if !slices.Contains(h.ifaces, in) {
		return
	}
	if d.To.Addr().IsMulticast() {
		for _, m := range h.multicasts {
			m.receive(in, d)
		}
		return
	}
	if c := h.conns[d.To.Port()]; c != nil && (in.segment == nil || h.wall.admits(d)) {
		c.receive(in, d)
	}
}

// SetFirewall makes the host refuse, or again take, unicast datagrams from
// whom it has sent none to: the usual stateful firewall.
func (h *Host) SetFirewall(on bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.wall = nil
	if on {
		h.wall = &firewall{seen: map[[2]netip.AddrPort]bool{}}
	}
}

// firewall remembers flows that began inside, by local and remote address. A
// nil one lets all in.
type firewall struct{ seen map[[2]netip.AddrPort]bool }

func (f *firewall) remember(d Datagram) {
	if f != nil {
		f.seen[[2]netip.AddrPort{d.From, d.To}] = true
	}
}

func (f *firewall) admits(d Datagram) bool {
	return f == nil || f.seen[[2]netip.AddrPort{d.To, d.From}]
}
