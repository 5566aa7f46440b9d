package routertest

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kith.internal/helper/internal/osnet/router"
)

// Bed is an interface under test, and its host seen by other means than the
// router's.
type Bed struct {
	Router router.Router
	// Look reads what the interface has: the routes that lead into it, its
	// addresses, link-local ones included.
	Look func() router.Config
	// DisableIPv6 switches IPv6 off on the host.
	DisableIPv6 func()
	// Delete removes the interface.
	Delete func()
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func full() router.Config {
	return router.Config{
		Addrs:  prefixes("100.80.0.1/32", "fd12:3456:789a::1/128"),
		Routes: prefixes("100.80.0.0/16", "fd12:3456:789a::/48"),
		MTU:    1420, Up: true,
	}
}

// Contract is what every Router keeps. bed makes a fresh interface, with the
// MTU 1420, and is called once for each part.
func Contract(t *testing.T, run func(t *testing.T, part func(*testing.T, Bed))) {
	parts := []struct {
		name string
		part func(*testing.T, Bed)
	}{
		{"set twice", setTwice},
		{"change", change},
		{"every address changes", swap},
		{"zero undoes everything", undo},
		{"refused", refused},
		{"no IPv6", noIPv6},
		{"the interface is gone", vanished},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { run(t, p.part) })
	}
}

func look(t *testing.T, b Bed, want router.Config) {
	t.Helper()
	got := b.Look()
	slices.SortFunc(got.Addrs, netip.Prefix.Compare)
	slices.SortFunc(got.Routes, netip.Prefix.Compare)
	opts := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if d := cmp.Diff(want, got, opts); d != "" {
		t.Errorf("the interface is not as it was set (-want +got):\n%s", d)
	}
}

func set(t *testing.T, b Bed, c router.Config) {
	t.Helper()
	if err := b.Router.Set(c); err != nil {
		t.Fatalf("set: %v", err)
	}
}

func setTwice(t *testing.T, b Bed) {
	for range 2 {
		set(t, b, full())
		look(t, b, full())
	}
}

func change(t *testing.T, b Bed) {
	set(t, b, full())
	c := full()
	c.Addrs = append(c.Addrs, prefixes("100.80.7.7/32")...)
	c.Routes = prefixes("10.9.8.7/16", "10.9.0.0/16", "100.80.0.0/16", "fd12:3456:789b::/64")
	c.MTU = 1300
	set(t, b, c)
	look(t, b, router.Config{
		Addrs:  prefixes("100.80.0.1/32", "100.80.7.7/32", "fd12:3456:789a::1/128"),
		Routes: prefixes("10.9.0.0/16", "100.80.0.0/16", "fd12:3456:789b::/64"),
		MTU:    1300, Up: true,
	})
	c.MTU = 0
	set(t, b, c)
	if got := b.Look().MTU; got != 1300 {
		t.Errorf("MTU 0 made it %d", got)
	}
}

func swap(t *testing.T, b Bed) {
	c := full()
	c.Addrs = prefixes("100.80.0.1/16", "100.80.0.2/16", "fd12:3456:789a::1/48")
	set(t, b, c)
	look(t, b, c)
	c.Addrs = prefixes("100.80.0.1/32", "fd12:3456:789a::1/128")
	set(t, b, c)
	look(t, b, c)
	c.Addrs = prefixes("100.80.9.9/32", "fd12:3456:789a::9/128")
	set(t, b, c)
	look(t, b, c)
}

func undo(t *testing.T, b Bed) {
	set(t, b, full())
	for range 2 {
		set(t, b, router.Config{})
		look(t, b, router.Config{MTU: 1420})
	}
}

func refused(t *testing.T, b Bed) {
	set(t, b, full())
	for name, c := range map[string]router.Config{
		"small MTU":           {MTU: 1279},
		"routes while down":   {Routes: prefixes("10.0.0.0/8")},
		"an invalid address":  {Addrs: []netip.Prefix{{}}},
		"a multicast address": {Addrs: prefixes("ff02::1/128"), Up: true},
		"a mapped route":      {Routes: prefixes("::ffff:10.0.0.0/104"), Up: true},
	} {
		if err := b.Router.Set(c); !errors.Is(err, router.ErrConfig) {
			t.Errorf("%s: got %v, want %v", name, err, router.ErrConfig)
		}
	}
	look(t, b, full())
}

func noIPv6(t *testing.T, b Bed) {
	set(t, b, full())
	b.DisableIPv6()
	want := router.Config{Addrs: prefixes("100.80.0.1/32"), Routes: prefixes("100.80.0.0/16"), MTU: 1420, Up: true}
	for range 2 {
		if err := b.Router.Set(full()); !errors.Is(err, router.ErrNoIPv6) {
			t.Errorf("got %v, want %v", err, router.ErrNoIPv6)
		}
		look(t, b, want)
	}
	set(t, b, want)
	set(t, b, router.Config{})
	look(t, b, router.Config{MTU: 1420})
}

func vanished(t *testing.T, b Bed) {
	set(t, b, full())
	b.Delete()
	if err := b.Router.Set(full()); !errors.Is(err, router.ErrGone) {
		t.Errorf("got %v, want %v", err, router.ErrGone)
	}
	set(t, b, router.Config{})
}
