package e2e

import (
	"strings"
	"testing"

	"kith.internal/ipc"
)

// TestNetnsUntilDirect: kith ping --until-direct ends where the path is direct,
// and says why it is none, as kith peers does.
func TestNetnsUntilDirect(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		w := newWorld(t)
		s, a, b := bothBehindNAT(w)
		a.join(s)
		b.join(s)
		a.meets(b)
		if out := a.kith("ping", "b", "--until-direct"); !strings.Contains(out, "path=direct") {
			t.Errorf("kith ping says %q", out)
		}
		until(t, "kith diag tells the relay's latency", patience, func() bool {
			c := a.diagnosis(ipc.CheckRelays)
			return c.OK && strings.Contains(c.Detail, "s (UDP ")
		})
	})
	t.Run("relayed", func(t *testing.T) {
		w := newWorld(t)
		s, a, b := noHairpin(w)
		a.join(s)
		b.join(s)
		a.meets(b)
		w.between(a, b, patience, ipc.PathRelayed)
		until(t, "a knows why", patience, func() bool {
			why := a.sees("b").Why
			return why != nil && *why != ipc.WhyTrying
		})
		x := a.try("ping", "b", "--until-direct", "-c", "3")
		if x.code != 1 || !strings.Contains(x.out, "path=relayed via s") || !strings.Contains(x.err, "not on a direct path; the reason: ") {
			t.Errorf("kith ping: %v", x)
		}
		t.Log(x.err)
		if out := a.kith("peers"); !strings.Contains(out, "relayed via s") {
			t.Errorf("kith peers says %q", out)
		}
		if c := a.diagnosis(ipc.CheckHairpin); !c.NA {
			t.Errorf("kith diag says %+v", c)
		}
	})
}
