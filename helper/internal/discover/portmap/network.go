package portmap

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
)

// Network is the host's sockets.
type Network interface {
	// UDP opens a socket at a random port of local, out by one interface alone
	// and also for multicast.
	UDP(local netip.Addr, index int) (Conn, error)
	// TCP connects from local by one interface alone.
	TCP(ctx context.Context, local netip.Addr, index int, to netip.AddrPort) (net.Conn, error)
}

// Conn is a *net.UDPConn. A closed one ends a Read.
type Conn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

// host is the Network of the operating system.
type host struct{}

func (host) UDP(local netip.Addr, index int) (Conn, error) {
	network := family("udp", local)
	l := net.ListenConfig{Control: control(local, index)}
	c, err := l.ListenPacket(context.Background(), network, netip.AddrPortFrom(zoned(local, index), 0).String())
	if err != nil {
		return nil, fmt.Errorf("open a socket to ask the gateway: %w", err)
	}
	udp := c.(*net.UDPConn)
	if local.Is4() {
		// Where it fails the system's own choice stands.
		_ = ipv4.NewPacketConn(udp).SetMulticastInterface(&net.Interface{Index: index})
	}
	return udp, nil
}

func (host) TCP(ctx context.Context, local netip.Addr, index int, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(zoned(local, index), 0)),
		Control:   control(local, index),
	}
	return d.DialContext(ctx, family("tcp", local), to.String())
}

func family(network string, a netip.Addr) string {
	if a.Is4() {
		return network + "4"
	}
	return network + "6"
}

// control binds a socket to the interface, so that no route into a tunnel takes
// what is meant for the gateway. Where that is not permitted the local address
// alone decides.
func control(local netip.Addr, index int) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { bind(fd, local.Is4(), index) })
	}
}
