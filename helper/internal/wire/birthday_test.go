package wire

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// homes is two nodes behind routers of their own and a relay with two ports in
// the open, 198.51.100.1.
type homes struct {
	net      *udptest.Net
	internet *udptest.Segment
	routers  []*udptest.Router
	ends     [2]*node
	relay    *node
}

// newHomes gives each end a NAT, or a stateful firewall for nil.
func newHomes(t *testing.T, nats ...*udptest.NAT) *homes {
	h := &homes{net: udptest.NewNet()}
	h.internet = h.net.Segment("internet")
	h.internet.SetDelay(10 * time.Millisecond)
	host := h.net.Host("relay")
	host.Attach(h.internet, netip.MustParsePrefix("198.51.100.1/24"))
	h.relay = newNode(t, "relay", host)
	other, err := host.Listen(443)
	if err != nil {
		t.Fatal(err)
	}
	remove := h.relay.wire.AddConn(other)
	t.Cleanup(func() { remove(); other.Close() })
	h.relay.wire.SetForwarding(Forwarding{On: true})
	for i, kind := range nats {
		host := h.net.Host([]string{"a", "b"}[i])
		ip := byte(11 + i)
		if kind == nil {
			host.Attach(h.internet, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, ip}), 24))
			host.SetFirewall(true)
		} else {
			lan := h.net.Segment("home")
			r := h.net.Router("router")
			r.Attach(lan, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, ip, 254}), 24))
			r.Attach(h.internet, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, ip}), 24))
			r.SetOutside(h.internet)
			r.SetNAT(kind)
			host.Attach(lan, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, ip, 1}), 24))
			host.AddDefault(lan, netip.AddrFrom4([4]byte{192, 168, ip, 254}), 1)
			h.routers = append(h.routers, r)
		}
		h.ends[i] = newNode(t, []string{"a", "b"}[i], host)
	}
	s := h.relay.peer(addr("198.51.100.1:30000"), addr("198.51.100.1:443"))
	s.Relay = &Relay{Addrs: s.Candidates}
	a, b := h.ends[0], h.ends[1]
	h.relay.wire.SetPeers([]Peer{a.peer(), b.peer()})
	a.wire.SetPeers([]Peer{s, b.peer()})
	b.wire.SetPeers([]Peer{s, a.peer()})
	return h
}

func (h *homes) stop() {
	for _, n := range []*node{h.ends[0], h.ends[1], h.relay} {
		n.stop()
	}
}

// TestBirthday: behind a NAT that gives each far end another port a device is
// met all the same, nine times in ten, and what that costs is bounded. One try in
// fifty is to fail, so that ten, or forty, are too few to tell. Two that are both behind such
// a NAT meet by luck alone, once in some hundred tries.
func TestBirthday(t *testing.T) {
	masquerade, symmetric := udptest.Masquerade, udptest.Symmetric
	for _, c := range []struct {
		name string
		nats [2]*udptest.NAT
		runs int
		want int // of them that get there, at least
		most int // and at most
	}{
		{"a port-preserving NAT", [2]*udptest.NAT{&symmetric, &masquerade}, 120, 108, 120},
		{"the other way around", [2]*udptest.NAT{&masquerade, &symmetric}, 120, 108, 120},
		{"a stateful firewall", [2]*udptest.NAT{&symmetric, nil}, 120, 108, 120},
		{"both are such", [2]*udptest.NAT{&symmetric, &symmetric}, 10, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			met := 0
			for run := range c.runs {
				synctest.Test(t, func(t *testing.T) {
					h := newHomes(t, c.nats[:]...)
					h.net.Seed(uint64(run))
					defer h.stop()
					na, nb := h.ends[0], h.ends[1]
					a, b := newGuard(na, "192.0.2.1"), newGuard(nb, "192.0.2.2")
					defer a.end()
					defer b.end()
					time.Sleep(2 * time.Second)
					chains := [][]key.Public{{h.relay.id()}}
					na.wire.SetChains(nb.id(), chains)
					nb.wire.SetChains(na.id(), chains)
					b.configure(a)
					a.configure(b)
					sent := map[netip.AddrPort]bool{}
					far := netip.MustParseAddr("198.51.100.11")
					if c.nats[0] != &symmetric {
						far = netip.MustParseAddr("198.51.100.12")
					}
					h.internet.SetFilter(func(d udptest.Datagram) bool {
						if d.To.Addr() == far && d.From.Addr() != netip.MustParseAddr("198.51.100.1") {
							sent[d.To] = true
						}
						return true
					})
					na.wire.Want(nb.id(), true)
					if gap := talk(a, b, 11*time.Second); gap > time.Second {
						t.Errorf("a gap of %v", gap)
					}
					// An address that is on the link is called LAN.
					if na.status(nb).Path.Kind >= Direct && nb.status(na).Path.Kind >= Direct {
						met++
					}
					if len(sent) > birthdayPings+64 {
						t.Errorf("%d ports were tried", len(sent))
					}
					for _, n := range h.ends {
						n.wire.mu.Lock()
						left := len(n.wire.carriers.ports)
						n.wire.mu.Unlock()
						// But the one that has met, all are closed again.
						if opened := n.opened.Load(); opened > birthdayPorts || left > 1 {
							t.Errorf("%s has opened %d ports, and has %d left", n.name, opened, left)
						}
					}
				})
			}
			t.Logf("%d of %d met", met, c.runs)
			if met < c.want || met > c.most {
				t.Errorf("%d of %d met directly, want %d to %d", met, c.runs, c.want, c.most)
			}
		})
	}
}
