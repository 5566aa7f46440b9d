package netmon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/internal/rtnl"
)

// linux hears rtnetlink in the network namespace that it was opened in.
type linux struct {
	file  *os.File
	conn  syscall.RawConn
	buf   [16 << 10]byte
	flags map[int32]uint32 // of links, as last heard

	mu sync.Mutex // a Handle must not be closed while it is used
	h  *netlink.Handle
}

const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

func open() (System, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	s := &linux{h: h, flags: make(map[int32]uint32)}
	if err := s.subscribe(); err != nil {
		h.Close()
		return nil, fmt.Errorf("subscribe to rtnetlink: %w", err)
	}
	return s, nil
}

func (s *linux) subscribe() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return err
	}
	s.file = os.NewFile(uintptr(fd), "rtnetlink")
	s.conn, err = s.file.SyscallConn()
	return err
}

func (s *linux) Close() error {
	err := s.file.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.Close()
	return err
}

// Wait reads one datagram. When messages were lost (ENOBUFS) the socket goes
// on, and what was missed is read from the tables.
func (s *linux) Wait() (Kind, error) {
	var n int
	var from unix.Sockaddr
	var err error
	closed := s.conn.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), s.buf[:], 0)
		return err != unix.EAGAIN
	})
	if closed != nil {
		return Nothing, closed
	}
	if errors.Is(err, unix.EINTR) {
		return Nothing, nil
	}
	if err != nil {
		clear(s.flags)
		return Surely, nil
	}
	if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
		return Nothing, nil // not the kernel's
	}
	return s.judge(s.buf[:n]), nil
}

// judge tells how weighty the messages of a datagram are.
func (s *linux) judge(b []byte) Kind {
	k := Nothing
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint16(b[4:])
		if size < unix.SizeofNlMsghdr || uint64(size) > uint64(len(b)) {
			break
		}
		k = max(k, s.message(kind, b[unix.SizeofNlMsghdr:size]))
		b = b[min(len(b), int(size+3)&^3):]
	}
	return k
}

func (s *linux) message(kind uint16, body []byte) Kind {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(body) < unix.SizeofIfInfomsg {
			return Nothing
		}
		const carrier = unix.IFF_UP | unix.IFF_RUNNING
		index := int32(binary.NativeEndian.Uint32(body[4:]))
		flags := binary.NativeEndian.Uint32(body[8:]) & carrier
		last, known := s.flags[index]
		if kind == unix.RTM_DELLINK {
			delete(s.flags, index)
			return Maybe
		}
		s.flags[index] = flags
		if known && last != flags {
			return Surely
		}
		return Maybe
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return Maybe
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(body) < unix.SizeofRtMsg || body[4] == unix.RT_TABLE_LOCAL {
			return Nothing
		}
		return Maybe
	}
	return Nothing
}

// Read reads links, addresses and routes.
func (s *linux) Read() (State, []Route, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var state State
	links, err := rtnl.Whole(s.h.LinkList)
	if err != nil {
		return state, nil, fmt.Errorf("read links: %w", err)
	}
	addrs, err := rtnl.Whole(func() ([]netlink.Addr, error) { return s.h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return state, nil, fmt.Errorf("read addresses: %w", err)
	}
	of := make(map[int][]netip.Prefix)
	for _, a := range addrs {
		// Not to be used yet, or ever: a message comes when that changes.
		if a.Flags&unix.IFA_F_DADFAILED != 0 || a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC) == unix.IFA_F_TENTATIVE {
			continue
		}
		if p, ok := rtnl.Prefix(a.IPNet); ok {
			of[a.LinkIndex] = append(of[a.LinkIndex], p)
		}
	}
	for _, l := range links {
		a := l.Attrs()
		state.Interfaces = append(state.Interfaces, Interface{
			Index: a.Index, Name: a.Name, MTU: a.MTU,
			Up:           a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0,
			Multicast:    a.RawFlags&unix.IFF_MULTICAST != 0,
			PointToPoint: a.RawFlags&unix.IFF_POINTOPOINT != 0,
			Loopback:     a.RawFlags&unix.IFF_LOOPBACK != 0,
			Prefixes:     of[a.Index],
		})
	}
	list, err := rtnl.Whole(func() ([]netlink.Route, error) {
		return s.h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return state, nil, fmt.Errorf("read routes: %w", err)
	}
	routes := convert(list)
	finish(&state, routes, unix.RT_TABLE_MAIN)
	return state, routes, nil
}

func convert(list []netlink.Route) []Route {
	var routes []Route
	for _, r := range list {
		p, ok := rtnl.Prefix(r.Dst)
		if !ok || r.Type != unix.RTN_UNICAST || r.Table == unix.RT_TABLE_LOCAL {
			continue
		}
		// An IPv6 link has these by itself.
		if p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
			continue
		}
		hops := r.MultiPath
		if len(hops) == 0 {
			hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}
		}
		for _, h := range hops {
			gw, _ := netip.AddrFromSlice(h.Gw)
			routes = append(routes, Route{Prefix: p.Masked(), Index: h.LinkIndex, Gateway: gw.Unmap(), Metric: r.Priority, Table: r.Table})
		}
	}
	return routes
}
