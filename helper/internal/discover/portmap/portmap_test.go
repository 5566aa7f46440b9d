package portmap

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
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
