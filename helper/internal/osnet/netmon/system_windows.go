package netmon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)

// win hears the IP Helper API's callbacks.
type win struct {
	said    chan Kind
	closed  chan struct{}
	closing sync.Once
	hooks   []winipcfg.ChangeCallback
}

func open() (System, error) {
	s := &win{said: make(chan Kind, 1), closed: make(chan struct{})}
	links, err := winipcfg.RegisterInterfaceChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibIPInterfaceRow) { s.say() })
	if err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	s.hooks = append(s.hooks, links)
	addrs, err := winipcfg.RegisterUnicastAddressChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibUnicastIPAddressRow) { s.say() })
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("watch addresses: %w", err)
	}
	s.hooks = append(s.hooks, addrs)
	routes, err := winipcfg.RegisterRouteChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibIPforwardRow2) { s.say() })
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	s.hooks = append(s.hooks, routes)
	return s, nil
}

// say keeps one message: the state is read after it.
func (s *win) say() {
	select {
	case s.said <- Maybe:
	default:
	}
}

func (s *win) Wait() (Kind, error) {
	select {
	case k := <-s.said:
		return k, nil
	case <-s.closed:
		return Nothing, net.ErrClosed
	}
}

func (s *win) Close() error {
	var errs []error
	s.closing.Do(func() {
		close(s.closed)
		for _, h := range s.hooks {
			errs = append(errs, h.Unregister())
		}
	})
	return errors.Join(errs...)
}

// Read reads adapters, addresses and routes.
func (s *win) Read() (State, []Route, error) {
	var state State
	adapters, err := winipcfg.GetAdaptersAddresses(windows.AF_UNSPEC, winipcfg.GAAFlagSkipAnycast|winipcfg.GAAFlagSkipMulticast|winipcfg.GAAFlagSkipDNSServer)
	if err != nil {
		return state, nil, fmt.Errorf("read adapters: %w", err)
	}
	metrics := make(map[winipcfg.LUID][2]uint32, len(adapters))
	for _, a := range adapters {
		metrics[a.LUID] = [2]uint32{a.Ipv4Metric, a.Ipv6Metric}
		state.Interfaces = append(state.Interfaces, describe(a))
	}
	rows, err := winipcfg.GetIPForwardTable2(windows.AF_UNSPEC)
	if err != nil {
		return state, nil, fmt.Errorf("read routes: %w", err)
	}
	var routes []Route
	for i := range rows {
		r := &rows[i]
		p := r.DestinationPrefix.Prefix()
		if !p.IsValid() || r.Loopback || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() || p == broadcast {
			continue
		}
		metric := metrics[r.InterfaceLUID][0]
		if p.Addr().Is6() {
			metric = metrics[r.InterfaceLUID][1]
		}
		route := Route{Prefix: p.Masked(), Index: int(r.InterfaceIndex), Metric: int(r.Metric + metric)}
		if gw := r.NextHop.Addr(); gw.IsValid() && !gw.IsUnspecified() {
			route.Gateway = gw.WithZone("")
		}
		routes = append(routes, route)
	}
	finish(&state, routes, 0)
	return state, routes, nil
}

var broadcast = netip.MustParsePrefix("255.255.255.255/32")

// dadDeprecated and later states are of addresses that can be used
// (IP_DAD_STATE of nldef.h).
const dadDeprecated = int32(winipcfg.DadStateDeprecated)

func describe(a *winipcfg.IPAdapterAddresses) Interface {
	i := Interface{
		Index: int(a.IfIndex), Name: a.FriendlyName(), MTU: int(a.MTU),
		Up:        a.OperStatus == winipcfg.IfOperStatusUp,
		Multicast: a.Flags&winipcfg.IPAAFlagNoMulticast == 0,
		Loopback:  a.IfType == winipcfg.IfTypeSoftwareLoopback,
		// Wintun's adapters are of the type PropVirtual.
		PointToPoint: a.IfType == winipcfg.IfTypePPP || a.IfType == winipcfg.IfTypeTunnel || a.IfType == winipcfg.IfTypePropVirtual,
	}
	if i.Index == 0 { // without IPv4
		i.Index = int(a.IPv6IfIndex)
	}
	for u := a.FirstUnicastAddress; u != nil; u = u.Next {
		ip, ok := netip.AddrFromSlice(u.Address.IP())
		if ok && u.DadState >= dadDeprecated {
			i.Prefixes = append(i.Prefixes, netip.PrefixFrom(ip.Unmap(), int(u.OnLinkPrefixLength)))
		}
	}
	return i
}
