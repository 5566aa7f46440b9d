package ui

import (
	"strings"
	"testing"
)

// TestRemoveStolen: of a device with authority what it did since its key was
// stolen can be undone, after a second look at what that changes.
func TestRemoveStolen(t *testing.T) {
	for _, c := range []struct {
		pick string
		yes  bool
		want string
	}{
		{"", true, "revoke nas"},
		{"undo the last 6 hours", true, "look nas 6h0m0s;undo nas 6h0m0s 7b"},
		{"undo the last 7 days", false, "look nas 168h0m0s"},
	} {
		b := newBench(t)
		b.take(sample())
		modals["remove admin"](b)
		b.see("Remove nas?", "What it did in the network")
		did, _ := b.form()
		if did == nil {
			t.Fatal("there is nothing to choose")
		}
		for _, o := range did.Options {
			if c.pick != "" && strings.Contains(o, c.pick) {
				did.SetSelected(o)
			}
		}
		b.click("Remove")
		if c.pick != "" {
			b.see("9 records", "These lose access: tv, tablet", "These have access again: phone", "These have a lesser role: desk",
				"2 settings change.", "1 invite ends.", "1 of the records is dated before", "knows the network only since")
			if c.yes {
				b.click("Remove")
			} else {
				b.click("Cancel")
			}
		}
		got := strings.Join(b.fake.calls, ";")
		for _, d := range b.view.Devices {
			if d.Peer.Name == "nas" {
				got = strings.ReplaceAll(got, d.Peer.Key, "nas")
			}
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.pick, got, c.want)
		}
	}
}
