package router

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)

// win is one adapter by the IP Helper API.
type win struct {
	luid winipcfg.LUID
	// up stands for what Windows has not: an adapter is up while its session is.
	up bool
}

// New opens the interface that package tun made.
func New(name string, index int) (Router, error) {
	luid, err := winipcfg.LUIDFromIndex(uint32(index))
	if err != nil {
		return nil, fmt.Errorf("open adapter %s: %w: %w", name, ErrGone, err)
	}
	return router{name, &win{luid: luid}}, nil
}

func (k *win) Close() error { return nil }

func (k *win) have() (s state, err error) {
	row, err := k.luid.IPInterface(windows.AF_INET)
	if errors.Is(err, windows.ERROR_NOT_FOUND) || errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return s, ErrGone
	}
	if err != nil {
		return s, fmt.Errorf("read the adapter: %w", err)
	}
	s.mtu, s.up = int(row.NLMTU), k.up
	addrs, err := winipcfg.GetUnicastIPAddressTable(windows.AF_UNSPEC)
	if err != nil {
		return s, fmt.Errorf("read addresses: %w", err)
	}
	for i := range addrs {
		a := &addrs[i]
		// Windows gives each adapter link-local addresses of its own.
		if ip := a.Address.Addr().WithZone(""); a.InterfaceLUID == k.luid && !ip.IsLinkLocalUnicast() {
			s.addrs = append(s.addrs, netip.PrefixFrom(ip, int(a.OnLinkPrefixLength)))
		}
	}
	routes, err := winipcfg.GetIPForwardTable2(windows.AF_UNSPEC)
	if err != nil {
		return s, fmt.Errorf("read routes: %w", err)
	}
	for i := range routes {
		r := &routes[i]
		if r.InterfaceLUID == k.luid && r.Protocol == winipcfg.RouteProtocolNetMgmt && r.NextHop.Addr().IsUnspecified() {
			s.routes = append(s.routes, r.DestinationPrefix.Prefix())
		}
	}
	s.normalize()
	return s, nil
}

func (k *win) do(o op) error {
	is6 := o.prefix.IsValid() && o.prefix.Addr().Is6()
	switch o.kind {
	case opSetMTU:
		return k.each(func(row *winipcfg.MibIPInterfaceRow) { row.NLMTU = uint32(o.mtu) })
	case opSetUp:
		k.up = true
		return k.each(func(row *winipcfg.MibIPInterfaceRow) {
			row.RouterDiscoveryBehavior = winipcfg.RouterDiscoveryDisabled
			row.DadTransmits = 0
			row.ManagedAddressConfigurationSupported = false
			row.OtherStatefulConfigurationSupported = false
		})
	case opSetDown:
		k.up = false
		return nil
	case opAddAddr:
		return missing(k.addAddr(o.prefix), is6)
	case opDelAddr:
		return absent(k.luid.DeleteIPAddress(o.prefix))
	case opAddRoute:
		err := k.luid.AddRoute(o.prefix, nowhere(is6), 0)
		if errors.Is(err, windows.ERROR_OBJECT_ALREADY_EXISTS) {
			return nil // ours: the key holds the adapter
		}
		return missing(err, is6)
	default:
		return absent(k.luid.DeleteRoute(o.prefix, nowhere(is6)))
	}
}

// each changes the adapter's IPv4 and IPv6 settings; IPv6 may be off.
func (k *win) each(change func(*winipcfg.MibIPInterfaceRow)) error {
	for _, family := range []winipcfg.AddressFamily{windows.AF_INET, windows.AF_INET6} {
		row, err := k.luid.IPInterface(family)
		if err == nil {
			change(row)
			err = row.Set()
		}
		if family == windows.AF_INET6 && errors.Is(err, windows.ERROR_NOT_FOUND) {
			continue
		}
		if err != nil {
			return missing(err, false)
		}
	}
	return nil
}

// addAddr takes an address over from an adapter that is not connected: one
// that a crash left keeps it there.
func (k *win) addAddr(p netip.Prefix) error {
	err := k.luid.AddIPAddress(p)
	if !errors.Is(err, windows.ERROR_OBJECT_ALREADY_EXISTS) {
		return err
	}
	if _, ours := k.luid.IPAddress(p.Addr()); ours == nil {
		return nil
	}
	table, lerr := winipcfg.GetUnicastIPAddressTable(windows.AF_UNSPEC)
	if lerr != nil {
		return fmt.Errorf("%w: %w", err, lerr)
	}
	for i := range table {
		a := &table[i]
		if a.Address.Addr().WithZone("") != p.Addr() {
			continue
		}
		row, rerr := a.InterfaceLUID.Interface()
		if rerr != nil || row.OperStatus == winipcfg.IfOperStatusUp {
			return fmt.Errorf("%w: %w", ErrTaken, err)
		}
		if derr := a.Delete(); derr != nil {
			return fmt.Errorf("%w: %w", ErrTaken, derr)
		}
	}
	return k.luid.AddIPAddress(p)
}

func nowhere(is6 bool) netip.Addr {
	if is6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// missing reads what Windows says where the adapter has no such IP version, or
// is not there.
func missing(err error, is6 bool) error {
	switch {
	case !errors.Is(err, windows.ERROR_NOT_FOUND) && !errors.Is(err, windows.ERROR_FILE_NOT_FOUND):
		return err
	case is6:
		return fmt.Errorf("%w: %w", errNo6, err)
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

func absent(err error) error {
	if errors.Is(err, windows.ERROR_NOT_FOUND) || errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil
	}
	return err
}
