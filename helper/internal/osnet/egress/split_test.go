package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// recorder is a system that says what it was told.
type recorder struct {
	told  []string
	guide error
}

func (r *recorder) lead(p netip.Prefix, index, before int) error {
	r.told = append(r.told, fmt.Sprintf("%s to %d, not %d", p, index, before))
	return nil
}

func (r *recorder) remove(p netip.Prefix, index int) error {
	r.told = append(r.told, fmt.Sprintf("%s not to %d", p, index))
	return nil
}

func (r *recorder) guard(c Config) error {
	r.told = append(r.told, fmt.Sprintf("guard %t", c.Block))
	return r.guide
}

func (*recorder) Close() error { return nil }

func TestSplit(t *testing.T) {
	r := &recorder{}
	s := newSplit(r)
	route := Route{netip.MustParsePrefix("10.7.0.0/16"), 8}
	for _, step := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"connecting", Config{Exit: true, Block: true}, []string{
			"guard true", "0.0.0.0/1 to 0, not -1", "128.0.0.0/1 to 0, not -1", "::/1 to 0, not -1", "8000::/1 to 0, not -1",
		}},
		{"in use, without IPv6", Config{Exit: true, TUN: "kith0", Index: 7, V4: true, Block: true}, []string{
			"guard true", "0.0.0.0/1 to 7, not 0", "128.0.0.0/1 to 7, not 0", "::/1 to 7, not 0", "8000::/1 to 7, not 0",
		}},
		{"another, and a route", Config{Exit: true, TUN: "kith1", Index: 8, V4: true, V6: true, Block: true, Routes: []Route{route}}, []string{
			"guard true", "0.0.0.0/1 to 8, not 7", "10.7.0.0/16 to 8, not -1", "128.0.0.0/1 to 8, not 7", "::/1 to 8, not 7", "8000::/1 to 8, not 7",
		}},
		{"a route alone", Config{Routes: []Route{route}}, []string{
			"0.0.0.0/1 not to 8", "128.0.0.0/1 not to 8", "::/1 not to 8", "8000::/1 not to 8", "guard false",
		}},
		{"nothing", Config{}, []string{"10.7.0.0/16 not to 8", "guard false"}},
		{"nothing again", Config{}, []string{"guard false"}},
	} {
		r.told = nil
		if err := s.Set(step.config); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if d := cmp.Diff(step.want, r.told); d != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, d)
		}
	}
	r.guide = errors.New("cannot")
	if err := s.Set(Config{Exit: true, Block: true}); !errors.Is(err, ErrNoGuard) || !errors.Is(s.Problem(), ErrNoGuard) {
		t.Errorf("without a guard: %v", err)
	}
}
