package udptest

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

var (
	restricted     = NAT{Mapping: EndpointIndependent, Filtering: AddressDependent, Random: true}
	portRestricted = NAT{Mapping: EndpointIndependent, Filtering: AddressAndPortDependent, Random: true}
)

// TestNATKinds: what gets through each kind to a host that has sent one
// datagram to one server, from there and from elsewhere; whether a second
// server sees the same port; and whether that is the host's own.
func TestNATKinds(t *testing.T) {
	tests := []struct {
		name                   string
		nat                    *NAT
		answer, port, stranger bool
		stable, kept           bool
	}{
		{"none", nil, true, true, true, true, true},
		{"masquerade", &Masquerade, true, false, false, true, true},
		{"symmetric", &Symmetric, true, false, false, false, false},
		{"full cone", &FullCone, true, true, true, true, true},
		{"carrier", &Carrier, true, true, true, true, false},
		{"restricted", &restricted, true, true, false, true, false},
		{"port-restricted", &portRestricted, true, false, false, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				h, r, outer := w.home(1, tt.nat)
				if tt.nat == nil { // the world routes to it
					w.core.AddRoute(p("10.1.0.0/24"), r.outside.segment, outer, 0)
				}
				s1, at1 := w.public("s1")
				s2, at2 := w.public("s2")
				c, other := w.port(h, 5000), w.port(s1, 81)
				first, second := w.port(s1, 80), w.port(s2, 80)
				through := func(what string, got, want bool) {
					t.Helper()
					if got != want {
						t.Errorf("%s gets through: %v", what, got)
					}
				}
				w.send(c, at(at1, 80))
				seen := w.heard(first)
				if !seen.IsValid() || tt.nat != nil && seen.Addr() != outer {
					t.Fatalf("seen as %v", seen)
				}
				w.send(first, seen)
				through("an answer", w.heard(c).IsValid(), tt.answer)
				w.send(other, seen)
				through("another port", w.heard(c).IsValid(), tt.port)
				w.send(second, seen)
				through("a stranger", w.heard(c).IsValid(), tt.stranger)
				w.send(c, at(at2, 80))
				if again := w.heard(second); (again == seen) != tt.stable {
					t.Errorf("seen as %v, and as %v", seen, again)
				}
				if (seen.Port() == 5000) != tt.kept {
					t.Errorf("port 5000 is seen as %d", seen.Port())
				}
			})
		})
	}
}

// TestHolePunching: which pairs of NATs let two hosts meet that each know how a
// server sees the other.
func TestHolePunching(t *testing.T) {
	kinds := []struct {
		name string
		nat  *NAT
	}{
		{"full cone", &FullCone}, {"restricted", &restricted}, {"port-restricted", &portRestricted},
		{"masquerade", &Masquerade}, {"symmetric", &Symmetric},
	}
	meets := [5][5]bool{
		{true, true, true, true, true},
		{true, true, true, true, true},
		{true, true, true, true, false},
		{true, true, true, true, false},
		{true, true, false, false, false},
	}
	for i, a := range kinds {
		for j, b := range kinds {
			t.Run(a.name+" and "+b.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					ha, _, _ := w.home(1, a.nat)
					hb, _, _ := w.home(2, b.nat)
					s, ats := w.public("s")
					cs, ca, cb := w.port(s, 80), w.port(ha, 5000), w.port(hb, 6000)
					w.send(ca, at(ats, 80))
					seenA := w.heard(cs)
					w.send(cb, at(ats, 80))
					seenB := w.heard(cs)
					for range 3 {
						w.send(ca, seenB)
						w.send(cb, seenA)
						time.Sleep(100 * time.Millisecond)
					}
					// Who hears the other answers where it came from.
					met := false
					if from := w.heard(ca); from.IsValid() {
						w.drain(cb)
						w.send(ca, from)
						met = w.heard(cb).IsValid()
					} else if from := w.heard(cb); from.IsValid() {
						w.drain(ca)
						w.send(cb, from)
						met = w.heard(ca).IsValid()
					}
					if met != meets[i][j] {
						t.Errorf("met: %v", met)
					}
				})
			})
		}
	}
}

// TestMappingLifetime: a mapping ends when nothing has passed for a while, a
// firewall's memory too.
func TestMappingLifetime(t *testing.T) {
	for name, walled := range map[string]bool{"nat": false, "firewall": true} {
		for _, tt := range []struct {
			wait     time.Duration
			answered bool
			through  bool
		}{
			{29 * time.Second, false, true}, {31 * time.Second, false, false},
			{119 * time.Second, true, true}, {121 * time.Second, true, false},
		} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				kind := &Masquerade
				if walled {
					kind = nil
				}
				h, r, outer := w.home(1, kind)
				if walled {
					w.core.AddRoute(p("10.1.0.0/24"), r.outside.segment, outer, 0)
					r.SetFirewall(true)
				}
				s, ats := w.public("s")
				cs, c := w.port(s, 80), w.port(h, 5000)
				w.send(c, at(ats, 80))
				seen := w.heard(cs)
				if tt.answered {
					w.send(cs, seen)
					if !w.heard(c).IsValid() {
						t.Fatal("no answer")
					}
				}
				time.Sleep(tt.wait)
				w.send(cs, seen)
				if got := w.heard(c).IsValid(); got != tt.through {
					t.Errorf("%s: %v after the last packet (answered %v): gets through: %v", name, tt.wait, tt.answered, got)
				}
			})
		}
	}
}

// TestRebind: a new outer address is another mapping, and the old one is gone.
func TestRebind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h, r, _ := w.home(1, &Symmetric)
		s, ats := w.public("s")
		cs, c := w.port(s, 80), w.port(h, 5000)
		w.send(c, at(ats, 80))
		old := w.heard(cs)
		for _, addrs := range [][]netip.Prefix{nil, {p("203.0.1.9/24")}} {
			r.Rebind(addrs...)
			w.send(cs, old)
			if w.heard(c).IsValid() {
				t.Error("the old mapping lets a packet in")
			}
			w.send(c, at(ats, 80))
			seen := w.heard(cs)
			if seen == old || (addrs != nil) != (seen.Addr() == p("203.0.1.9/24").Addr()) {
				t.Errorf("seen as %v, before as %v", seen, old)
			}
			w.send(cs, seen)
			if !w.heard(c).IsValid() {
				t.Error("the new mapping lets nothing in")
			}
			old = seen
		}
	})
}

// TestHairpin: two behind one NAT meet at their outer addresses if it turns
// packets round, and see each other's outer address then.
func TestHairpin(t *testing.T) {
	for _, hairpin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			kind := Carrier
			kind.Hairpin = hairpin
			carrier := w.net.Router("carrier")
			w.uplink(carrier, &kind)
			inner := w.net.Segment("carrier's")
			carrier.Attach(inner, p("100.64.0.1/24"))
			var hosts [2]*Host
			for i := range hosts {
				r := w.net.Router("home")
				hosts[i] = w.behind(r, i+1)
				r.Attach(inner, p("100.64.0.%d/24", i+2))
				r.AddDefault(inner, p("100.64.0.1/24").Addr(), 0)
				r.SetOutside(inner)
				r.SetNAT(&Masquerade)
			}
			s, ats := w.public("s")
			cs, c1, c2 := w.port(s, 80), w.port(hosts[0], 5000), w.port(hosts[1], 5000)
			w.send(c1, at(ats, 80))
			seen1 := w.heard(cs)
			w.send(c2, at(ats, 80))
			seen2 := w.heard(cs)
			if seen1.Addr() != seen2.Addr() || seen1 == seen2 {
				t.Fatalf("seen as %v and %v", seen1, seen2)
			}
			w.send(c1, seen2) // opens the way at home
			w.send(c2, seen1)
			from := w.heard(c1)
			if from.IsValid() != hairpin || hairpin && from != seen2 {
				t.Errorf("hairpin %v: heard from %v, who is seen as %v", hairpin, from, seen2)
			}
		})
	}
}

// TestAccepted: where a router takes what comes unasked, the flow that is meant
// to meet it gets another port; where it drops it, all is well.
func TestAccepted(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			kind := Masquerade
			kind.Accepts = accepts
			h, _, outer := w.home(1, &kind)
			s, ats := w.public("s")
			cs, c := w.port(s, 80), w.port(h, 5000)
			w.send(cs, at(outer, 5000))
			time.Sleep(time.Second)
			w.send(c, at(ats, 80))
			if seen := w.heard(cs); (seen.Port() != 5000) != accepts {
				t.Errorf("accepts %v: port 5000 is seen as %v", accepts, seen)
			}
		})
	}
}
