package portmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/helper/internal/osnet/netmon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const port = 41000

// bed is a Mapper on a LAN.
type bed struct {
	*testing.T
	*lan
	*Mapper
}

// with runs f on a LAN with these routers, in a bubble; the Mapper is closed
// after it.
func with(t *testing.T, f func(b bed), routers func() []*router) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(routers()...)
		m := New(Config{Source: l, Network: l, Log: slog.New(slog.DiscardHandler)})
		defer m.Close()
		f(bed{t, l, m})
	})
}

func one(set func(*router)) func() []*router {
	return func() []*router { return []*router{newRouter(set)} }
}

func (b bed) after(d time.Duration) {
	b.Helper()
	time.Sleep(d)
	synctest.Wait()
}

// mapped checks where port is reached, in order.
func (b bed) mapped(want ...string) {
	b.Helper()
	got := []string{}
	for _, a := range b.Mapped()[port] {
		got = append(got, a.String())
	}
	if d := cmp.Diff(append([]string{}, want...), got); d != "" {
		b.Errorf("mapped: %s", d)
	}
}

func (b bed) gateway() Gateway {
	b.Helper()
	r := b.Report()
	if len(r) != 1 {
		b.Fatalf("%d gateways are reported", len(r))
	}
	return r[0]
}

func told(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestEachMethod(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*router)
		method Method
		within time.Duration
	}{
		{"PCP", func(r *router) { r.pcp = true }, PCP, 0},
		{"NAT-PMP", func(r *router) { r.pmp = true }, NATPMP, 0},
		{"UPnP", func(r *router) { r.upnp = device() }, UPnP, time.Second},
		{"UPnP, WANIPConnection:2", func(r *router) {
			r.upnp = device()
			r.upnp.service = "urn:schemas-upnp-org:service:WANIPConnection:2"
		}, UPnP, time.Second},
		{"UPnP, WANPPPConnection:1", func(r *router) {
			r.upnp = device()
			r.upnp.service = "urn:schemas-upnp-org:service:WANPPPConnection:1"
		}, UPnP, time.Second},
		{"UPnP that answers a search for all alone", func(r *router) { r.upnp = device(); r.upnp.onlyAll = true }, UPnP, 1200 * time.Millisecond},
		{"all", func(r *router) { r.pcp, r.pmp, r.upnp = true, true, device() }, PCP, 0},
		{"NAT-PMP and UPnP", func(r *router) { r.pmp, r.upnp = true, device() }, NATPMP, 400 * time.Millisecond},
		{"all, slow", func(r *router) { r.pcp, r.pmp, r.upnp, r.delay = true, true, device(), 200*time.Millisecond }, PCP, 400 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			with(t, func(b bed) {
				r := b.routers[0]
				b.Set([]uint16{port})
				b.after(c.within + time.Millisecond)
				b.mapped("203.0.113.5:41000")
				if !told(b.Changes()) {
					b.Error("the mapping was not told")
				}
				g := b.gateway()
				if g.Method != c.method || g.Err != nil || len(g.Complaints) != 0 || g.Local != lanAddr || g.Addr != gwAddr {
					b.Errorf("report: %+v", g)
				}
				first := len(r.requests())
				if first != 1 {
					b.Errorf("requests: %v", r.requests())
				}
				for range 40 {
					b.after(time.Hour / 10)
					b.mapped("203.0.113.5:41000")
					if got := r.open(); !slices.Equal(got, []string{"41000>192.168.1.10:41000"}) {
						b.Fatalf("the gateway has %v", got)
					}
				}
				if told(b.Changes()) {
					b.Error("a change was told where there was none")
				}
				b.Close()
				if got := r.open(); len(got) != 0 {
					b.Errorf("not given back: %v", got)
				}
				if len(b.Mapped()) != 0 || len(b.Report()) != 0 {
					b.Error("mappings are told after Close")
				}
			}, one(c.set))
		})
	}
}

// TestRenewalAtHalfLife looks at NAT-PMP and UPnP, whose checks renew nothing.
func TestRenewalAtHalfLife(t *testing.T) {
	for _, c := range []struct {
		grants   time.Duration
		min, max int // requests in ten leases
	}{
		{0, 20, 24},
		{10 * time.Minute, 20, 24},
		{40 * time.Second, 20, 28},
	} {
		with(t, func(b bed) {
			r := b.routers[0]
			b.Set([]uint16{port})
			lease := c.grants
			if lease == 0 {
				lease = time.Hour
			}
			b.after(10 * lease)
			if n := len(r.requests()); n < c.min || n > c.max {
				b.Errorf("leases of %v: %d requests in ten", lease, n)
			}
			b.mapped("203.0.113.5:41000")
		}, one(func(r *router) { r.pmp, r.grants = true, c.grants }))
	}
}

func TestLies(t *testing.T) {
	put := func(at int, bytes ...byte) func(_, a []byte) []byte {
		return func(q, a []byte) []byte {
			if is(q, pcpMap) {
				copy(a[at:], bytes)
			}
			return a
		}
	}
	for _, c := range []struct {
		name string
		set  func(*router)
		kind ComplaintKind // -1: none
	}{
		{"PCP: another nonce", func(r *router) { r.pcp, r.twist = true, put(24, 1, 2, 3, 4) }, WrongMapping},
		{"PCP: another protocol", func(r *router) { r.pcp, r.twist = true, put(36, 6) }, WrongMapping},
		{"PCP: another port inside", func(r *router) { r.pcp, r.twist = true, put(40, 0, 80) }, WrongMapping},
		{"PCP: outside port 0", func(r *router) { r.pcp, r.twist = true, put(42, 0, 0) }, Implausible},
		{"PCP: lease 0", func(r *router) { r.pcp, r.twist = true, put(4, 0, 0, 0, 0) }, BadLease},
		{"PCP: lease of a second", func(r *router) { r.pcp, r.twist = true, put(4, 0, 0, 0, 1) }, BadLease},
		{"PCP: a request for an answer", func(r *router) { r.pcp, r.twist = true, put(1, 1) }, -1},
		{"PCP: cut", func(r *router) { r.pcp, r.twist = true, func(_, a []byte) []byte { return a[:len(a)-4] } }, -1},
		{"PCP: from elsewhere", func(r *router) { r.pcp, r.from = true, netip.MustParseAddrPort("192.168.1.2:5351") }, FromElsewhere},
		{"PCP: from another port", func(r *router) { r.pcp, r.from = true, netip.MustParseAddrPort("192.168.1.1:5352") }, FromElsewhere},
		{"PCP: from another network", func(r *router) { r.pcp, r.from = true, netip.MustParseAddrPort("[2001:db8::1]:5351") }, FromElsewhere},
		{"NAT-PMP: another port inside", func(r *router) { r.pmp, r.twist = true, put(8, 0, 80) }, WrongMapping},
		{"NAT-PMP: outside port 0", func(r *router) { r.pmp, r.twist = true, put(10, 0, 0) }, Implausible},
		{"NAT-PMP: lease 0", func(r *router) { r.pmp, r.twist = true, put(12, 0, 0, 0, 0) }, BadLease},
		{"NAT-PMP: from elsewhere", func(r *router) { r.pmp, r.from = true, netip.MustParseAddrPort("192.168.1.2:5351") }, FromElsewhere},
		{"outside: nothing", func(r *router) { r.pcp, r.outside = true, netip.MustParseAddr("0.0.0.0") }, Implausible},
		{"outside: loopback", func(r *router) { r.pmp, r.outside = true, netip.MustParseAddr("127.0.0.1") }, Implausible},
		{"outside: broadcast", func(r *router) { r.pcp, r.outside = true, netip.MustParseAddr("255.255.255.255") }, Implausible},
		{"outside: multicast", func(r *router) { r.pcp, r.outside = true, netip.MustParseAddr("224.0.0.1") }, Implausible},
		{"outside: the gateway itself", func(r *router) { r.pmp, r.outside = true, gwAddr }, Implausible},
		{"outside: a neighbour", func(r *router) { r.pcp, r.outside = true, netip.MustParseAddr("192.168.1.77") }, Implausible},
		{"outside: the other family", func(r *router) { r.pcp, r.outside = true, lan6 }, Implausible},
		{"UPnP: description elsewhere", func(r *router) { r.upnp = device(); r.upnp.location = "http://198.51.100.1/desc.xml" }, ForeignURL},
		{"UPnP: description by name", func(r *router) { r.upnp = device(); r.upnp.location = "http://router.lan/desc.xml" }, ForeignURL},
		{"UPnP: description by another scheme", func(r *router) { r.upnp = device(); r.upnp.location = "file://192.168.1.1/etc/passwd" }, ForeignURL},
		{"UPnP: control elsewhere", func(r *router) {
			r.upnp = device()
			r.upnp.description = describe("", r.upnp.service, "http://198.51.100.1/ctl")
		}, ForeignURL},
		{"UPnP: too large", func(r *router) {
			r.upnp = device()
			r.upnp.description = "<root>" + strings.Repeat("<x></x>", 1<<20) + "</root>"
		}, TooLarge},
		{"UPnP: no XML", func(r *router) { r.upnp = device(); r.upnp.description = "hello" }, Malformed},
		{"UPnP: too deep", func(r *router) { r.upnp = device(); r.upnp.description = strings.Repeat("<a>", 40000) }, Malformed},
		{"UPnP: drips", func(r *router) { r.upnp = device(); r.upnp.stall = time.Second }, -1},
		{"UPnP: no address", func(r *router) { r.upnp = device(); r.upnp.outside = "0.0.0.0" }, -1},
		{"UPnP: nonsense for an address", func(r *router) { r.upnp = device(); r.upnp.outside = "evil.example" }, -1},
		{"UPnP: grants and does nothing", func(r *router) { r.upnp = device(); r.upnp.forgets = true }, WrongMapping},
		{"silence", func(*router) {}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			with(t, func(b bed) {
				b.Set([]uint16{port})
				for range 20 {
					b.after(time.Minute)
					b.mapped()
				}
				g := b.gateway()
				if g.Err == nil || len(g.Mappings) != 0 || g.Method != None {
					b.Errorf("report: %+v", g)
				}
				found := slices.ContainsFunc(g.Complaints, func(x Complaint) bool { return x.Kind == c.kind })
				if c.kind >= 0 && !found || c.kind < 0 && len(g.Complaints) != 0 {
					b.Errorf("complaints: %+v", g.Complaints)
				}
				// 3 searches of at most 40 datagrams each, and what UPnP fetches.
				if n := b.sent.Load(); n > 400 {
					b.Errorf("%d datagrams and connections in 20 minutes", n)
				}
				start := time.Now()
				b.Close()
				if d := time.Since(start); d > 2*time.Second {
					b.Errorf("Close took %v", d)
				}
			}, one(c.set))
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*router)
		want Refusal
	}{
		{"PCP", func(r *router) { r.pcp, r.code = true, 2 }, Refusal{Method: PCP, Code: 2}},
		{"NAT-PMP", func(r *router) { r.pmp, r.code = true, 4 }, Refusal{Method: NATPMP, Code: 4}},
		{"UPnP", func(r *router) { r.upnp = device(); r.upnp.fault = 606 }, Refusal{Method: UPnP, Code: 606}},
	} {
		t.Run(c.name, func(t *testing.T) {
			with(t, func(b bed) {
				b.Set([]uint16{port})
				b.after(10 * time.Second)
				var got *Refusal
				if err := b.gateway().Err; !errors.As(err, &got) || *got != c.want {
					b.Errorf("got %v", err)
				}
			}, one(c.set))
		})
	}
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(10 * time.Second)
		if g := b.gateway(); g.Method != UPnP || g.Err != nil {
			b.Errorf("UPnP was not tried after the others refused: %+v", g)
		}
	}, one(func(r *router) { r.pcp, r.pmp, r.code, r.upnp = true, true, 2, device() }))
}

func TestAnotherOutsidePort(t *testing.T) {
	for _, set := range []func(*router){
		func(r *router) { r.pcp = true }, func(r *router) { r.pmp = true }, func(r *router) { r.upnp = device() },
	} {
		with(t, func(b bed) {
			r := b.routers[0]
			b.Set([]uint16{port})
			b.after(2 * time.Second)
			first := b.Mapped()[port]
			if len(first) != 1 || first[0].Addr() != outAddr || first[0].Port() == port || first[0].Port() == 0 {
				b.Fatalf("mapped %v", first)
			}
			want := []string{fmt.Sprintf("%d>192.168.1.10:%d", first[0].Port(), port)}
			for range 10 {
				b.after(time.Hour)
				if got := r.open(); !slices.Equal(got, want) || !slices.Equal(b.Mapped()[port], first) {
					b.Fatalf("renewed as %v, %v", got, b.Mapped())
				}
			}
		}, one(func(r *router) { set(r); r.occupied[port] = true }))
	}
}

func TestAnothersMappingIsLeft(t *testing.T) {
	with(t, func(b bed) {
		r := b.routers[0]
		r.table[port] = entry{client: netip.MustParseAddr("192.168.1.99"), internal: port}
		b.Set([]uint16{port})
		b.after(2 * time.Second)
		b.Close()
		if got := r.open(); !slices.Equal(got, []string{"41000>192.168.1.99:41000"}) {
			b.Errorf("the gateway has %v", got)
		}
	}, one(func(r *router) { r.upnp = device() }))
}

func TestPermanentLeasesAreGivenBack(t *testing.T) {
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(5 * time.Hour)
		b.mapped("203.0.113.5:41000")
		b.Close()
		if got := b.routers[0].open(); len(got) != 0 {
			b.Errorf("left behind: %v", got)
		}
	}, one(func(r *router) { r.upnp = device(); r.upnp.permanent = true }))
}

func TestGatewayRestarts(t *testing.T) {
	for name, set := range map[string]func(*router){
		"PCP": func(r *router) { r.pcp = true }, "NAT-PMP": func(r *router) { r.pmp = true }, "UPnP": func(r *router) { r.upnp = device() },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(b bed) {
				r := b.routers[0]
				b.Set([]uint16{port, port + 1})
				b.after(7 * time.Minute)
				r.reboot()
				b.after(checkEvery + time.Second)
				if got := r.open(); len(got) != 2 {
					b.Errorf("after five minutes: %v", got)
				}
				b.after(time.Minute)
				r.reboot()
				b.Recheck()
				b.after(time.Second)
				if got := r.open(); len(got) != 2 {
					b.Errorf("after being told: %v", got)
				}
				b.Recheck() // too soon: later, then
				b.after(recheckGap - 2*time.Second)
				r.reboot()
				b.after(2 * time.Second)
				if got := r.open(); len(got) != 2 {
					b.Errorf("after being told again: %v", got)
				}
			}, one(set))
		})
	}
}

func TestOutsideAddressChanges(t *testing.T) {
	for name, set := range map[string]func(*router){
		"PCP": func(r *router) { r.pcp = true }, "NAT-PMP": func(r *router) { r.pmp = true }, "UPnP": func(r *router) { r.upnp = device() },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(b bed) {
				b.Set([]uint16{port})
				b.after(10 * time.Second)
				told(b.Changes())
				b.routers[0].change(func() { b.routers[0].outside = netip.MustParseAddr("203.0.113.99") })
				b.after(checkEvery)
				b.mapped("203.0.113.99:41000")
				if !told(b.Changes()) {
					b.Error("not told")
				}
			}, one(set))
		})
	}
}

func TestGatewayComesLater(t *testing.T) {
	with(t, func(b bed) {
		r := b.routers[0]
		b.Set([]uint16{port})
		b.after(40 * time.Minute)
		b.mapped()
		r.change(func() { r.pcp = true })
		b.Recheck()
		b.after(time.Second)
		b.mapped("203.0.113.5:41000")
		r.change(func() { r.pcp = false }) // and goes again
		b.after(2 * time.Hour)
		b.mapped()
		r.change(func() { r.pmp = true })
		b.after(35 * time.Minute)
		b.mapped("203.0.113.5:41000")
	}, one(nil))
}

func TestPrivateOutsideAddresses(t *testing.T) {
	private := func(r *router) { r.pcp, r.outside = true, netip.MustParseAddr("100.64.3.4") }
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(time.Second)
		b.mapped("100.64.3.4:41000")
	}, one(private))
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(time.Second)
		b.mapped("203.0.113.5:41000")
		b.setRoutes(b.routes[1])
		b.Set([]uint16{port})
		b.after(time.Second)
		b.mapped("100.64.3.4:41000")
	}, func() []*router {
		return []*router{newRouter(func(r *router) { r.pcp = true }), newRouter(func(r *router) {
			private(r)
			r.addr, r.client = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9")
		})}
	})
}

func TestNetworkChanges(t *testing.T) {
	with(t, func(b bed) {
		first, second := b.routers[0], b.routers[1]
		b.Set([]uint16{port, 0, port + 1})
		b.after(time.Second)
		b.mapped("198.51.100.9:41000", "203.0.113.5:41000")
		sent := b.sent.Load()
		b.Set([]uint16{port, port + 1})
		b.after(time.Second)
		if b.sent.Load() != sent {
			b.Error("something was asked though nothing has changed")
		}
		b.Set([]uint16{port})
		b.after(time.Second)
		if got := first.open(); !slices.Equal(got, []string{"41000>192.168.1.10:41000"}) {
			b.Errorf("an unwanted port: %v", got)
		}
		b.setRoutes(b.routes[1])
		b.Set([]uint16{port})
		b.mapped("198.51.100.9:41000")
		b.after(2 * time.Second)
		if len(first.open()) != 0 || len(second.open()) != 1 {
			b.Errorf("the first has %v, the second %v", first.open(), second.open())
		}
		b.Set(nil)
		b.after(time.Second)
		if len(second.open()) != 0 || len(b.Mapped()) != 0 {
			b.Errorf("without ports: %v, %v", second.open(), b.Mapped())
		}
	}, func() []*router {
		return []*router{newRouter(func(r *router) { r.pcp = true }), newRouter(func(r *router) {
			r.pmp, r.outside = true, netip.MustParseAddr("198.51.100.9")
			r.addr, r.client = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9")
		})}
	})
}

func TestIPv6Hole(t *testing.T) {
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(time.Second)
		b.mapped("[2001:db8:1::10]:41000")
		b.Close()
		if got := b.routers[0].open(); len(got) != 0 {
			b.Errorf("left behind: %v", got)
		}
	}, one(func(r *router) { r.pcp, r.addr, r.client, r.outside = true, gw6, lan6, lan6 }))
}

func TestCloseWhenTheGatewayHasGone(t *testing.T) {
	with(t, func(b bed) {
		b.Set([]uint16{port, port + 1, port + 2})
		b.after(time.Second)
		b.routers[0].change(func() { b.routers[0].twist = func(_, _ []byte) []byte { return nil } })
		start := time.Now()
		b.Close()
		if d := time.Since(start); d > 2*time.Second {
			b.Errorf("Close took %v", d)
		}
		b.Set([]uint16{port}) // does nothing, and harms nothing
	}, one(func(r *router) { r.pcp = true }))
}

func TestSilentGatewayCostsLittle(t *testing.T) {
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(time.Hour)
		sent := b.sent.Load()
		b.after(10 * time.Hour)
		if n := (b.sent.Load() - sent) / 10; n > 60 {
			b.Errorf("%d datagrams an hour", n)
		}
	}, one(nil))
}

// TestManyAnswers has a neighbour that floods what is heard with well-made
// answers, all from an address of its own.
func TestManyAnswers(t *testing.T) {
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(time.Second)
		b.mapped("203.0.113.5:41000")
	}, func() []*router {
		evil := newRouter(func(r *router) {
			r.pcp, r.from, r.outside = true, netip.MustParseAddrPort("192.168.1.66:5351"), netip.MustParseAddr("198.51.100.66")
		})
		return []*router{newRouter(func(r *router) {
			r.pcp, r.delay = true, 100*time.Millisecond
			r.index = 2
		}), evil}
	})
}

func TestNonceOutlivesTheProcess(t *testing.T) {
	u := uplink{place: place{2, gwAddr, lanAddr}}
	n := func(seed byte, port uint16) nonce {
		p := &pcp{link: &link{uplink: u}, seed: [32]byte{seed}}
		return p.nonce(port)
	}
	if n(1, 1) != n(1, 1) || n(1, 1) == n(2, 1) || n(1, 1) == n(1, 2) {
		t.Error("nonces are not what they should be")
	}
}

func TestEpoch(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		seconds uint32
		after   time.Duration
		lost    bool
	}{
		{1000, 0, false}, {1300, 5 * time.Minute, false}, {1299, 5 * time.Minute, false}, {1301, 5 * time.Minute, false},
		{999, 0, false}, {998, 0, true}, {0, 5 * time.Minute, true}, {1200, 5 * time.Minute, true}, {9000, 5 * time.Minute, true},
		{1280, 5 * time.Minute, false}, {1000, time.Second, false},
	} {
		e := epoch{1000, now.Round(0)}
		if got := e.note(c.seconds, now.Add(c.after)); got != c.lost {
			t.Errorf("%d after %v: %t", c.seconds, c.after, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	p := netip.MustParsePrefix
	ifaces := []netmon.Interface{
		{Index: 2, Name: "eth0", Up: true, Prefixes: []netip.Prefix{p("172.17.0.1/16"), p("192.168.1.10/24"), p("fe80::10/64"), p("fd00::1/64"), p("2001:db8::1/64"), p("2001:db8::2/64"), p("2001:db8::3/64"), p("2001:db8::4/64")}},
		{Index: 3, Name: "docker0", Up: true, Prefixes: []netip.Prefix{p("172.18.0.1/16")}},
		{Index: 4, Name: "ppp0", Up: true, PointToPoint: true, Prefixes: []netip.Prefix{p("203.0.113.4/32")}},
	}
	for i := range 20 {
		ifaces = append(ifaces, netmon.Interface{Index: 10 + i, Up: true, Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 2}), 24)}})
	}
	def := func(index int, gw string) netmon.Route {
		r := netmon.Route{Prefix: p("0.0.0.0/0"), Index: index, Gateway: netip.MustParseAddr(gw)}
		if r.Gateway.Is6() {
			r.Prefix = p("::/0")
		}
		return r
	}
	var got []string
	for _, u := range places(ifaces, []netmon.Route{def(2, "192.168.1.1"), def(2, "fe80::1"), def(4, "203.0.113.1"), def(3, "172.18.0.1")}) {
		got = append(got, fmt.Sprintf("%v by %v on %d", u.local, u.gateway, u.index))
	}
	want := []string{
		"192.168.1.10 by 192.168.1.1 on 2",
		"2001:db8::1 by fe80::1 on 2", "2001:db8::2 by fe80::1 on 2", "2001:db8::3 by fe80::1 on 2",
		"203.0.113.4 by 203.0.113.1 on 4",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var many []netmon.Route
	for i := range 20 {
		many = append(many, def(10+i, netip.AddrFrom4([4]byte{10, byte(i), 0, 1}).String()))
	}
	if n := len(places(ifaces, many)); n != maxGateways {
		t.Errorf("%d of 20 gateways are asked", n)
	}
}

func FuzzPCP(f *testing.F) {
	good := pcpMapRequest(lanAddr, nonce{1, 2, 3}, 3600, port, netip.AddrPortFrom(outAddr, port))
	good[1] |= pcpResponse
	f.Add(good)
	f.Add(good[:pcpHeaderSize])
	f.Add([]byte{0, 129, 0, 1})
	f.Add([]byte{0, 129, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, opcode := range []byte{pcpAnnounce, pcpMap} {
			r, ok := parsePCP(b, opcode)
			if ok && r.code == 0 && (b[0] != pcpVersion || opcode == pcpMap && (len(b) < pcpMapSize || r.internal != binary.BigEndian.Uint16(b[40:]))) {
				t.Errorf("%x: %+v", b, r)
			}
			u := uplink{place: place{2, gwAddr, lanAddr}, lan: []netip.Prefix{netip.PrefixFrom(lanAddr, 24)}}
			if ok && u.plausible(r.external) == nil && !usable(r.external.Addr()) {
				t.Errorf("%x: %v is plausible", b, r.external)
			}
		}
	})
}

func FuzzNATPMP(f *testing.F) {
	f.Add([]byte{0, 128, 0, 0, 0, 0, 1, 0, 203, 0, 113, 5})
	f.Add([]byte{0, 129, 0, 0, 0, 0, 1, 0, 160, 40, 160, 40, 0, 0, 14, 16})
	f.Add([]byte{0, 129, 0, 2, 0, 0, 1, 0})
	f.Add(append([]byte{2, 128, 0, 1}, make([]byte, 20)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, opcode := range []byte{pmpAddress, pmpMapUDP} {
			if r, ok := parsePMP(b, opcode); ok && r.code == 0 && opcode == pmpAddress && !r.address.Is4() {
				t.Errorf("%x: %+v", b, r)
			}
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add(device().search(nil, searchRequest(searches[0].targets[0])))
	f.Add([]byte("HTTP/1.1 200 OK\r\nST: :WAN\r\nLOCATION: http://[fe80::1%25eth0]:1/\r\n\r\n"))
	l := &link{uplink: uplink{place: place{2, gwAddr, lanAddr}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, ok := parseSearch(b); ok && l.own(u) && u.Hostname() != gwAddr.String() {
			t.Errorf("%q is not the gateway's", u)
		}
	})
}

func FuzzDescription(f *testing.F) {
	service := device().service
	f.Add([]byte(describe("", service, "/ctl")))
	f.Add([]byte(describe("http://198.51.100.1/", service, "ctl")))
	f.Add([]byte(describe("http://192.168.1.1:80/x/", service, "http://192.168.1.1:99/ctl")))
	f.Add([]byte(describe("", service, "//evil/ctl")))
	f.Add([]byte(describe("", service, "http://192.168.1.1@evil/")))
	l := &link{uplink: uplink{place: place{2, gwAddr, lanAddr}}, complain: func(ComplaintKind, string, ...any) {}}
	location, _ := parseSearch(device().search(nil, searchRequest(searches[0].targets[0])))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := l.parseDescription(plainXML(b), location)
		if err == nil && len(list) > maxServices {
			t.Errorf("%d services", len(list))
		}
		for _, w := range list {
			if u := endpoint(w); u.Hostname() != gwAddr.String() || u.Scheme != "http" || u.User != nil {
				t.Errorf("%q is not the gateway's", u)
			}
		}
	})
}
