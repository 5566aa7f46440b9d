package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// shelf is a store of filters that tells after each step what would pass.
type shelf struct {
	stands map[wfpID]wfpFilter
	on     bool
	fail   int // steps until one fails; 0: none does
	step   func()
}

func (s *shelf) did(change func()) error {
	if s.fail > 0 {
		if s.fail--; s.fail == 0 {
			return errors.New("cannot")
		}
	}
	change()
	if s.step != nil {
		s.step()
	}
	return nil
}

func (s *shelf) base(on bool) error {
	if !on && len(s.stands) > 0 {
		return errors.New("in use")
	}
	return s.did(func() { s.on = on })
}

func (s *shelf) add(f wfpFilter) error {
	if !s.on {
		return errors.New("it belongs to nothing")
	}
	return s.did(func() {
		if _, stands := s.stands[f.id()]; !stands {
			s.stands[f.id()] = f
		}
	})
}

func (s *shelf) remove(l wfpLayer, name string) error {
	id := wfpID{l, name}
	if _, stands := s.stands[id]; !stands {
		return nil
	}
	return s.did(func() { delete(s.stands, id) })
}

func (s *shelf) luid(index int) (uint64, bool) { return uint64(index) << 24, index < 90 }

// probe is what a layer is asked about.
type probe struct {
	name          string
	layer         wfpLayer
	loopback, own bool // our program
	in, onward    uint64
	proto         uint64
	local, remote uint64
	to            netip.Addr
}

func (p probe) matches(f wfpFilter) bool {
	hit := map[wfpField]bool{}
	for _, m := range f.match {
		var ok bool
		switch m.field {
		case wfpLoopback:
			ok = p.loopback
		case wfpProgram:
			ok = p.own
		case wfpInterface:
			ok = p.in == m.number
		case wfpOnward:
			ok = p.onward == m.number
		case wfpProto:
			ok = p.proto == m.number
		case wfpLocalPort:
			ok = p.local == m.number
		case wfpRemotePort:
			ok = p.remote == m.number
		case wfpRemote:
			ok = m.prefix.Contains(p.to)
		}
		hit[m.field] = hit[m.field] || ok
	}
	for _, ok := range hit {
		if !ok {
			return false
		}
	}
	return true
}

// passes is the platform's own judgement: the heaviest that matches.
func (s *shelf) passes(p probe) bool {
	ok, weight := true, uint64(0)
	for _, f := range s.stands {
		if f.layer == p.layer && f.weight >= weight && p.matches(f) {
			ok, weight = !f.block, f.weight
		}
	}
	return ok
}

const uplink = 3 << 24

func probes() []probe {
	public, lan, other := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("192.168.1.9"), netip.MustParseAddr("10.1.2.3")
	public6, lan6 := netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("fd99:1::9")
	return []probe{
		{name: "web", layer: connect4, in: uplink, proto: tcp, remote: 443, to: public},
		{name: "web, IPv6", layer: connect6, in: uplink, proto: tcp, remote: 443, to: public6},
		{name: "ssh", layer: connect4, in: uplink, proto: tcp, remote: 22, to: public},
		{name: "ping", layer: connect4, in: uplink, proto: 1, local: 8, to: public},
		{name: "DNS", layer: connect4, in: uplink, proto: udp, remote: 53, to: public},
		{name: "DNS, LAN", layer: connect4, in: uplink, proto: udp, remote: 53, to: lan},
		{name: "DNS over TLS, LAN, IPv6", layer: connect6, in: uplink, proto: tcp, remote: 853, to: lan6},
		{name: "LAN", layer: connect4, in: uplink, proto: tcp, remote: 445, to: lan},
		{name: "LAN, IPv6", layer: connect6, in: uplink, proto: tcp, remote: 445, to: lan6},
		{name: "another LAN", layer: connect4, in: uplink, proto: tcp, remote: 445, to: other},
		{name: "from the LAN", layer: accept4, in: uplink, proto: tcp, local: 22, remote: 4000, to: lan},
		{name: "from the internet", layer: accept4, in: uplink, proto: tcp, local: 22, remote: 4000, to: public},
		{name: "mDNS", layer: connect4, in: uplink, proto: udp, remote: 5353, to: netip.MustParseAddr("224.0.0.251")},
		{name: "ours", layer: connect4, in: uplink, own: true, proto: udp, remote: 5000, to: public},
		{name: "in the TUN", layer: connect4, in: 7 << 24, proto: tcp, remote: 443, to: public},
		{name: "DNS in the TUN", layer: connect6, in: 7 << 24, proto: udp, remote: 53, to: public6},
		{name: "in the other TUN", layer: connect6, in: 8 << 24, proto: tcp, remote: 443, to: public6},
		{name: "loopback", layer: connect4, loopback: true, in: 1 << 24, proto: tcp, remote: 80, to: netip.MustParseAddr("127.0.0.1")},
		{name: "DHCP", layer: connect4, in: uplink, proto: udp, local: 68, remote: 67, to: broadcast4.Addr()},
		{name: "DHCPv6", layer: connect6, in: uplink, proto: udp, local: 546, remote: 547, to: netip.MustParseAddr("ff02::1:2")},
		{name: "DHCPv6 far away", layer: connect6, in: uplink, proto: udp, local: 546, remote: 547, to: public6},
		{name: "neighbour", layer: connect6, in: uplink, proto: 58, local: 135, to: public6},
		{name: "router", layer: connect6, in: uplink, proto: 58, local: 133, to: public6},
		{name: "ping, IPv6", layer: connect6, in: uplink, proto: 58, local: 128, to: public6},
		{name: "passed on", layer: forward4, in: 20 << 24, onward: uplink, to: public},
		{name: "passed on to the LAN", layer: forward4, in: 20 << 24, onward: uplink, to: lan},
		{name: "passed on into the TUN", layer: forward4, in: 20 << 24, onward: 7 << 24, to: public},
		{name: "back from the TUN", layer: forward6, in: 7 << 24, onward: 20 << 24, to: lan6},
	}
}

func wfpConfigs() map[string]Config {
	own := []Interface{{"kith0", 7, prefixes("100.80.0.0/16")}, {"kith1", 8, nil}, {"gone", 99, nil}}
	exit := Config{Own: own, Exit: true, TUN: "kith0", Index: 7, V4: true, V6: true, Block: true}
	lan, part, portal, alone, both := exit, exit, exit, exit, exit
	lan.AllowLAN = prefixes("10.1.0.0/16", "192.168.1.0/24", "fd99:1::/64")
	part.AllowLAN = prefixes("192.168.1.0/24")
	portal.Portal = true
	alone.Own = own[:1]
	both.AllowLAN, both.Portal = lan.AllowLAN, true
	return map[string]Config{"none": {Own: own}, "exit": exit, "lan": lan, "part": part, "portal": portal, "alone": alone, "both": both}
}

// TestWFPPasses is what the filters let pass, by the platform's way to judge.
func TestWFPPasses(t *testing.T) {
	always := []string{"ours", "in the TUN", "DNS in the TUN", "in the other TUN", "loopback", "DHCP", "DHCPv6", "neighbour", "passed on into the TUN", "back from the TUN"}
	for name, more := range map[string][]string{
		"exit":   nil,
		"lan":    {"LAN", "LAN, IPv6", "another LAN", "from the LAN", "mDNS"},
		"part":   {"LAN", "from the LAN", "mDNS"},
		"portal": {"web", "web, IPv6", "DNS", "DNS, LAN"},
	} {
		s, g := &shelf{stands: map[wfpID]wfpFilter{}}, wfpGuard{}
		if err := g.set(s, wfpConfigs()[name]); err != nil {
			t.Fatal(err)
		}
		for _, p := range probes() {
			want := slices.Contains(always, p.name) || slices.Contains(more, p.name)
			if got := s.passes(p); got != want {
				t.Errorf("%s: %s passes: %t, want %t", name, p.name, got, want)
			}
		}
	}
}

// TestWFPChange goes from each configuration to each other, in one process and
// after one that died, and looks after each step whether anything passes that
// both block.
func TestWFPChange(t *testing.T) {
	for from, a := range wfpConfigs() {
		for to, b := range wfpConfigs() {
			for _, died := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s, died %t", from, to, died), func(t *testing.T) {
					s, g := &shelf{stands: map[wfpID]wfpFilter{}}, wfpGuard{}
					if err := g.set(s, a); err != nil {
						t.Fatal(err)
					}
					want, fresh := &shelf{stands: map[wfpID]wfpFilter{}}, wfpGuard{}
					if err := fresh.set(want, b); err != nil {
						t.Fatal(err)
					}
					var blocked []probe
					for _, p := range probes() {
						if !s.passes(p) && !want.passes(p) {
							blocked = append(blocked, p)
						}
					}
					s.step = func() {
						for _, p := range blocked {
							if s.passes(p) {
								t.Fatalf("%s leaks", p.name)
							}
						}
					}
					if died {
						g = wfpGuard{}
					}
					if err := g.set(s, b); err != nil {
						t.Fatal(err)
					}
					if len(s.stands) != len(want.stands) || s.on != want.on {
						t.Errorf("%d filters stand, want %d", len(s.stands), len(want.stands))
					}
					for id, f := range want.stands {
						if got := s.stands[id]; got.String() != f.String() {
							t.Errorf("%v is %s, want %s", id, got, f)
						}
					}
				})
			}
		}
	}
}

// TestWFPFails has each step of a change fail, and then sets it again.
func TestWFPFails(t *testing.T) {
	configs := wfpConfigs()
	for n := 1; n < 80; n++ {
		s, g := &shelf{stands: map[wfpID]wfpFilter{}}, wfpGuard{}
		if err := g.set(s, configs["exit"]); err != nil {
			t.Fatal(err)
		}
		s.fail = n
		failed := g.set(s, configs["both"]) != nil
		left := s.fail > 0
		if s.fail = 0; failed == left {
			t.Errorf("step %d: failed %t", n, failed)
		}
		for _, c := range []Config{configs["both"], {}} {
			if err := g.set(s, c); err != nil {
				t.Errorf("step %d: %v", n, err)
			}
			if want, _ := c.wfp(); len(s.stands) != len(resolve(s, want)) {
				t.Errorf("step %d: %d filters stand", n, len(s.stands))
			}
		}
	}
}

// TestWFPNames finds every filter by what it is called.
func TestWFPNames(t *testing.T) {
	c := wfpConfigs()["both"]
	for i := range wfpOwnMost - len(c.Own) {
		c.Own = append(c.Own, Interface{Name: "x", Index: 10 + i})
	}
	for i := range wfpLANMost - len(c.AllowLAN) {
		c.AllowLAN = append(c.AllowLAN, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i), 0}), 24))
	}
	filters, err := c.wfp()
	if err != nil {
		t.Fatal(err)
	}
	names, seen := wfpNames(), map[[16]byte]bool{}
	for _, f := range filters {
		if key := wfpKey(f.layer, f.name); seen[key] || !slices.Contains(names, f.name) {
			t.Errorf("%s: twice %t, listed %t", f, seen[key], slices.Contains(names, f.name))
		} else {
			seen[key] = true
		}
	}
	c.Own = append(c.Own, c.Own[0])
	if _, err := c.wfp(); !errors.Is(err, ErrConfig) {
		t.Errorf("one network too many: %v", err)
	}
}
