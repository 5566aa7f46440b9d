package netmontest

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"kith.internal/helper/internal/osnet/netmon"
)

// Bed is a host under test whose only interface beside the loopback is eth0.
type Bed struct {
	Watcher *netmon.Watcher
	// Plug gives eth0 its carrier, Unplug takes it; Flap does both at once.
	Plug, Unplug, Flap func()
	// Address puts 192.0.2.7/24 and a default route by 192.0.2.1 on eth0.
	Address func()
	// Route adds a route to 198.51.100.0/24 by 192.0.2.2.
	Route func()
	// Delete removes eth0.
	Delete func()
}

// Contract is what every Watcher does. b is at rest: eth0 is there, and has
// neither carrier nor address.
func Contract(t *testing.T, b Bed) {
	prefix := netip.MustParsePrefix("192.0.2.7/24")
	steps := []struct {
		name string
		do   func()
		ok   func(eth0 netmon.Interface, s netmon.State, routes []netmon.Route) bool
	}{
		{"plug", b.Plug, func(i netmon.Interface, s netmon.State, _ []netmon.Route) bool { return i.Up && s.Default4 == 0 }},
		{"address", b.Address, func(i netmon.Interface, s netmon.State, r []netmon.Route) bool {
			return slices.Contains(i.Prefixes, prefix) && s.Default4 == i.Index && slices.ContainsFunc(r, netmon.Route.IsDefault)
		}},
		{"route", b.Route, func(i netmon.Interface, _ netmon.State, r []netmon.Route) bool {
			return slices.ContainsFunc(r, func(r netmon.Route) bool {
				return r.Prefix == netip.MustParsePrefix("198.51.100.0/24") && r.Gateway == netip.MustParseAddr("192.0.2.2") && r.Index == i.Index
			})
		}},
		{"unplug", b.Unplug, func(i netmon.Interface, s netmon.State, _ []netmon.Route) bool {
			return !i.Up && s.Default4 == 0 && slices.Contains(i.Prefixes, prefix)
		}},
		{"plug again", b.Plug, func(i netmon.Interface, s netmon.State, _ []netmon.Route) bool {
			return i.Up && slices.Contains(i.Prefixes, prefix)
		}},
		{"flap", b.Flap, func(i netmon.Interface, _ netmon.State, _ []netmon.Route) bool { return i.Up }},
		{"delete", b.Delete, func(i netmon.Interface, s netmon.State, r []netmon.Route) bool {
			return i.Index == 0 && s.Default4 == 0 && len(r) == 0
		}},
	}
	for _, step := range steps {
		drain(b.Watcher)
		step.do()
		timeout := time.After(10 * time.Second)
		for told := false; ; {
			s, err := b.Watcher.State()
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			r, err := b.Watcher.Routes()
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if told && step.ok(find(s, "eth0"), s, r) {
				break
			}
			select {
			case <-b.Watcher.Changes():
				told = true
			case <-timeout:
				t.Fatalf("%s: told %t: %+v, %+v", step.name, told, s, r)
			}
		}
	}
	if err := b.Watcher.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// drain waits until what an earlier step did is told.
func drain(w *netmon.Watcher) {
	for {
		select {
		case <-w.Changes():
		case <-time.After(300 * time.Millisecond):
			return
		}
	}
}

func find(s netmon.State, name string) netmon.Interface {
	for _, i := range s.Interfaces {
		if i.Name == name {
			return i
		}
	}
	return netmon.Interface{}
}
