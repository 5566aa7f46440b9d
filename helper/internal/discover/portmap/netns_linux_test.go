package portmap

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/osnet/netmon"
)

// The home's outside addresses are such as miniupnpd takes for public ones.
const (
	outside4 = "5.45.96.2"
	inside4  = "192.168.7.10"
	inside6  = "2001:db8:7::10"
)

// patience bounds what must happen and has no budget of its own.
const patience = 30 * time.Second

// home is a LAN behind a router with a real miniupnpd, and a host outside.
type home struct {
	*testing.T
	router, client, far *netnstest.Host
	daemon              *exec.Cmd
	said                *bytes.Buffer
	conf                string
	source              *netmon.Watcher
}

func newHome(t *testing.T, options ...string) *home {
	t.Helper()
	b := netnstest.New(t)
	p := netip.MustParsePrefix
	wan, in := b.LAN("wan"), b.LAN("lan")
	h := &home{T: t, router: b.Router("router"), client: b.Host("client"), far: b.Host("far")}
	h.far.Attach(wan, p("5.45.96.1/24"), p("2001:db8:9::1/64"))
	h.router.Attach(wan, p(outside4+"/24"), p("2001:db8:9::2/64"))
	h.router.Attach(in, p("192.168.7.1/24"), p("2001:db8:7::1/64"))
	h.client.Attach(in, p(inside4+"/24"), p(inside6+"/64"))
	h.client.Run("ip", "route", "add", "default", "via", "192.168.7.1")
	h.router.Run("ip", "addr", "add", "fe80::77/64", "dev", "lan", "nodad")
	h.client.Run("ip", "-6", "route", "add", "default", "via", "fe80::77", "dev", "lan")
	h.far.Run("ip", "-6", "route", "add", "2001:db8:7::/64", "via", "2001:db8:9::2")
	h.router.NFT(`table inet filter {
		chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "lan" accept; jump miniupnpd; }
		chain miniupnpd { }
		chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
		chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; ip saddr 192.168.0.0/16 oifname "wan" masquerade; }
		chain prerouting_miniupnpd { }
		chain postrouting_miniupnpd { }
	}`)
	h.conf = filepath.Join(t.TempDir(), "miniupnpd.conf")
	conf := append([]string{
		"ext_ifname=wan", "listening_ip=lan", "uuid=00000000-0000-0000-0000-000000000001", "secure_mode=yes", "system_uptime=no",
		"min_lifetime=120", "max_lifetime=86400", "allow 1024-65535 192.168.7.0/24 1024-65535", "deny 0-65535 0.0.0.0/0 0-65535",
	}, options...)
	if err := os.WriteFile(h.conf, []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	t.Cleanup(func() {
		h.stop()
		if t.Failed() {
			t.Logf("miniupnpd: %.20000s", h.said)
		}
	})
	var err error
	h.client.Do(func() { h.source, err = netmon.New() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.source.Close() })
	return h
}

func (h *home) start() {
	h.Helper()
	program, err := exec.LookPath("miniupnpd")
	if err != nil {
		program = "/usr/sbin/miniupnpd"
	}
	h.daemon, h.said = h.router.Command(program, "-d", "-f", h.conf, "-P", h.conf+".pid"), new(bytes.Buffer)
	h.daemon.Stdout, h.daemon.Stderr = h.said, h.said
	if err := h.daemon.Start(); err != nil {
		h.Fatalf("start miniupnpd of Debian's miniupnpd-nftables: %v", err)
	}
}

// stop kills it; its rules go with it, as when a router restarts.
func (h *home) stop() {
	h.daemon.Process.Kill()
	h.daemon.Wait()
	for _, c := range []string{"miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"} {
		h.router.Run("nft", "flush", "chain", "inet", "filter", c)
	}
}

// UDP is Network's, on the client.
func (h *home) UDP(local netip.Addr, index int) (c Conn, err error) {
	h.client.Do(func() { c, err = host{}.UDP(local, index) })
	return c, err
}

// TCP is Network's, on the client.
func (h *home) TCP(ctx context.Context, local netip.Addr, index int, to netip.AddrPort) (c net.Conn, err error) {
	h.client.Do(func() { c, err = host{}.TCP(ctx, local, index, to) })
	return c, err
}

func (h *home) mapper() *Mapper {
	m := New(Config{Source: h.source, Network: h, Log: slog.New(slog.DiscardHandler), Seed: [32]byte{1}})
	h.Cleanup(func() { m.Close() })
	return m
}

// listen opens a port of the client's.
func (h *home) listen(at string) (netip.AddrPort, net.PacketConn) {
	h.Helper()
	var c net.PacketConn
	var err error
	h.client.Do(func() { c, err = net.ListenPacket("udp", net.JoinHostPort(at, "0")) })
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { c.Close() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort(), c
}

// await waits until port is mapped to as many addresses.
func (h *home) await(m *Mapper, port uint16, n int) []netip.AddrPort {
	h.Helper()
	end := time.After(patience)
	for {
		if got := m.Mapped()[port]; len(got) == n {
			return got
		}
		select {
		case <-m.Changes():
		case <-end:
			h.Fatalf("mapped %v: %+v", m.Mapped(), m.Report())
		}
	}
}

// reaches tells whether a datagram from outside to an address comes to c.
func (h *home) reaches(to netip.AddrPort, c net.PacketConn) bool {
	h.Helper()
	var out net.Conn
	var err error
	h.far.Do(func() { out, err = net.Dial("udp", to.String()) })
	if err != nil {
		h.Fatal(err)
	}
	defer out.Close()
	buf := make([]byte, 100)
	word := fmt.Sprint("to ", to)
	for range 3 {
		if _, err := out.Write([]byte(word)); err != nil {
			return false
		}
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, _, err := c.ReadFrom(buf); err == nil && string(buf[:n]) == word {
			return true
		}
	}
	return false
}

// comes waits until it does.
func (h *home) comes(to netip.AddrPort, c net.PacketConn) bool {
	h.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if h.reaches(to, c) {
			return true
		}
	}
	return false
}

// gateway is the report on one family.
func gateway(m *Mapper, four bool) (g Gateway) {
	for _, g := range m.Report() {
		if g.Addr.Is4() == four {
			return g
		}
	}
	return g
}

func TestNetnsMethods(t *testing.T) {
	for _, c := range []struct {
		method  Method
		options []string
		rules   string
	}{
		// The first byte of a request is its version.
		{PCP, []string{"enable_natpmp=yes", "enable_upnp=no"}, `table inet new { chain input { type filter hook input priority 0; udp dport 5351 @th,64,8 0 drop; }; }`},
		{NATPMP, []string{"enable_natpmp=yes", "enable_upnp=no"}, `table inet old { chain input { type filter hook input priority 0; udp dport 5351 @th,64,8 2 drop; }; }`},
		{UPnP, []string{"enable_natpmp=no", "ipv6_disable=yes"}, ""},
		{UPnP, []string{"enable_natpmp=no", "force_igd_desc_v1=yes"}, ""},
	} {
		t.Run(strings.Join(append([]string{c.method.String()}, c.options[1:]...), " "), func(t *testing.T) {
			h := newHome(t, c.options...)
			if c.rules != "" {
				h.router.NFT(c.rules)
			}
			inside, conn := h.listen(inside4)
			to := netip.AddrPortFrom(netip.MustParseAddr(outside4), inside.Port())
			if h.reaches(to, conn) {
				t.Fatal("the port was open before")
			}
			m := h.mapper()
			start := time.Now()
			m.Set([]uint16{inside.Port()})
			if got := h.awaitFour(m, inside.Port()); got != to {
				t.Fatalf("mapped %v, not %v", got, to)
			}
			t.Logf("mapped within %v", time.Since(start).Round(time.Millisecond))
			if g := gateway(m, true); g.Method != c.method || len(g.Complaints) != 0 {
				t.Errorf("report: %+v", g)
			}
			if !h.comes(to, conn) {
				t.Error("nothing comes through")
			}
			// A router that restarts.
			h.stop()
			if h.reaches(to, conn) {
				t.Fatal("the port is open without miniupnpd")
			}
			h.start()
			for end := time.Now().Add(3 * patience); !h.reaches(to, conn); {
				m.recheckNow()
				if time.Now().After(end) {
					t.Fatalf("not mapped again: %+v", m.Report())
				}
			}
			m.Close()
			if h.reaches(to, conn) {
				t.Error("not given back")
			}
		})
	}
}

// recheckNow is Recheck without a gap between two.
func (m *Mapper) recheckNow() {
	m.mu.Lock()
	for _, s := range m.sessions {
		s.mu.Lock()
		s.checked = time.Time{}
		s.mu.Unlock()
	}
	m.mu.Unlock()
	m.Recheck()
}

// awaitFour waits for an IPv4 mapping.
func (h *home) awaitFour(m *Mapper, port uint16) netip.AddrPort {
	h.Helper()
	end := time.After(patience)
	for {
		for _, a := range m.Mapped()[port] {
			if a.Addr().Is4() {
				return a
			}
		}
		select {
		case <-m.Changes():
		case <-end:
			h.Fatalf("mapped %v: %+v", m.Mapped(), m.Report())
		}
	}
}

func TestNetnsIPv6Hole(t *testing.T) {
	h := newHome(t, "enable_natpmp=yes")
	inside, conn := h.listen(inside6)
	if h.reaches(inside, conn) {
		t.Fatal("the port was open before")
	}
	m := h.mapper()
	m.Set([]uint16{inside.Port()})
	got := h.await(m, inside.Port(), 2)
	if got[1] != inside {
		t.Errorf("mapped %v", got)
	}
	if !h.comes(inside, conn) {
		t.Error("nothing comes through")
	}
	m.Close()
	if h.reaches(inside, conn) {
		t.Error("not given back")
	}
}

// TestNetnsRenewal asks again for what is held, by each method.
func TestNetnsRenewal(t *testing.T) {
	h := newHome(t, "enable_natpmp=yes")
	inside, conn := h.listen(inside4)
	u := uplink{place: place{h.index(), netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr(inside4)}, name: "lan"}
	s := newSession(New(Config{Source: h.source, Network: h, Log: slog.New(slog.DiscardHandler)}), u, func() {})
	for _, m := range []method{&pcp{link: &s.link, seed: [32]byte{2}}, &natpmp{link: &s.link}, &igd{link: &s.link}} {
		t.Run(m.name().String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := m.probe(ctx); err != nil {
				t.Fatal(err)
			}
			l, err := s.open(ctx, m, inside.Port(), lease{})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				again, err := s.open(ctx, m, inside.Port(), l)
				if err != nil || again.external != l.external || again.lasts < leaseTime/2 {
					t.Errorf("renewed %+v as %+v, %v", l, again, err)
				}
			}
			if !h.comes(l.external, conn) {
				t.Error("nothing comes through")
			}
			if lost, err := m.check(ctx, []lease{l}); lost || err != nil {
				t.Errorf("checked: %t, %v", lost, err)
			}
			if err := m.shut(ctx, l); err != nil {
				t.Errorf("give back: %v", err)
			}
			if h.reaches(l.external, conn) {
				t.Error("not given back")
			}
		})
	}
}

// TestNetnsAfterACrash takes over what was not given back.
func TestNetnsAfterACrash(t *testing.T) {
	h := newHome(t, "enable_natpmp=yes", "enable_upnp=no")
	inside, _ := h.listen(inside4)
	u := uplink{place: place{h.index(), netip.MustParseAddr("192.168.7.1"), netip.MustParseAddr(inside4)}, name: "lan"}
	s := newSession(New(Config{Source: h.source, Network: h, Log: slog.New(slog.DiscardHandler)}), u, func() {})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ask := func(seed byte) (lease, error) {
		m := &pcp{link: &s.link, seed: [32]byte{seed}}
		if err := m.probe(ctx); err != nil {
			return lease{}, err
		}
		return s.open(ctx, m, inside.Port(), lease{})
	}
	first, err := ask(1)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := ask(1); err != nil || l.external != first.external {
		t.Errorf("by the same seed: %+v, %v", l, err)
	}
}

func (h *home) index() (index int) {
	h.Helper()
	for _, i := range h.client.Interfaces() {
		if i.Name == "lan" {
			return i.Index
		}
	}
	h.Fatal("no interface")
	return 0
}
