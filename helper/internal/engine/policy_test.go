package engine

import (
	"log/slog"
	"path/filepath"
	"testing"

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
