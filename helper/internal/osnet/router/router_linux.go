package router

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/internal/rtnl"
)

// protocol marks our routes as ours (rtm_protocol, rtnetlink(7)): what an
// administrator routes into the interface is left alone.
const protocol = 0x6b

// noLinkLocal is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const noLinkLocal = 1

// linux is one interface by rtnetlink, in the network namespace that it was
// opened in.
type linux struct {
	h    *netlink.Handle
	link *netlink.GenericLink
}

// New opens the interface that package tun made.
func New(name string, index int) (Router, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink for %s: %w", name, err)
	}
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}}
	return router{name, &linux{h, link}}, nil
}

func (k *linux) Close() error {
	k.h.Close()
	return nil
}

func (k *linux) have() (s state, err error) {
	link, err := k.h.LinkByIndex(k.link.Index)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return s, ErrGone
	}
	if err != nil {
		return s, fmt.Errorf("read the interface: %w", err)
	}
	s.mtu = link.Attrs().MTU
	s.up = link.Attrs().RawFlags&unix.IFF_UP != 0
	addrs, err := rtnl.Whole(func() ([]netlink.Addr, error) { return k.h.AddrList(k.link, netlink.FAMILY_ALL) })
	if err != nil {
		return s, fmt.Errorf("read addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := rtnl.Prefix(a.IPNet); ok {
			s.addrs = append(s.addrs, p)
		}
	}
	filter := &netlink.Route{LinkIndex: k.link.Index, Protocol: protocol, Table: unix.RT_TABLE_MAIN}
	routes, err := rtnl.Whole(func() ([]netlink.Route, error) {
		return k.h.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return s, fmt.Errorf("read routes: %w", err)
	}
	for _, r := range routes {
		if p, ok := rtnl.Prefix(r.Dst); ok {
			s.routes = append(s.routes, p)
		}
	}
	s.normalize()
	return s, nil
}

func (k *linux) do(o op) error {
	switch o.kind {
	case opSetMTU:
		return gone(k.h.LinkSetMTU(k.link, o.mtu))
	case opSetUp:
		// Before the interface is up, else it has a link-local address already.
		// It fails where there is no IPv6, and there it is not missed.
		k.h.LinkSetIP6AddrGenMode(k.link, noLinkLocal)
		return gone(k.h.LinkSetUp(k.link))
	case opSetDown:
		return gone(k.h.LinkSetDown(k.link))
	case opAddAddr, opDelAddr:
		return k.addr(o)
	default:
		return k.route(o)
	}
}

func (k *linux) addr(o op) error {
	a := &netlink.Addr{IPNet: rtnl.IPNet(o.prefix), Flags: unix.IFA_F_NOPREFIXROUTE}
	if o.prefix.Addr().Is6() {
		a.Flags |= unix.IFA_F_NODAD
	} else {
		a.Broadcast = net.IPv4zero
	}
	if o.kind == opDelAddr {
		err := k.h.AddrDel(k.link, a)
		if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	}
	err := k.h.AddrAdd(k.link, a)
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil
	case o.prefix.Addr().Is6() && off6(err):
		return fmt.Errorf("%w: %w", errNo6, err)
	}
	return gone(err)
}

func (k *linux) route(o op) error {
	r := &netlink.Route{
		LinkIndex: k.link.Index, Dst: rtnl.IPNet(o.prefix),
		Protocol: protocol, Scope: netlink.SCOPE_LINK, Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST,
	}
	if o.prefix.Addr().Is6() {
		r.Scope = netlink.SCOPE_UNIVERSE // IPv6 has no others
	}
	if o.kind == opDelRoute {
		err := k.h.RouteDel(r)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	}
	err := k.h.RouteAdd(r)
	switch {
	case errors.Is(err, unix.EEXIST):
		// Never replaced: it may be another VPN's.
		return fmt.Errorf("%w: %w", ErrTaken, err)
	case o.prefix.Addr().Is6() && off6(err):
		return fmt.Errorf("%w: %w", errNo6, err)
	}
	return gone(err)
}

// off6 reads what the kernel says where IPv6 is disabled on the interface
// (EACCES), has left it because of its MTU (EINVAL, ENOBUFS), or is not there.
func off6(err error) bool {
	for _, e := range []error{unix.EACCES, unix.EINVAL, unix.ENOBUFS, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func gone(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}
