//go:build gui

package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kith.internal/app/internal/states"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

var rewrite = flag.Bool("update", false, "write the golden files")

// TestStates brings every state about in which a person is told something, by a
// fake helper that speaks the real ipc to the real tray and the real window, and
// holds what both show to golden files. TestRealStates and the other tests with
// real helpers reach those that can be had on one machine.
func TestStates(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		t.Run(lang, func(t *testing.T) { walkStates(t, lang) })
	}
}

func walkStates(t *testing.T, lang string) {
	b := newBed(t, lang == "de")
	b.env = append(b.env, "LANG="+lang+"_DE.UTF-8", "TZ=UTC")
	b.host.appear(t)
	words := text.For(lang)
	file := filepath.Join("testdata", "states-"+lang+".golden")
	want := golden(t, file)
	var out strings.Builder
	h := newHelper()
	h.start(t, b.sock)
	b.launch()
	b.see(words.S("page.devices"))
	for _, r := range states.Rows(time.Now().UTC()) {
		end := b.bring(h, r)
		if r.State == states.Relayed {
			b.see("office")
			b.click("office")
		}
		got := func() string { return b.said(words, r) }
		if *rewrite {
			fmt.Fprintf(&out, "== %s\n%s", r.Name, b.settled(got))
		} else {
			var last string
			for late := time.Now().Add(patience); time.Now().Before(late); {
				if last = got(); last == want[r.Name] {
					break
				}
				<-time.After(100 * time.Millisecond)
			}
			if d := gocmp.Diff(want[r.Name], last); d != "" {
				t.Errorf("%s (-want +got):\n%s", r.Name, d)
			}
		}
		b.shot(strings.NewReplacer(" ", "-", ",", "").Replace(r.Name))
		end()
	}
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// golden are the sections of a file by their names.
func golden(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil && !*rewrite {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, s := range strings.Split(string(raw), "== ") {
		if name, body, ok := strings.Cut(s, "\n"); ok {
			all[name] = body
		}
	}
	return all
}

// bring makes a row's state so; end makes way for the next.
func (b *bed) bring(h *helper, r states.Row) (end func()) {
	b.t.Helper()
	h.stop()
	switch {
	case r.Status != nil:
		h.mu.Lock()
		h.may = r.Status.May
		h.mu.Unlock()
		h.change(func(st *ipc.Status) { *st = *r.Status })
		h.start(b.t, b.sock)
	case r.State == states.VersionsDiffer:
		return impostor(b.t, b.sock, otherVersion)
	case r.State == states.Refused:
		return impostor(b.t, b.sock, refusing)
	}
	return func() {}
}

// otherVersion answers as a helper of a later protocol.
func otherVersion(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(ipc.ProtocolHeader, "99")
	if strings.HasSuffix(r.URL.Path, "/version") {
		io.WriteString(w, `{"protocol":99,"version":"9.9"}`)
		return
	}
	w.WriteHeader(http.StatusConflict)
	io.WriteString(w, `{"error":{"code":"version","msg":"no"}}`)
}

// refusing answers as a helper to an account that may not even look.
func refusing(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusForbidden)
	io.WriteString(w, `{"error":{"code":"permission","msg":"no"}}`)
}

// said is what tray and window say of a row's state.
func (b *bed) said(words *text.Catalogue, r states.Row) string {
	var out strings.Builder
	for _, l := range b.host.labels() {
		fmt.Fprintf(&out, "tray: %s\n", l)
	}
	list := b.rects()
	i := slices.IndexFunc(list, func(r rect) bool { return r.Text == words.S("page.devices") })
	if i < 0 {
		return out.String()
	}
	top := list[i].Y
	slices.SortStableFunc(list, func(a, b rect) int { return cmp.Or(cmp.Compare(a.Y+a.H/2, b.Y+b.H/2), cmp.Compare(a.X, b.X)) })
	for _, t := range list {
		if t.Text != "" && (t.Y < top || r.State == states.Relayed && (strings.Contains(t.Text, "vps") || t.Text == words.S("action.why"))) {
			fmt.Fprintf(&out, "window: %s\n", t.Text)
		}
	}
	if !r.At.IsZero() {
		return strings.ReplaceAll(out.String(), words.When(r.At, time.Now().UTC()), "<when>")
	}
	return out.String()
}

// settled is what got gives once it has been the same for longer than the app
// waits before it looks again for a helper.
func (b *bed) settled(got func() string) string {
	last, since := got(), time.Now()
	for time.Since(since) < 12*time.Second {
		<-time.After(300 * time.Millisecond)
		if now := got(); now != last {
			last, since = now, time.Now()
		}
	}
	return last
}
