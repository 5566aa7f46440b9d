package model

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

var rewrite = flag.Bool("update", false, "write the golden files")

// shown is a state as a person meets it: the top line, the banner with its
// buttons, and a device's row where the state is one.
func shown(c *text.Catalogue, v View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  icon %d: %s\n", v.Icon, c.Say(v.Title))
	if v.Banner != nil {
		fmt.Fprintf(&b, "  %s", Say(c, *v.Banner, t0))
		for _, a := range []Action{v.Banner.Action, v.Banner.Other} {
			if word := ActionWord(c, a); word != "" {
				fmt.Fprintf(&b, " [%s]", word)
			}
		}
		b.WriteString("\n")
	}
	for _, d := range v.Devices {
		if d.Relayed {
			fmt.Fprintf(&b, "  %s: %s [%s]\n    %s\n", d.Peer.Name, Path(c, d, t0), c.S("action.why"), Why(c, d))
		}
	}
	return b.String()
}

// TestStatesOfTheTable holds the words of every state in the table of what a person sees.
func TestStatesOfTheTable(t *testing.T) {
	warn := func(code, net string, args ...string) State {
		return with(health(code, ipc.SeverityWarning, net, args...))
	}
	expires := func(d time.Duration) State {
		return warn(ipc.HealthExpiring, "home", "at", t0.Add(d).Format(time.RFC3339))
	}
	near := func(n int) State {
		var peers []ipc.Peer
		for i := range n {
			peers = append(peers, peer(fmt.Sprint("nas", i), true))
		}
		far := peer("vps", true)
		far.Path = ipc.PathDirect
		return change(up(status(network("home", append(peers, far)...))), func(st *ipc.Status) {
			st.Health = []ipc.Health{health(ipc.HealthLANOnly, ipc.SeverityInfo, "")}
		})
	}
	relayed := peer("office", true)
	relayed.Path, relayed.Via, relayed.LatencyMS, relayed.Why = ipc.PathRelayed, ptr("vps"), ptr(48.0), ptr(ipc.WhyHardBoth)
	cases := []struct {
		name string
		s    State
	}{
		{"helper absent", New("1.4").SetLink(LinkAbsent, "", t0)},
		{"versions differ", New("1.4").SetLink(LinkVersions, "1.3", t0)},
		{"not permitted", change(with(), func(st *ipc.Status) { st.May = nil })},
		{"not permitted to connect", New("1.4").SetLink(LinkRefused, "", t0)},
		{"no network", warn(ipc.HealthNoNetwork, "")},
		{"captive portal", warn(ipc.HealthPortal, "", "by", "NetworkManager")},
		{"captive portal, let through", warn(ipc.HealthPortalOpen, "", "until", t0.Add(5*time.Minute).Format(time.RFC3339))},
		{"LAN only", near(3)},
		{"LAN only, one device", near(1)},
		{"LAN only, none", near(0)},
		{"relayed", up(status(network("home", relayed)))},
		{"expiring in a month", expires(30 * 24 * time.Hour)},
		{"expiring in a week", expires(6*24*time.Hour + 2*time.Hour)},
		{"expiring in a day", expires(23 * time.Hour)},
		{"removed", with(health(ipc.HealthRemoved, ipc.SeverityError, "home", "by", "nas"))},
		{"DNS overridden", warn(ipc.HealthDNSOverridden, "", "by", "NetworkManager")},
		{"address conflict", change(warn(ipc.HealthRouteConflict, "home", "route", "192.168.1.0/24", "with", "wlan0"), func(st *ipc.Status) {
			st.Networks[0].Routes = []ipc.Route{{Prefix: netip.MustParsePrefix("192.168.1.0/24"), Device: "nas", Accepted: true, Conflict: ptr("wlan0")}}
		})},
		{"clock wrong", warn(ipc.HealthClock, "", "offset", "-9m3s")},
		{"exit node offline", up(withExit(ipc.ExitBlocked))},
	}
	var b strings.Builder
	for _, tc := range cases {
		v := tc.s.View(t0)
		fmt.Fprintf(&b, "%s\n%s%s", tc.name, shown(text.English(), v), shown(text.For("de"), v))
	}
	file := filepath.Join("testdata", "states.golden")
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Error(d)
	}
}
