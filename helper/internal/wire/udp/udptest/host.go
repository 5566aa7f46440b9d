package udptest

import (
	"fmt"
	"net/netip"
	"slices"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// Host is a machine on the net: interfaces, routes and open ports. It passes
// nothing on between its interfaces, unless it is a Router's.
type Host struct {
	net        *Net
	name       string
	ifaces     []*iface // the loopback first
	routes     []route
	conns      map[uint16]*conn
	listeners  map[uint16]*listener
	flows      map[[2]netip.AddrPort]*tcpConn // by local and remote address
	router     *Router                        // nil: it is none
	multicasts []*multicast
	no4, no6   bool
	asleep     bool
	wall       *firewall
	found      found
}

// Host makes a host with nothing but a loopback.
func (n *Net) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{
		net: n, name: name, conns: map[uint16]*conn{},
		listeners: map[uint16]*listener{}, flows: map[[2]netip.AddrPort]*tcpConn{},
	}
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
	h.net.shape++
	return i.index
}

// Detach pulls the host's plug out of s.
func (h *Host) Detach(s *Segment) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if i := h.on(s); i != nil {
		is := func(j *iface) bool { return i == j }
		i.gone = true
		h.net.shape++
		h.ifaces = slices.DeleteFunc(h.ifaces, is)
		h.routes = slices.DeleteFunc(h.routes, func(r route) bool { return r.via == i })
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

// send puts datagrams on the way. The net is locked.
func (h *Host) send(bufs [][]byte, port uint16, to netip.AddrPort, src udp.Source) error {
	way, err := h.route(to.Addr(), src)
	if err != nil {
		return err
	}
	for _, b := range bufs {
		h.emit(way, Datagram{
			From: netip.AddrPortFrom(way.from, port), To: netip.AddrPortFrom(to.Addr().WithZone(""), to.Port()),
			Payload: slices.Clone(b),
		})
	}
	return nil
}

// emit sends a datagram of the host's own. The net is locked.
func (h *Host) emit(w way, d Datagram) {
	if h.asleep {
		return
	}
	if h.net.tap != nil {
		h.net.tap(h.name, d)
	}
	h.wall.remember(d)
	if w.via.segment == nil {
		h.receive(w.via, d)
	} else {
		w.via.segment.carry(w.via, d, w.hop)
	}
}

// receive takes a datagram that came in by an interface to its port, or on if
// the host is a router. The net is locked.
func (h *Host) receive(in *iface, d Datagram) {
	if h.asleep || in.gone || h.off(d.To.Addr()) {
		return
	}
	switch {
	case d.To.Addr().IsMulticast():
		for _, m := range h.multicasts {
			m.receive(in, d)
		}
	case h.router != nil:
		h.router.receive(in, d)
	case !h.owns(d.To.Addr()), in.segment != nil && !h.wall.admits(d):
	case d.tcp != nil:
		h.receiveTCP(d)
	case h.conns[d.To.Port()] != nil:
		h.conns[d.To.Port()].receive(in, d)
	}
}

// SetAsleep has nothing leave or reach the host while its links stay as they
// are.
func (h *Host) SetAsleep(asleep bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.asleep = asleep
}

func (h *Host) owns(a netip.Addr) bool { return h.known().own[a] }

// SetFirewall makes the host refuse, or again take, what comes from whom it has
// sent nothing to: the usual stateful firewall. These TCP ports stay open.
func (h *Host) SetFirewall(on bool, open ...uint16) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.wall = newFirewall(on, open)
}
