package engine

import (
	"context"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/dns/osconf"
	"kith.internal/dns/stub"
	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/osnet/router"
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
	// Multicast opens the LAN discovery of all networks.
	Multicast() (discover.Multicast, error)
	// Monitor watches interfaces, addresses and routes.
	Monitor() (Monitor, error)
	// TUN makes a TUN; "" picks the first free kith0, kith1…
	TUN(name string, mtu int) (dev tun.Device, ifname string, index int, err error)
	// RemoveTUN removes what a crash left of a TUN.
	RemoveTUN(ifname string) error
	// Router sets addresses and routes of an interface.
	Router(ifname string, index int) (router.Router, error)
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

// Monitor is netmon's watcher.
type Monitor interface {
	State() (netmon.State, error)
	Routes() ([]netmon.Route, error)
	Changes() <-chan struct{}
	Woke() <-chan struct{}
	Close() error
}
