package netmon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"
)

// darwin hears the routing socket.
type darwin struct {
	file  *os.File
	buf   [16 << 10]byte
	flags map[int]int // of interfaces, as last heard
}

func open() (System, error) {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("open the routing socket: %w", err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open the routing socket: %w", err)
	}
	return &darwin{file: os.NewFile(uintptr(fd), "route"), flags: make(map[int]int)}, nil
}

func (s *darwin) Close() error { return s.file.Close() }

// Wait reads one datagram. Where messages were lost (ENOBUFS), or are of a
// kind that is not known, what happened is read from the tables.
func (s *darwin) Wait() (Kind, error) {
	n, err := s.file.Read(s.buf[:])
	if errors.Is(err, os.ErrClosed) {
		return Nothing, err
	}
	if err != nil {
		clear(s.flags)
		return Surely, nil
	}
	msgs, err := route.ParseRIB(route.RIBTypeRoute, s.buf[:n])
	if err != nil {
		return Maybe, nil
	}
	k := Nothing
	for _, m := range msgs {
		k = max(k, s.message(m))
	}
	return k, nil
}

func (s *darwin) message(m route.Message) Kind {
	switch m := m.(type) {
	case *route.InterfaceMessage:
		flags := m.Flags & (unix.IFF_UP | unix.IFF_RUNNING)
		last, known := s.flags[m.Index]
		s.flags[m.Index] = flags
		if known && last != flags {
			return Surely
		}
		return Maybe
	case *route.InterfaceAddrMessage:
		return Maybe
	case *route.RouteMessage:
		if m.Flags&(unix.RTF_WASCLONED|unix.RTF_LLINFO) == 0 {
			return Maybe
		}
	}
	return Nothing
}

// Read reads interfaces, addresses and routes.
func (s *darwin) Read() (State, []Route, error) {
	var state State
	ifis, err := net.Interfaces()
	if err != nil {
		return state, nil, fmt.Errorf("read interfaces: %w", err)
	}
	for _, ifi := range ifis {
		i := Interface{
			Index: ifi.Index, Name: ifi.Name, MTU: ifi.MTU,
			Up:           ifi.Flags&net.FlagUp != 0 && ifi.Flags&net.FlagRunning != 0,
			Multicast:    ifi.Flags&net.FlagMulticast != 0,
			PointToPoint: ifi.Flags&net.FlagPointToPoint != 0,
			Loopback:     ifi.Flags&net.FlagLoopback != 0,
		}
		addrs, err := ifi.Addrs()
		if err != nil {
			return state, nil, fmt.Errorf("read addresses of %s: %w", ifi.Name, err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				ones, _ := n.Mask.Size()
				i.Prefixes = append(i.Prefixes, netip.PrefixFrom(ip.Unmap(), ones))
			}
		}
		state.Interfaces = append(state.Interfaces, i)
	}
	rib, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return state, nil, fmt.Errorf("read routes: %w", err)
	}
	msgs, err := route.ParseRIB(route.RIBTypeRoute, rib)
	if err != nil {
		return state, nil, fmt.Errorf("read routes: %w", err)
	}
	var routes []Route
	for _, m := range msgs {
		if r, ok := m.(*route.RouteMessage); ok {
			if r, ok := convert(r); ok {
				routes = append(routes, r)
			}
		}
	}
	finish(&state, routes, 0)
	return state, routes, nil
}

// convert leaves out what the system makes by itself, and of the routes that
// serve only sockets that are bound to an interface all but default routes.
func convert(m *route.RouteMessage) (Route, bool) {
	const without = unix.RTF_WASCLONED | unix.RTF_LLINFO | unix.RTF_LOCAL | unix.RTF_BROADCAST | unix.RTF_MULTICAST | unix.RTF_REJECT | unix.RTF_BLACKHOLE
	if m.Flags&unix.RTF_UP == 0 || m.Flags&without != 0 || len(m.Addrs) <= unix.RTAX_NETMASK {
		return Route{}, false
	}
	dst, ok := address(m.Addrs[unix.RTAX_DST])
	if !ok || dst.IsLinkLocalUnicast() || dst.IsMulticast() {
		return Route{}, false
	}
	bits := dst.BitLen()
	if m.Flags&unix.RTF_HOST == 0 {
		// A default route may come without a mask.
		bits = 0
		if mask, ok := address(m.Addrs[unix.RTAX_NETMASK]); ok {
			bits, _ = net.IPMask(mask.AsSlice()).Size()
		}
	}
	r := Route{Prefix: netip.PrefixFrom(dst, bits).Masked(), Index: m.Index, Scoped: m.Flags&unix.RTF_IFSCOPE != 0}
	if r.Scoped && !r.IsDefault() {
		return Route{}, false
	}
	if m.Flags&unix.RTF_GATEWAY != 0 {
		r.Gateway, _ = address(m.Addrs[unix.RTAX_GATEWAY])
	}
	return r, true
}

func address(a route.Addr) (netip.Addr, bool) {
	switch a := a.(type) {
	case *route.Inet4Addr:
		return netip.AddrFrom4(a.IP), true
	case *route.Inet6Addr:
		return netip.AddrFrom16(a.IP), true
	}
	return netip.Addr{}, false
}
