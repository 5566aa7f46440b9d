package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	wgtest "golang.zx2c4.com/wireguard/tun/tuntest"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/tun/tuntest"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// guard is a real WireGuard device over a node's wire.
type guard struct {
	n   *node
	ip  netip.Addr
	key key.ExchangePrivate
	tun *wgtest.ChannelTUN
	dev *device.Device
}

func newGuard(n *node, ip string) *guard { return newGuardOn(n, ip, n.wire.Bind()) }

// newGuardOn is newGuard with something between the device and the wire.
func newGuardOn(n *node, ip string, b conn.Bind) *guard {
	g := &guard{n: n, ip: netip.MustParseAddr(ip), key: key.NewExchange(), tun: wgtest.NewChannelTUN()}
	g.dev = device.NewDevice(g.tun.TUN(), b, device.NewLogger(device.LogLevelError, n.name+": "))
	g.set("private_key=%s\n", hex.EncodeToString(g.key[:]))
	if err := g.dev.Up(); err != nil {
		n.t.Fatal(err)
	}
	return g
}

func (g *guard) set(format string, args ...any) {
	g.n.t.Helper()
	if err := g.dev.IpcSet(fmt.Sprintf(format, args...)); err != nil {
		g.n.t.Fatal(err)
	}
}

// configure adds the peer to the device.
func (g *guard) configure(of *guard) {
	g.n.t.Helper()
	pub := of.key.Public()
	g.set("public_key=%s\nendpoint=%s\nreplace_allowed_ips=true\nallowed_ip=%s/32\n", hex.EncodeToString(pub[:]), g.n.wire.Endpoint(of.n.id()), of.ip)
	tuntest.NoFinalizers(g.dev.LookupPeer(device.NoisePublicKey(pub)))
	g.n.wire.SetConfigured(of.n.id(), true)
}

func (g *guard) forget(of *guard) {
	g.n.t.Helper()
	pub := of.key.Public()
	g.set("public_key=%s\nremove=true\n", hex.EncodeToString(pub[:]))
}

func (g *guard) stop() { g.dev.Close() }

// echoTo is a packet from one device to another.
func echoTo(to, from *guard) []byte { return wgtest.Ping(to.ip, from.ip) }

// ping sends a packet and returns how long it took to arrive, a negative time
// if it has not within the limit.
func (g *guard) ping(to *guard, limit time.Duration) time.Duration {
	packet := echoTo(to, g)
	start := time.Now()
	g.tun.Outbound <- packet
	select {
	case got := <-to.tun.Inbound:
		if !bytes.Equal(got, packet) {
			g.n.t.Error("another packet has arrived")
		}
		return time.Since(start)
	case <-time.After(limit):
		return -1
	}
}

// guards is two WireGuard devices that know of each other.
func guards(t testing.TB) (seg *udptest.Segment, a, b *guard) {
	_, seg, na, nb := lan(t)
	seg.SetDelay(2 * time.Millisecond)
	na.wire.SetPeers([]Peer{nb.peer(addr("10.0.0.2:30000"))})
	nb.wire.SetPeers([]Peer{na.peer()})
	return seg, newGuard(na, "192.0.2.1"), newGuard(nb, "192.0.2.2")
}

func (g *guard) end() {
	g.stop()
	g.n.stop()
}

func TestDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := guards(t)
		defer a.end()
		defer b.end()
		b.configure(a)
		a.configure(b)
		for i := range 3 {
			if d := a.ping(b, time.Second); d < 0 || d > 50*time.Millisecond {
				t.Fatalf("ping %d took %v", i, d)
			}
			if d := b.ping(a, time.Second); d < 0 || d > 50*time.Millisecond {
				t.Fatalf("ping %d back took %v", i, d)
			}
		}
	})
}

// TestHeldInitiation: the first packet goes out before the other side knows
// us, and before there is a path; it arrives at once when both are there.
func TestHeldInitiation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := guards(t)
		defer a.end()
		defer b.end()
		a.configure(b)
		a.n.wire.Want(b.n.id(), true)
		go func() {
			time.Sleep(2 * time.Second)
			if got := b.n.told(); !slices.Contains(got, "wants") {
				t.Errorf("b was told %q, not that a wants a session", got)
			}
			b.configure(a)
		}()
		if d := a.ping(b, 5*time.Second); d < 0 || d > 2050*time.Millisecond {
			t.Fatalf("the first packet took %v, want it right after two seconds", d)
		}
	})
}

// TestLossyHandshake: a lost handshake message is repeated long before
// wireguard-go would.
func TestLossyHandshake(t *testing.T) {
	for _, c := range []struct {
		name string
		kind byte
		size int
	}{{"initiation", initiationType, initiationSize}, {"response", responseType, responseSize}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seg, a, b := guards(t)
				defer a.end()
				defer b.end()
				b.configure(a)
				a.configure(b)
				// Else the initiation may overtake what shows b the path to a: its
				// response goes to a place that is nobody's yet, and is not repeated.
				a.n.wire.Want(b.n.id(), true)
				time.Sleep(time.Second)
				b.n.wantPath(a.n, LAN, "")
				lost := 0
				seg.SetFilter(func(d udptest.Datagram) bool {
					if len(d.Payload) == c.size && d.Payload[0] == c.kind && lost < 2 {
						lost++
						return false
					}
					return true
				})
				if d := a.ping(b, 5*time.Second); d < 0 || d > 1500*time.Millisecond {
					t.Fatalf("the first packet took %v", d)
				}
				if lost != 2 {
					t.Fatalf("%d lost, want 2", lost)
				}
			})
		})
	}
}

// TestRestartedDevice: after a restart of one side the other configures it
// afresh, and packets flow at once, though the clock has been set back.
func TestRestartedDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := guards(t)
		defer func() { a.end() }()
		defer b.end()
		b.configure(a)
		a.configure(b)
		if d := a.ping(b, time.Second); d < 0 {
			t.Fatal("no packet")
		}
		old := a
		a.stop()
		a.n.told()
		b.n.told()
		a.n.restart(b.n.peer(addr("10.0.0.2:30000")))
		a.n.wire.Seek(b.n.id())
		time.Sleep(10 * time.Millisecond) // a round trip and a half
		if got := b.n.told(); !slices.Contains(got, "restarted") {
			t.Fatalf("b was told %q, not that a has restarted", got)
		}
		b.forget(old)
		a = newGuard(a.n, "192.0.2.1")
		b.configure(a)
		a.configure(b)
		if d := a.ping(b, time.Second); d < 0 || d > 50*time.Millisecond {
			t.Fatalf("the first packet took %v", d)
		}
	})
}

// TestHandOver: control goes on while wireguard-go comes and goes.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := guards(t)
		defer a.end()
		defer b.end()
		s, _ := echo(t, a.n, b.n)
		defer s.Close(0)
		port := a.n.conn.Port()
		for range 5 {
			for _, g := range []*guard{a, b} {
				if err := g.dev.Down(); err != nil {
					t.Fatal(err)
				}
			}
			a.n.wire.NetworkChanged()
			time.Sleep(10 * time.Millisecond)
			if s := a.n.status(b.n); s.Reason != Confirmed {
				t.Fatalf("while down: %v", s.Reason)
			}
			for _, g := range []*guard{a, b} {
				if err := g.dev.Up(); err != nil {
					t.Fatal(err)
				}
			}
			a.n.wire.NetworkChanged()
			time.Sleep(10 * time.Millisecond)
			if s := a.n.status(b.n); s.Reason != Confirmed {
				t.Fatalf("while up: %v", s.Reason)
			}
		}
		b.configure(a)
		a.configure(b)
		if d := a.ping(b, time.Second); d < 0 {
			t.Fatal("no packet")
		}
		if a.n.conn.Port() != port {
			t.Fatal("the port has changed")
		}
		if s.Context().Err() != nil {
			t.Fatal("the session has ended")
		}
	})
}
