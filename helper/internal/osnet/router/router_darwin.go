package router

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// darwin is one utun by ioctls and the routing socket.
type darwin struct {
	name   string
	index  int
	sock4  int // for ioctls
	sock6  int // for ioctls, -1 without IPv6
	routes int // the routing socket
	seq    int
}

// New opens the interface that package tun made.
func New(name string, index int) (Router, error) {
	k := &darwin{name: name, index: index, sock4: -1, sock6: -1, routes: -1}
	var err error
	if k.sock4, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err == nil {
		k.routes, err = unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	}
	if err != nil {
		k.Close()
		return nil, fmt.Errorf("open sockets for %s: %w", name, err)
	}
	if k.sock6, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0); err != nil {
		k.sock6 = -1
	}
	for _, fd := range []int{k.sock4, k.sock6, k.routes} {
		if fd >= 0 {
			unix.CloseOnExec(fd)
		}
	}
	// Its messages are not read, errors come from write(2). Where this fails
	// they fill the socket's buffer, once.
	unix.Shutdown(k.routes, unix.SHUT_RD)
	return router{name, k}, nil
}

func (k *darwin) Close() error {
	for _, fd := range []*int{&k.sock4, &k.sock6, &k.routes} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	return nil
}

func (k *darwin) have() (s state, err error) {
	ifi, err := net.InterfaceByIndex(k.index)
	if err != nil || ifi.Name != k.name {
		return s, ErrGone
	}
	s.mtu, s.up = ifi.MTU, ifi.Flags&net.FlagUp != 0
	addrs, err := ifi.Addrs()
	if err != nil {
		return s, fmt.Errorf("read addresses: %w", err)
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		// The system gives an interface link-local addresses of its own.
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ok && !ip.IsLinkLocalUnicast() {
			ones, _ := n.Mask.Size()
			s.addrs = append(s.addrs, netip.PrefixFrom(ip, ones))
		}
	}
	rib, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return s, fmt.Errorf("read routes: %w", err)
	}
	msgs, err := route.ParseRIB(route.RIBTypeRoute, rib)
	if err != nil {
		return s, fmt.Errorf("read routes: %w", err)
	}
	for _, m := range msgs {
		if r, ok := m.(*route.RouteMessage); ok && r.Index == k.index {
			if p, ok := ours(r); ok {
				s.routes = append(s.routes, p)
			}
		}
	}
	s.normalize()
	return s, nil
}

// ours is a route that was set by hand, not made by the system.
func ours(r *route.RouteMessage) (netip.Prefix, bool) {
	if r.Flags&unix.RTF_STATIC == 0 || r.Flags&(unix.RTF_WASCLONED|unix.RTF_LLINFO|unix.RTF_GATEWAY) != 0 || len(r.Addrs) <= unix.RTAX_NETMASK {
		return netip.Prefix{}, false
	}
	switch dst := r.Addrs[unix.RTAX_DST].(type) {
	case *route.Inet4Addr:
		bits := 32
		if mask, ok := r.Addrs[unix.RTAX_NETMASK].(*route.Inet4Addr); ok && r.Flags&unix.RTF_HOST == 0 {
			bits, _ = net.IPMask(mask.IP[:]).Size()
		}
		return netip.PrefixFrom(netip.AddrFrom4(dst.IP), bits).Masked(), true
	case *route.Inet6Addr:
		bits := 128
		if mask, ok := r.Addrs[unix.RTAX_NETMASK].(*route.Inet6Addr); ok && r.Flags&unix.RTF_HOST == 0 {
			bits, _ = net.IPMask(mask.IP[:]).Size()
		}
		return netip.PrefixFrom(netip.AddrFrom16(dst.IP), bits).Masked(), true
	}
	return netip.Prefix{}, false
}

func (k *darwin) do(o op) error {
	switch o.kind {
	case opSetMTU:
		req := unix.IfreqMTU{MTU: int32(o.mtu)}
		copy(req.Name[:], k.name)
		return gone(unix.IoctlSetIfreqMTU(k.sock4, &req))
	case opSetUp:
		return k.setFlags(unix.IFF_UP, 0)
	case opSetDown:
		return k.setFlags(0, unix.IFF_UP)
	case opAddAddr:
		err := k.addAddr(o.prefix)
		if errors.Is(err, unix.EEXIST) {
			return nil
		}
		return err
	case opDelAddr:
		err := k.delAddr(o.prefix)
		if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, ErrGone) {
			return nil
		}
		return err
	case opAddRoute:
		err := k.route(unix.RTM_ADD, o.prefix)
		if errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%w: %w", ErrTaken, err)
		}
		return err
	default:
		err := k.route(unix.RTM_DELETE, o.prefix)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, ErrGone) {
			return nil
		}
		return err
	}
}

// route sends one message to the routing socket: an interface route, whose
// gateway is the link itself.
func (k *darwin) route(kind int, p netip.Prefix) error {
	k.seq++
	m := route.RouteMessage{
		Version: unix.RTM_VERSION, Type: kind, Flags: unix.RTF_UP | unix.RTF_STATIC,
		Index: k.index, ID: uintptr(os.Getpid()), Seq: k.seq,
		Addrs: make([]route.Addr, unix.RTAX_NETMASK+1),
	}
	m.Addrs[unix.RTAX_GATEWAY] = &route.LinkAddr{Index: k.index, Name: k.name}
	mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
	if p.Addr().Is4() {
		m.Addrs[unix.RTAX_DST] = &route.Inet4Addr{IP: p.Addr().As4()}
		m.Addrs[unix.RTAX_NETMASK] = &route.Inet4Addr{IP: [4]byte(mask)}
	} else {
		m.Addrs[unix.RTAX_DST] = &route.Inet6Addr{IP: p.Addr().As16()}
		m.Addrs[unix.RTAX_NETMASK] = &route.Inet6Addr{IP: [16]byte(mask)}
	}
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	if _, err := unix.Write(k.routes, b); err != nil {
		if p.Addr().Is6() && errors.Is(err, unix.EAFNOSUPPORT) {
			return fmt.Errorf("%w: %w", errNo6, err)
		}
		return gone(err)
	}
	return nil
}

func gone(err error) error {
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}
