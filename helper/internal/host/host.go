// Package host is the real operating system as the engine uses it: it joins the
// packages that own its parts, and holds no state of its own.
package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"

	wgtun "golang.zx2c4.com/wireguard/tun"

	"kith.internal/dns/osconf"
	"kith.internal/dns/stub"
	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/engine"
	"kith.internal/helper/internal/osnet/egress"
	"kith.internal/helper/internal/osnet/firewall"
	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/osnet/portal"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/osnet/sysctl"
	"kith.internal/helper/internal/osnet/tun"
	"kith.internal/helper/internal/wire/udp"
)

// Host is this machine.
type Host struct {
	StateDir string // for the backup of the resolver's settings
	LeaveDNS bool   // --dns off
	Log      *slog.Logger
}

var _ engine.Host = Host{}

// Name is the host's name.
func (Host) Name() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// OS is the operating system as Go names it.
func (Host) OS() string { return runtime.GOOS }

// Listen opens a UDP port; 0 is a random one.
func (Host) Listen(port uint16) (udp.Conn, error) { return udp.Listen(port) }

// Multicast opens LAN discovery.
func (Host) Multicast() discover.Multicast { return discover.Open() }

// Monitor watches the network.
func (Host) Monitor() (engine.Monitor, error) {
	w, err := netmon.New()
	if err != nil {
		return nil, err
	}
	return w, nil
}

// TUN makes a TUN.
func (Host) TUN(name string, mtu int) (wgtun.Device, string, int, error) {
	return tun.Create(name, mtu)
}

// RemoveTUN removes what a crash left.
func (Host) RemoveTUN(ifname string) error { return tun.Remove(ifname) }

// Router configures an interface.
func (Host) Router(ifname string, index int) (router.Router, error) { return router.New(ifname, index) }

// Egress takes hold of this machine's routing.
func (Host) Egress(j sysctl.Journal) (egress.Egress, error) { return egress.New(j) }

// NAT takes hold of the kernel's passing on.
func (Host) NAT(j sysctl.Journal) (nat.NAT, error) { return nat.New(j) }

// RestoreNet undoes what a crash left of both.
func (Host) RestoreNet(j sysctl.Journal, keepGuard bool) error {
	err := nat.Cleanup(j)
	if keepGuard {
		return err
	}
	return errors.Join(err, egress.Cleanup(j))
}

// Portal watches the system's word on captive portals.
func (Host) Portal() (portal.Watcher, error) { return portal.Watch() }

// Blocked4 looks through the firewall's rules.
func (Host) Blocked4(prefix netip.Prefix, ifname string) (string, bool, error) {
	return firewall.Blocked4(prefix, ifname)
}

// Resolver is the OS's own sockets.
func (Host) Resolver() stub.Sockets { return nil }

func (h Host) dns(j osconf.Journal, notify func(osconf.Event)) osconf.Config {
	return osconf.Config{StateDir: h.StateDir, Journal: j, Log: h.Log, Notify: notify}
}

// DNS takes hold of the resolver's settings.
func (h Host) DNS(j osconf.Journal, notify func(osconf.Event)) (osconf.Manager, error) {
	if h.LeaveDNS {
		return osconf.Off(h.dns(j, notify)), nil
	}
	return osconf.New(h.dns(j, notify))
}

// RestoreDNS puts back what a crash left of them.
func (h Host) RestoreDNS(j osconf.Journal) error {
	if err := osconf.Restore(h.dns(j, nil)); err != nil {
		return fmt.Errorf("restore the resolver's settings: %w", err)
	}
	return nil
}
