package portmap

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

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

// TestGatewayGoesSilent is also a move between two LANs of the same addresses.
func TestGatewayGoesSilent(t *testing.T) {
	for name, set := range map[string]func(*router){
		"PCP": func(r *router) { r.pcp = true }, "NAT-PMP": func(r *router) { r.pmp = true }, "UPnP": func(r *router) { r.upnp = device() },
	} {
		t.Run(name, func(t *testing.T) {
			with(t, func(b bed) {
				r := b.routers[0]
				b.Set([]uint16{port})
				b.after(time.Minute)
				told(b.Changes())
				device := r.upnp
				r.change(func() { r.pcp, r.pmp, r.upnp = false, false, nil })
				b.Recheck()
				b.after(time.Minute)
				b.mapped()
				if !told(b.Changes()) {
					b.Error("not told")
				}
				r.change(func() { set(r); r.upnp = device })
				b.after(2 * time.Minute)
				b.mapped("203.0.113.5:41000")
				r.change(func() { r.pcp, r.pmp, r.upnp = false, false, nil })
				b.Recheck()
				b.after(time.Minute)
				b.mapped()
				r.change(func() { set(r); r.upnp = device })
				b.Close()
				if got := r.open(); len(got) != 0 {
					b.Errorf("not given back: %v", got)
				}
			}, one(set))
		})
	}
}

// TestCloseWhileAsking gives back what is granted while nobody waits for it any
// more.
func TestCloseWhileAsking(t *testing.T) {
	for name, set := range map[string]func(*router){
		"PCP": func(r *router) { r.pcp = true }, "NAT-PMP": func(r *router) { r.pmp = true },
	} {
		for _, at := range []time.Duration{50, 150, 250, 350, 450} {
			t.Run(name, func(t *testing.T) {
				with(t, func(b bed) {
					b.Set([]uint16{port, port + 1})
					b.after(at * time.Millisecond)
					start := time.Now()
					b.Close()
					if d := time.Since(start); d > 2*time.Second {
						b.Errorf("Close took %v", d)
					}
					b.after(time.Minute)
					if got := b.routers[0].open(); len(got) != 0 {
						b.Errorf("closed after %v ms: left behind: %v", int(at), got)
					}
				}, one(func(r *router) { set(r); r.delay = 100 * time.Millisecond }))
			})
		}
	}
}
