package model

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

// TestLANs holds what is shown of local networks, and what each switch asks for.
func TestLANs(t *testing.T) {
	nets := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, c := range []struct {
		name        string
		local, only []netip.Prefix
		shown       string
		not         string // what to ask for when the first is switched off
		all         string // when "all" is switched off
	}{
		{"all", nets("10.1.0.0/16", "fd99::/64"), nil, "+10.1.0.0/16 +fd99::/64", "true [fd99::/64]", "true [10.1.0.0/16 fd99::/64]"},
		{"one", nets("10.1.0.0/16", "10.2.0.0/16"), nets("10.1.0.0/16"), "+10.1.0.0/16 10.2.0.0/16", "false []", "true [10.1.0.0/16]"},
		{"the only one there is", nets("10.1.0.0/16"), nil, "+10.1.0.0/16", "false []", "true [10.1.0.0/16]"},
		{"a wide one", nets("10.1.0.0/16", "10.2.0.0/16"), nets("10.0.0.0/8"), "+10.1.0.0/16 +10.2.0.0/16", "true [10.2.0.0/16]", "true [10.1.0.0/16 10.2.0.0/16]"},
		{"another place", nets("10.1.0.0/16"), nets("10.9.0.0/16"), "10.1.0.0/16 +10.9.0.0/16 away", "true [10.9.0.0/16]", "true [10.9.0.0/16]"},
		{"half of one", nets("10.1.0.0/16"), nets("10.1.128.0/17"), "10.1.0.0/16 +10.1.128.0/17 away", "true [10.1.128.0/17]", "true [10.1.128.0/17]"},
	} {
		st := withExit(ipc.ExitOn)
		st.Networks[0].Exit.Local, st.Networks[0].Exit.LANs = c.local, c.only
		x := up(st).View(t0).Exit
		shown := ""
		for i, l := range x.LANs {
			if i > 0 {
				shown += " "
			}
			if l.On {
				shown += "+"
			}
			shown += l.Prefix.String()
			if !l.Here {
				shown += " away"
			}
		}
		say := func(allow bool, only []netip.Prefix) string { return fmt.Sprint(allow, " ", only) }
		got := []string{shown, say(x.SwitchLAN(x.LANs[0].Prefix, false)), say(x.SwitchAllLANs(false)), say(x.SwitchAllLANs(true))}
		if d := cmp.Diff([]string{c.shown, c.not, c.all, "true []"}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}
