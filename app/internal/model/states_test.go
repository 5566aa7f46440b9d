package model

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/app/internal/states"
	"kith.internal/app/internal/text"
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
	type row struct {
		name string
		s    State
	}
	var cases []row
	for _, r := range states.Rows(t0) {
		s := New("1.4")
		switch {
		case r.Status != nil:
			s = s.Take(*r.Status)
		case r.State == states.HelperAbsent:
			s = s.SetLink(LinkAbsent, "", t0)
		case r.State == states.VersionsDiffer:
			s = s.SetLink(LinkVersions, "1.3", t0)
		case r.State == states.Refused:
			s = s.SetLink(LinkRefused, "", t0)
		}
		cases = append(cases, row{r.Name, s})
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
