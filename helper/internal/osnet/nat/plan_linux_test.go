package nat

import (
	"encoding/binary"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// TestPlan holds what would be set against golden files.
func TestPlan(t *testing.T) {
	host := around{lans: prefixes("203.0.113.0/24", "2001:db8:1::/64"), uplinks: []string{"eth0"}}
	alone := host
	alone.closed4, alone.closed6 = true, true
	home := Offer{TUN: "kith0", Index: 7, Sources: prefixes("100.80.0.0/16", "fd12::/48")}
	exit, open, routes, both := home, home, home, home
	exit.Exit = true
	open.Exit, open.ExitLAN = true, true
	routes.Routes = []Route{{netip.MustParsePrefix("192.168.7.0/24"), true}, {netip.MustParsePrefix("192.168.8.0/24"), false}, {netip.MustParsePrefix("fd77::/64"), true}}
	both.Exit, both.Routes = true, routes.Routes
	work := Offer{TUN: "kith1", Index: 8, Sources: prefixes("fd13::/48"), Exit: true}
	for name, c := range map[string]struct {
		Config
		around
	}{
		"exit":     {Config{Offers: []Offer{exit}}, host},
		"exit-lan": {Config{Offers: []Offer{open}}, host},
		"routes":   {Config{Offers: []Offer{routes}}, host},
		"both":     {Config{Offers: []Offer{both}}, host},
		"two":      {Config{Offers: []Offer{open, work}}, around{}},
		"alone":    {Config{Offers: []Offer{open}}, alone},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			got := c.plan(c.around).String()
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	o := Offer{TUN: "kith0", Index: 7, Sources: prefixes("fd12::/48")}
	for name, change := range map[string]func(*Offer){
		"no TUN":                 func(o *Offer) { o.TUN = "" },
		"no index":               func(o *Offer) { o.Index = 0 },
		"no sources":             func(o *Offer) { o.Sources = nil },
		"a LAN without an exit":  func(o *Offer) { o.ExitLAN = true },
		"everything as a subnet": func(o *Offer) { o.Routes = []Route{{Prefix: netip.MustParsePrefix("::/0")}} },
		"everyone as a source":   func(o *Offer) { o.Sources = prefixes("0.0.0.0/0") },
		"a mapped subnet":        func(o *Offer) { o.Routes = []Route{{Prefix: netip.MustParsePrefix("::ffff:10.0.0.0/104")}} },
	} {
		bad := o
		change(&bad)
		if err := (Config{Offers: []Offer{bad}}).Validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, want %v", name, err, ErrConfig)
		}
	}
	if err := (Config{Offers: []Offer{o}}).Validate(); err != nil || !(Config{Offers: []Offer{o}}).idle() {
		t.Errorf("an offer of nothing: %v", err)
	}
}

// entry is struct ipt_entry with a standard target.
func entry(verdict int32, name string) []byte {
	b := make([]byte, 112+40)
	binary.NativeEndian.PutUint16(b[88:], 112)
	binary.NativeEndian.PutUint16(b[112:], 40)
	copy(b[114:], name)
	binary.NativeEndian.PutUint32(b[144:], uint32(verdict))
	return b
}

func TestPolicyDrops(t *testing.T) {
	for name, c := range map[string]struct {
		entries []byte
		at      int
		want    bool
	}{
		"drop":        {entry(-1, ""), 0, true},
		"accept":      {entry(-2, ""), 0, false},
		"the second":  {append(entry(-2, ""), entry(-1, "")...), 152, true},
		"no standard": {entry(-1, "REJECT"), 0, false},
		"cut off":     {entry(-1, "")[:120], 0, false},
		"beyond":      {entry(-1, ""), 500, false},
		"before":      {entry(-1, ""), -1, false},
	} {
		if got := policyDrops(c.entries, c.at, 88); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func FuzzPolicyDrops(f *testing.F) {
	f.Add(entry(-1, ""), 0)
	f.Add(entry(-2, "ERROR"), 152)
	f.Fuzz(func(_ *testing.T, b []byte, at int) { policyDrops(b, at, 140) })
}
