// Package simnet runs real engines, several in one process, on simulated LANs
// and a simulated internet under a fake clock: real stores, real WireGuard, real control streams; the
// host, its sockets and its TUNs are in memory. It needs no root. Everything
// here is called from inside a testing/synctest bubble. Only tests import it.
package simnet

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kith.internal/helper/internal/osnet/egress/egresstest"
	"kith.internal/helper/internal/osnet/nat/nattest"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// Net is a world of hosts and LANs.
type Net struct {
	tb    testing.TB
	udp   *udptest.Net
	core  *udptest.Router // of the internet; nil: there is none
	hosts []*Host
	lans  int
	sites int
}

// New makes an empty world. Its engines are closed when the test ends.
func New(tb testing.TB) *Net {
	n := &Net{tb: tb, udp: udptest.NewNet()}
	tb.TempDir() // removed after what is cleaned up from here on: hosts still write
	tb.Cleanup(func() {
		for _, h := range n.hosts {
			h.Stop()
			h.ends.Wait()
		}
	})
	return n
}

// LAN is a link. Its methods set delay, loss, MTU and filters.
type LAN struct {
	*udptest.Segment
	prefix, prefix6   netip.Prefix // invalid: none but link-local IPv6
	next, next6       netip.Addr
	gateway, gateway6 netip.Addr // of the default routes; invalid: none
}

const lanDelay = 200 * time.Microsecond

// LAN makes a link with an IPv4 prefix of its own.
func (n *Net) LAN(name string) *LAN {
	l := n.LinkLocal(name)
	n.lans++
	l.prefix = netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", n.lans%250, n.lans/250))
	l.next = l.prefix.Addr().Next()
	return l
}

// LinkLocal makes a link on which hosts have IPv6 link-local addresses alone.
func (n *Net) LinkLocal(name string) *LAN {
	l := &LAN{Segment: n.udp.Segment(name)}
	l.SetDelay(lanDelay)
	return l
}

// address is the next free one of each prefix of the link.
func (l *LAN) address() (out []netip.Prefix) {
	if l.prefix.IsValid() {
		out = append(out, netip.PrefixFrom(l.next, l.prefix.Bits()))
		l.next = l.next.Next()
	}
	if l.prefix6.IsValid() {
		out = append(out, netip.PrefixFrom(l.next6, l.prefix6.Bits()))
		l.next6 = l.next6.Next()
	}
	return out
}

// Host makes a machine on these LANs, switched off.
func (n *Net) Host(name string, lans ...*LAN) *Host {
	h := &Host{
		net: n, tb: n.tb, name: name, udp: n.udp.Host(name), dir: n.tb.TempDir(),
		addrs: map[*LAN][]netip.Prefix{}, log: newLog(n.tb, name),
		egress: egresstest.New(), nat: nattest.New(),
	}
	n.hosts = append(n.hosts, h)
	for _, l := range lans {
		h.Attach(l)
	}
	return h
}

// newLog writes an engine's log to the test's, warnings alone unless
// KITH_SIMNET_LOG names another level.
func newLog(tb testing.TB, host string) *slog.Logger {
	level := slog.LevelWarn
	if s := os.Getenv("KITH_SIMNET_LOG"); s != "" {
		if err := level.UnmarshalText([]byte(s)); err != nil {
			tb.Fatalf("KITH_SIMNET_LOG: %v", err)
		}
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: level})).With("host", host)
}

// alive is a log that ends with its process.
type alive struct {
	slog.Handler
	b *boot
}

func (a alive) Enabled(ctx context.Context, l slog.Level) bool {
	return !a.b.isDead() && a.Handler.Enabled(ctx, l)
}

func (a alive) WithAttrs(attrs []slog.Attr) slog.Handler {
	return alive{a.Handler.WithAttrs(attrs), a.b}
}
func (a alive) WithGroup(name string) slog.Handler { return alive{a.Handler.WithGroup(name), a.b} }

// copyDir copies the files of a directory, as they are at this instant.
func copyDir(from, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
