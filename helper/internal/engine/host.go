package engine

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/dns/osconf"
	"kith.internal/dns/stub"
	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/osnet/egress"
	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/osnet/portal"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/osnet/sysctl"
	"kith.internal/helper/internal/wire/udp"
)

// Host is the operating system as the engine uses it: the real one in kithd, a
// simulated one in simnet.
type Host interface {
	// Name is the host's name, as it is.
	Name() string
	// OS names the operating system, for the other members' device lists.
	OS() string
	// Listen opens the UDP port of one network.
	Listen(port uint16) (udp.Conn, error)
	// ListenTCP listens on addr, "IP:PORT" or ":PORT" for all addresses; it
	// fails with syscall.EADDRINUSE where the port is taken.
	ListenTCP(ctx context.Context, addr string) (net.Listener, error)
	// DialTCP connects to addr, "IP:PORT" or "NAME:PORT"; network is tcp, tcp4 or
	// tcp6. It never goes through an overlay.
	DialTCP(ctx context.Context, network, addr string) (net.Conn, error)
	// Proxy is the HTTP proxy that the system has for connections to host,
	// "NAME:PORT" or "IP:PORT"; nil for none.
	Proxy(host string) (*url.URL, error)
	// LookupHost resolves a name by the system's resolver.
	LookupHost(ctx context.Context, name string) ([]netip.Addr, error)
	// PortMapper asks the gateways that m tells of for ports; nil where the
	// host can ask none.
	PortMapper(m Monitor) PortMapper
	// Multicast opens the LAN discovery of all networks.
	Multicast() discover.Multicast
	// Monitor watches interfaces, addresses and routes.
	Monitor() (Monitor, error)
	// TUN makes a TUN; "" picks the first free kith0, kith1…
	TUN(name string, mtu int) (dev tun.Device, ifname string, index int, err error)
	// RemoveTUN removes what a crash left of a TUN.
	RemoveTUN(ifname string) error
	// Router sets addresses and routes of an interface.
	Router(ifname string, index int) (router.Router, error)
	// Egress takes hold of what this machine sends; it leaves as it is what an
	// earlier process set.
	Egress(j sysctl.Journal) (egress.Egress, error)
	// NAT takes hold of the kernel's passing on of others' packets.
	NAT(j sysctl.Journal) (nat.NAT, error)
	// RestoreNet undoes what a crash left of NAT and, unless the leak guard is to
	// stay until the next Egress, of Egress.
	RestoreNet(j sysctl.Journal, keepGuard bool) error
	// Portal watches the system's own verdict on the network it is on; an error,
	// and nil, where it has none.
	Portal() (portal.Watcher, error)
	// Blocked4 finds a firewall rule that drops what comes from prefix on ifname.
	Blocked4(prefix netip.Prefix, ifname string) (rule string, blocked bool, err error)
	// Resolver opens the stub resolver's sockets.
	Resolver() stub.Sockets
	// DNS takes hold of the system's resolver settings.
	DNS(j osconf.Journal, notify func(osconf.Event)) (osconf.Manager, error)
	// RestoreDNS puts back what a crash left of them.
	RestoreDNS(j osconf.Journal) error
	// Ping sends one ICMP echo request from src to dst through the host's own
	// stack and waits for the answer until ctx ends.
	Ping(ctx context.Context, src, dst netip.Addr, seq int) (time.Duration, error)
}

// PortMapper keeps ports open on the gateways, until Close.
type PortMapper interface {
	// Set says which UDP ports are wanted, all of them, and looks anew where to
	// ask for them: for each change of the ports or the network.
	Set(ports []uint16)
	// Recheck asks at once whether all still stands, after a sleep.
	Recheck()
	// Changes has something to receive after Mapped changed.
	Changes() <-chan struct{}
	// Mapped is where each port is reached from outside.
	Mapped() map[uint16][]netip.AddrPort
	// Report is about each gateway, for people.
	Report() []Gateway
	// Close gives the ports back.
	Close() error
}

// Gateway is what a gateway does when it is asked for ports.
type Gateway struct {
	Interface  string
	Addr       netip.Addr
	Method     string // that it understands: PCP, NAT-PMP, UPnP; "" for none
	Mapped     []netip.AddrPort
	Why        string // there is none
	Complaints []string
}

// Monitor is netmon's watcher.
type Monitor interface {
	State() (netmon.State, error)
	Routes() ([]netmon.Route, error)
	Changes() <-chan struct{}
	Woke() <-chan struct{}
	Close() error
}
