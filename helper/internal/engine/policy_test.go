package engine

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/store"
)

// TestUnreadablePolicy: one that this build cannot read fails safe, over
// restarts too.
func TestUnreadablePolicy(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	n := &network{e: &Engine{cfg: Config{Store: st}, log: slog.New(slog.DiscardHandler)}, id: [32]byte{1}}
	n.set.Device = "laptop"
	if err := st.AddNetwork(store.Settings{Network: n.id, Name: "home", Alias: "home"}, store.Secrets{}); err != nil {
		t.Fatal(err)
	}
	reads := func(p *filter.Policy) int { return len(p.Allow) }
	if p, by := n.lastGood("laptop"); reads(p) != 2 || by == "" {
		t.Errorf("without one before: %d rules, by %q", reads(p), by)
	}
	n.keepPolicy([]byte(`{"allow": []}`))
	if p, by := n.lastGood("laptop"); reads(p) != 0 || by != "the one before" {
		t.Errorf("with one before: %d rules, by %q", reads(p), by)
	}
	n.keepPolicy(nil)
	if p, _ := n.lastGood("laptop"); reads(p) != 1 {
		t.Errorf("with the default before: %d rules", reads(p))
	}
}

// TestTaken: what reaches a host beside its own address.
func TestTaken(t *testing.T) {
	for in, want := range map[string][]string{
		"198.51.100.9/24":   {"198.51.100.9", "198.51.100.0", "198.51.100.255"},
		"198.51.100.130/25": {"198.51.100.130", "198.51.100.128", "198.51.100.255"},
		"198.51.100.8/31":   {"198.51.100.8"},
		"198.51.100.9/32":   {"198.51.100.9"},
		"2001:db8:1::9/64":  {"2001:db8:1::9", "2001:db8:1::"},
		"2001:db8:1::/64":   {"2001:db8:1::"},
		"2001:db8:1::9/127": {"2001:db8:1::9"},
	} {
		var got []string
		for _, a := range taken(netip.MustParsePrefix(in)) {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}
