package portmap

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

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
		{"PCP: a request for an answer", func(r *router) { r.pcp, r.twist = true, put(1, 1) }, Malformed},
		{"PCP: cut", func(r *router) { r.pcp, r.twist = true, func(_, a []byte) []byte { return a[:len(a)-4] } }, Malformed},
		{"PCP: from elsewhere", func(r *router) { r.pcp, r.from = true, netip.MustParseAddrPort("192.168.1.2:5351") }, FromElsewhere},
		{"PCP: from another port", func(r *router) { r.pcp, r.from = true, netip.MustParseAddrPort("192.168.1.1:5352") }, FromElsewhere},
		{"PCP: from another network", func(r *router) { r.pcp, r.from = true, netip.MustParseAddrPort("[2001:db8::1]:5351") }, FromElsewhere},
		{"NAT-PMP: another port inside", func(r *router) { r.pmp, r.twist = true, put(8, 0, 80) }, WrongMapping},
		{"NAT-PMP: outside port 0", func(r *router) { r.pmp, r.twist = true, put(10, 0, 0) }, Implausible},
		{"NAT-PMP: lease 0", func(r *router) { r.pmp, r.twist = true, put(12, 0, 0, 0, 0) }, BadLease},
		{"NAT-PMP: cut", func(r *router) { r.pmp, r.twist = true, func(_, a []byte) []byte { return a[:len(a)-1] } }, Malformed},
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
		{"UPnP: sends us on", func(r *router) { r.upnp = device(); r.upnp.status = 302 }, Redirected},
		{"UPnP: answers actions with no XML", func(r *router) { r.upnp = device(); r.upnp.action = "<s:Envelope>" + strings.Repeat("<", 50) }, Malformed},
		{"UPnP: drips", func(r *router) { r.upnp = device(); r.upnp.stall = time.Second }, -1},
		{"UPnP: no address", func(r *router) { r.upnp = device(); r.upnp.outside = "0.0.0.0" }, -1},
		{"UPnP: nonsense for an address", func(r *router) { r.upnp = device(); r.upnp.outside = "evil.example" }, Implausible},
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

// TestLongLease: a time that no gateway can mean is taken, and not trusted.
func TestLongLease(t *testing.T) {
	with(t, func(b bed) {
		b.Set([]uint16{port})
		b.after(10 * time.Second)
		g := b.gateway()
		if len(g.Mappings) != 1 || time.Until(g.Mappings[0].Expires) > maxLease {
			b.Errorf("mappings: %+v", g.Mappings)
		}
		if len(g.Complaints) != 1 || g.Complaints[0].Kind != LongLease {
			b.Errorf("complaints: %+v", g.Complaints)
		}
	}, one(func(r *router) {
		r.pcp, r.twist = true, func(q, a []byte) []byte {
			if is(q, pcpMap) {
				copy(a[4:], []byte{0xff, 0xff, 0xff, 0xff})
			}
			return a
		}
	}))
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
