package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"

	"kith.internal/helper/internal/osnet/bypass"
	"kith.internal/helper/internal/osnet/nat64"
)

// keepAlive finds out the far end that is gone without a word; frames of a link
// do so sooner.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// ListenTCP listens on addr, ":PORT" for all addresses of both families.
func (Host) ListenTCP(ctx context.Context, addr string) (net.Listener, error) {
	c := net.ListenConfig{KeepAliveConfig: keepAlive, Control: bypass.Control}
	return c.Listen(ctx, "tcp", addr)
}

// DialTCP connects to addr, around an exit node. Where the host has no way for
// IPv4, its network's NAT64 may have one.
func (Host) DialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: bypass.Control}
	c, err := d.DialContext(ctx, network, addr)
	if at, bad := netip.ParseAddrPort(addr); bad == nil && network == "tcp" && nat64.Lacking(err) {
		if six := nat64.Embed(at.Addr()); six.IsValid() {
			if c, err := d.DialContext(ctx, network, netip.AddrPortFrom(six, at.Port()).String()); err == nil {
				return c, nil
			}
		}
	}
	return c, err
}

// Proxy is what HTTPS_PROXY and NO_PROXY say of host.
func (Host) Proxy(host string) (*url.URL, error) {
	u, err := httpproxy.FromEnvironment().ProxyFunc()(&url.URL{Scheme: "https", Host: host})
	if err != nil {
		return nil, fmt.Errorf("read the proxy's settings: %w", err)
	}
	return u, nil
}

// LookupHost asks the system's resolver.
func (Host) LookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, err
}
