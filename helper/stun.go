package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"kith.internal/ipc"
)

const (
	mostServers  = 8
	lookupWithin = 5 * time.Second
)

// Validate is called by kong: a server that cannot be one is a mistake of usage.
func (c *runCmd) Validate() error {
	if len(c.STUN) > mostServers {
		return fmt.Errorf("--stun: %d servers, at most %d are asked", len(c.STUN), mostServers)
	}
	for _, s := range c.STUN {
		if _, _, err := splitServer(s); err != nil {
			return err
		}
	}
	return nil
}

// splitServer takes HOST:PORT apart.
func splitServer(s string) (host string, port uint16, err error) {
	bad := func(why string) error {
		return fmt.Errorf("--stun %q: %s; give HOST:PORT, such as stun.example.net:3478, 192.0.2.1:3478 or [2001:db8::1]:3478", s, why)
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, bad("not a host and a port")
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, bad("the port is not between 1 and 65535")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			return "", 0, bad("no server has that address")
		}
	} else if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	}) {
		return "", 0, bad("not a host's name or address")
	}
	return host, uint16(n), nil
}

// servers looks the STUN servers up. One that is not found now is left out: the
// tunnels do not wait for it.
func (c *runCmd) servers(ctx context.Context, log *slog.Logger) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	var out []netip.AddrPort
	for _, s := range c.STUN {
		host, port, err := splitServer(s)
		if err != nil {
			return nil, ipc.Errorf(ipc.CodeUsage, "%w", err)
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			log.Warn("the STUN server is left out", "server", s, "err", err)
			continue
		}
		for _, four := range []bool{true, false} {
			if i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is4() == four }); i >= 0 {
				out = append(out, netip.AddrPortFrom(addrs[i].Unmap(), port))
			}
		}
	}
	return out, nil
}
