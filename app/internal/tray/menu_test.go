package tray

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

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

var rewrite = flag.Bool("update", false, "write the golden files")

var t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// draw is the menu as a person sees it.
func draw(rows []Row, indent string) string {
	var b strings.Builder
	for _, r := range rows {
		if r.Separator {
			b.WriteString(indent + "────\n")
			continue
		}
		b.WriteString(indent)
		if r.Checkable {
			b.WriteString(map[bool]string{true: "[✓] ", false: "[ ] "}[r.Checked])
		}
		b.WriteString(r.Label)
		if r.Disabled {
			b.WriteString("  (disabled)")
		}
		if len(r.Sub) > 0 {
			b.WriteString(" ▸")
		}
		b.WriteString("\n" + draw(r.Sub, indent+"    "))
	}
	return b.String()
}

func status(names ...string) ipc.Status {
	st := ipc.Status{Schema: 1, Version: "1.3", State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}}
	for _, n := range names {
		st.Networks = append(st.Networks, ipc.Network{
			Name: n, Alias: n, ID: "id-" + n, Active: true,
			Self:  ipc.Self{Name: "laptop", FQDN: "laptop." + n + ".internal", Role: ipc.RoleOwner},
			Peers: []ipc.Peer{{Name: "nas", Key: "k1", Online: true}, {Name: "phone", Key: "k2"}},
		})
	}
	return st
}

func view(change func(*ipc.Status), names ...string) model.View {
	st := status(names...)
	if change != nil {
		change(&st)
	}
	return model.New("1.4").Take(st).View(t0.Add(model.Settle))
}

// exitNodes offers n exit nodes beside nas; one of them is offline.
func exitNodes(using string, state ipc.ExitState, n int) func(*ipc.Status) {
	return func(st *ipc.Status) {
		net := &st.Networks[0]
		net.Peers[0].Exit, net.Peers[0].Online = true, state != ipc.ExitBlocked
		for i := range n {
			net.Peers = append(net.Peers, ipc.Peer{Name: fmt.Sprintf("exit-%02d", i), Key: fmt.Sprint("e", i), Online: i != 2, Exit: true})
		}
		net.Exit = ipc.Exit{State: state, Recent: []string{"exit-01"}}
		if using != "" {
			net.Exit.Using, net.Exit.Recent = &using, []string{using, "exit-01"}
			net.Exit.LANAllowed, net.Exit.AllowLAN = true, []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
		}
		if state == ipc.ExitBlocked {
			st.Health = append(st.Health, ipc.Health{Code: ipc.HealthExitBlocked, Severity: ipc.SeverityError, Args: map[string]string{"device": using, "why": "offline"}})
		}
	}
}

func TestMenus(t *testing.T) {
	many := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	cases := map[string]model.View{
		"running":  view(nil, "home"),
		"two":      view(func(st *ipc.Status) { st.Networks[1].Active = false }, "home", "work"),
		"many":     view(nil, many...),
		"none":     view(nil),
		"off":      view(func(st *ipc.Status) { st.State = ipc.StateOff }, "home"),
		"readonly": view(func(st *ipc.Status) { st.May = nil }, "home"),
		"reaching": model.New("1.4").View(t0),
		"absent":   model.New("1.4").SetLink(model.LinkAbsent, "", t0).View(t0),
		"versions": model.New("1.4").SetLink(model.LinkVersions, "1.3", t0).View(t0),
		"nogl":     model.New("1.4").SetNoGL(true).Take(status("home")).View(t0),
		"nouplink": view(func(st *ipc.Status) {
			st.Health = []ipc.Health{{Code: ipc.HealthNoNetwork, Severity: ipc.SeverityWarning}}
		}, "home"),
		"removed": view(func(st *ipc.Status) { st.Networks[0].Self.Role = ipc.RoleRemoved }, "home"),
		"dns": view(func(st *ipc.Status) {
			st.Health = []ipc.Health{{Code: ipc.HealthDNSOverridden, Severity: ipc.SeverityWarning, Args: map[string]string{"by": "NetworkManager"}}}
		}, "home"),
		"oddnames": view(func(st *ipc.Status) { st.Networks[0].Alias = "<b>\u202ehome\x07😀</b>" }, "home"),
		"joining": view(func(st *ipc.Status) {
			st.Joining = []ipc.Joining{{Network: "home", Sponsor: "nas", Stage: ipc.JoinAsking}}
		}),
		"exit":    view(exitNodes("nas", ipc.ExitOn, 3), "home"),
		"blocked": view(exitNodes("nas", ipc.ExitBlocked, 3), "home"),
		"exits":   view(exitNodes("", ipc.ExitOff, 12), "home", "work"),
		"waiting": view(exitNodes("exit-01", ipc.ExitConnecting, 12), "home"),
		"everything": view(func(st *ipc.Status) {
			exitNodes("nas", ipc.ExitBlocked, 12)(st)
			st.Health = append(st.Health, ipc.Health{Code: ipc.HealthClock, Severity: ipc.SeverityWarning, Args: map[string]string{"offset": "9m"}})
		}, many...),
		"connecting": view(func(st *ipc.Status) { st.State = ipc.StateStarting }, "home"),
	}
	for name, v := range cases {
		t.Run(name, func(t *testing.T) {
			l := LookOf(text.English(), v, t0)
			got := "icon: " + l.State + "\n" + draw(l.Rows, "")
			file := filepath.Join("testdata", name+".golden")
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
			checkBounds(t, l.Rows)
		})
	}
}

// checkBounds holds menus to 12 rows, two levels and no doubled separators.
func checkBounds(t *testing.T, rows []Row) {
	t.Helper()
	n := 0
	for i, r := range rows {
		if r.Separator {
			if i == 0 || i == len(rows)-1 || rows[i-1].Separator {
				t.Errorf("row %d: a separator with nothing to separate", i)
			}
			continue
		}
		n++
		if r.Label == "" {
			t.Errorf("row %d: no label", i)
		}
		if r.Command.Verb == Nothing && len(r.Sub) == 0 && !r.Disabled {
			t.Errorf("row %q does nothing", r.Label)
		}
		for _, s := range r.Sub {
			if len(s.Sub) > 0 {
				t.Errorf("row %q: a third level", s.Label)
			}
		}
		if len(r.Sub) > MaxRows {
			t.Errorf("row %q: %d rows below it", r.Label, len(r.Sub))
		}
	}
	if n > MaxRows {
		t.Errorf("%d rows", n)
	}
}

func TestSameShape(t *testing.T) {
	a := Menu(text.English(), view(nil, "home"), t0)
	words := Menu(text.English(), view(func(st *ipc.Status) { st.Networks[0].Peers[0].Online = false }, "home"), t0)
	more := Menu(text.English(), view(nil, "home", "work"), t0)
	if !sameShape(a, words) || cmp.Equal(a, words) {
		t.Error("a change of words alone builds the menu anew")
	}
	if sameShape(a, more) {
		t.Error("another row goes unseen")
	}
}

// TestRowsKeepTheirMeaning: a row of a menu that is open does what it did when it
// was drawn, or it is another row.
func TestRowsKeepTheirMeaning(t *testing.T) {
	rows := func(change func(*ipc.Status)) []Row { return Menu(text.English(), view(change, "home"), t0) }
	latency := func(ms ...float64) func(*ipc.Status) {
		return func(st *ipc.Status) {
			exitNodes("", "", 4)(st)
			for i := range st.Networks[0].Peers {
				st.Networks[0].Peers[i].LatencyMS = &ms[i%len(ms)]
			}
		}
	}
	for name, c := range map[string]struct {
		a, b []Row
		same bool
	}{
		"latencies change": {rows(latency(1, 2, 3)), rows(latency(9, 5, 1)), true},
		"a word changes":   {rows(nil), rows(func(st *ipc.Status) { st.Networks[0].Peers[1].Online = true }), true},
		"disconnected":     {rows(nil), rows(func(st *ipc.Status) { st.State = ipc.StateOff }), false},
		"another network":  {rows(nil), rows(func(st *ipc.Status) { st.Networks[0].ID = "id-work" }), false},
		"another exit node": {
			rows(func(st *ipc.Status) { st.Networks[0].Peers[0].Exit = true }),
			rows(func(st *ipc.Status) { st.Networks[0].Peers[1].Exit, st.Networks[0].Peers[1].Online = true, true }), false,
		},
		"another problem": {
			rows(func(st *ipc.Status) {
				st.Health = []ipc.Health{{Code: ipc.HealthPhrase, Severity: ipc.SeverityWarning}}
			}),
			rows(func(st *ipc.Status) {
				st.Health = []ipc.Health{{Code: ipc.HealthExpiring, Severity: ipc.SeverityWarning}}
			}), false,
		},
	} {
		if got := sameShape(c.a, c.b); got != c.same {
			t.Errorf("%s: the menu stays: %v", name, got)
		}
	}
}
