package egresstest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kith.internal/helper/internal/osnet/egress"
)

// Bed is an Egress under test on a host with the TUNs that Own names, and that
// host seen by other means.
type Bed struct {
	Set func(egress.Config) error
	Own []egress.Interface // two of them
	// Look is what holds on the host: where each family's internet traffic goes,
	// 0 for nowhere, and whether the guard stands. Without an exit it is the zero
	// Seen but for Routes.
	Look func() Seen
	// Restart has another process take the place of the one that was killed.
	Restart func()
}

// Seen is what holds on a host.
type Seen struct {
	Exit, Block bool
	To4, To6    int
	Routes      []egress.Route
}

func see(c egress.Config) Seen {
	s := Seen{Exit: c.Exit, Block: c.Block}
	for _, r := range c.Routes {
		s.Routes = append(s.Routes, egress.Route{Prefix: r.Prefix.Masked(), Index: r.Index})
	}
	slices.SortFunc(s.Routes, func(a, b egress.Route) int { return a.Prefix.Compare(b.Prefix) })
	if c.TUN != "" && c.V4 {
		s.To4 = c.Index
	}
	if c.TUN != "" && c.V6 {
		s.To6 = c.Index
	}
	return s
}

// Contract is what every Egress keeps.
func Contract(t *testing.T, b Bed) {
	zero := egress.Config{Own: b.Own}
	exit := egress.Config{Own: b.Own, Exit: true, TUN: b.Own[0].Name, Index: b.Own[0].Index, V4: true, V6: true, Block: true}
	other := exit
	other.TUN, other.Index, other.V6 = b.Own[1].Name, b.Own[1].Index, false
	connecting := egress.Config{Own: b.Own, Exit: true, Block: true}
	open := exit
	open.Block = false
	routes := zero
	routes.Routes = []egress.Route{
		{Prefix: netip.MustParsePrefix("10.7.1.0/16"), Index: b.Own[0].Index}, {Prefix: netip.MustParsePrefix("fd77::/64"), Index: b.Own[1].Index},
	}
	both := exit
	both.Routes = routes.Routes
	steps := []struct {
		name string
		egress.Config
	}{
		{"nothing", zero}, {"an exit", exit}, {"the same again", exit}, {"another", other}, {"no path", connecting}, {"no block", open},
		{"routes", routes}, {"routes and an exit", both}, {"the zero Config", egress.Config{}}, {"the zero Config again", egress.Config{}},
	}
	look := func(when string, want egress.Config) {
		t.Helper()
		opts := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
		if d := cmp.Diff(see(want), b.Look(), opts); d != "" {
			t.Errorf("%s (-want +got):\n%s", when, d)
		}
	}
	for _, s := range steps {
		if err := b.Set(s.Config); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		look(s.name, s.Config)
	}
	if err := b.Set(exit); err != nil {
		t.Fatal(err)
	}
	if err := b.Set(egress.Config{Block: true}); !errors.Is(err, egress.ErrConfig) {
		t.Errorf("no configuration: %v", err)
	}
	look("after one that was refused", exit)
	b.Restart()
	if !b.Look().Block {
		t.Error("the block does not outlive its process")
	}
	if err := b.Set(egress.Config{}); err != nil {
		t.Fatal(err)
	}
	look("undone by another process", egress.Config{})
}
