package engine

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// relayPort is where a relay listens unless told otherwise: the one port that
// almost every network lets out.
const relayPort = 443

// relayAddrs is how many addresses of a relay are told.
const relayAddrs = 8

// parseListen reads what a relay is to listen on: "", "PORT", ":PORT" or
// "IP:PORT". The answer is ":PORT" or "IP:PORT".
func parseListen(s string) (addr string, ip netip.Addr, port uint16, err error) {
	bad := ipc.Errorf(ipc.CodeUsage, "%.80q is not a port, or an address with one", s)
	if s == "" {
		return ":" + strconv.Itoa(relayPort), ip, relayPort, nil
	}
	if !strings.Contains(s, ":") {
		s = ":" + s
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", ip, 0, bad
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", ip, 0, bad
	}
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return "", ip, 0, bad
		}
		if ip = ip.Unmap(); ip.IsUnspecified() {
			ip = netip.Addr{}
		} else if ip.Zone() != "" || ip.IsMulticast() {
			return "", ip, 0, bad
		} else {
			return netip.AddrPortFrom(ip, uint16(n)).String(), ip, uint16(n), nil
		}
	}
	return ":" + strconv.FormatUint(n, 10), ip, uint16(n), nil
}

// parseAdvertise reads where a relay is to be found: a name or an address, with
// a port or without. The name is "" for an address.
func parseAdvertise(s string, port uint16) (name string, addr netip.Addr, _ uint16, err error) {
	bad := ipc.Errorf(ipc.CodeUsage, "%.80q is not HOST:PORT", s)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", a.Unmap(), port, usableRelay(a, s)
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		host = s
	} else if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
		return "", addr, 0, bad
	} else {
		port = uint16(n)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return "", a.Unmap(), port, usableRelay(a, s)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	// The record's own rules judge the name.
	if _, err := (roster.RelayInfo{Host: net.JoinHostPort(host, strconv.Itoa(int(port)))}).Encode(); err != nil || host == "" {
		return "", addr, 0, bad
	}
	return host, addr, port, nil
}

func usableRelay(a netip.Addr, s string) error {
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Zone() != "" {
		return ipc.Errorf(ipc.CodeUsage, "nobody finds a relay at %.80q", s)
	}
	return nil
}

// publicAddrs is the host's addresses that anyone reaches unless something in
// between keeps them from it; with ip valid, that one alone.
func publicAddrs(ifaces []netmon.Interface, ip netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, i := range ifaces {
		if !i.Up || i.Loopback || i.PointToPoint && len(i.Prefixes) == 0 {
			continue
		}
		for _, p := range i.Prefixes {
			a := p.Addr().Unmap().WithZone("")
			if isPublic(a) && (!ip.IsValid() || a == ip) && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// carrierNAT is shared address space (RFC 6598): also that of our overlays.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrierNAT.Contains(a)
}

// relayInfo joins what is advertised and what the host has.
func relayInfo(name string, named []netip.Addr, port uint16, own []netip.Addr, listen uint16, pin [32]byte) roster.RelayInfo {
	r := roster.RelayInfo{Pin: pin}
	if name != "" {
		r.Host = net.JoinHostPort(name, strconv.Itoa(int(port)))
	}
	add := func(a netip.Addr, port uint16) {
		ap := netip.AddrPortFrom(a.Unmap().WithZone(""), port)
		if usableRelay(ap.Addr(), "") == nil && !slices.Contains(r.Addrs, ap) && len(r.Addrs) < relayAddrs {
			r.Addrs = append(r.Addrs, ap)
		}
	}
	for _, a := range named {
		add(a, port)
	}
	for _, a := range own {
		add(a, listen)
	}
	return r
}

// advertised is a relay's places as people read them.
func advertised(r *roster.RelayInfo) []string {
	var out []string
	if r.Host != "" {
		out = append(out, r.Host)
	}
	for _, a := range r.Addrs {
		out = append(out, a.String())
	}
	return out
}

// sameRelay tells whether two records say the same, whatever the order.
func sameRelay(a, b *roster.RelayInfo) bool {
	if a == nil || b == nil || a.Host != b.Host || a.Pin != b.Pin || len(a.Addrs) != len(b.Addrs) {
		return a == b
	}
	return !slices.ContainsFunc(a.Addrs, func(x netip.AddrPort) bool { return !slices.Contains(b.Addrs, x) })
}
