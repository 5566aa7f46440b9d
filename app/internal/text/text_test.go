package text

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// constants reads the string constants of package ipc whose names start with
// prefix.
func constants(t *testing.T, prefix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "ipc", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var decls []ast.Decl
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, f.Decls...)
	}
	found := map[string]string{}
	for _, d := range decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			for i, n := range v.Names {
				if !strings.HasPrefix(n.Name, prefix) || i >= len(v.Values) {
					continue
				}
				lit, ok := v.Values[i].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					continue
				}
				code, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				found[n.Name] = code
			}
		}
	}
	if len(found) < 3 {
		t.Fatalf("only %d constants %s*", len(found), prefix)
	}
	return found
}

func TestEveryCodeHasWords(t *testing.T) {
	c := English()
	for name, code := range constants(t, "Code") {
		if !c.Has(ErrorKey(code)) {
			t.Errorf("%s: no message %s", name, ErrorKey(code))
		}
	}
	for name, code := range constants(t, "Health") {
		if !c.Has(HealthKey(code)) {
			t.Errorf("%s: no message %s", name, HealthKey(code))
		}
	}
	for name, code := range constants(t, "Role") {
		if !c.Has(Key("role." + code)) {
			t.Errorf("%s: no message role.%s", name, code)
		}
	}
	for name, code := range constants(t, "Why") {
		if !c.Has(Key("whynot." + code)) {
			t.Errorf("%s: no message whynot.%s", name, code)
		}
	}
	for name, code := range constants(t, "Found") {
		if !c.Has(Key("found." + code)) {
			t.Errorf("%s: no message found.%s", name, code)
		}
	}
	for name, code := range constants(t, "Join") {
		if !c.Has(Key("join." + code)) {
			t.Errorf("%s: no message join.%s", name, code)
		}
	}
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

func TestCatalogueIsSound(t *testing.T) {
	for k, e := range english {
		if e.Text == "" || e.About == "" {
			t.Errorf("%s: text and description must not be empty", k)
		}
		if e.One != "" && !cmp.Equal(placeholder.FindAllString(e.One, -1), placeholder.FindAllString(e.Text, -1)) {
			t.Errorf("%s: singular and plural differ in placeholders", k)
		}
		for _, p := range placeholder.FindAllString(e.Text, -1) {
			if strings.Trim(p, "{}abcdefghijklmnopqrstuvwxyz") != "" {
				t.Errorf("%s: odd placeholder %s", k, p)
			}
		}
	}
}

// keyUse finds text keys in the app's sources.
var keyUse = regexp.MustCompile(`"([a-z]+\.[a-z0-9.-]+)"`)

// TestKeysUsedExist keeps sources and catalogue together: each literal with
// the shape of a key whose group exists must be a key.
func TestKeysUsedExist(t *testing.T) {
	groups := map[string]bool{}
	for k := range english {
		g, _, _ := strings.Cut(string(k), ".")
		groups[g] = true
	}
	used := map[Key]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") ||
			strings.HasPrefix(filepath.Base(p), "english") || strings.HasPrefix(filepath.Base(p), "german") || strings.Contains(p, filepath.Join("app", "ctl")) || strings.HasPrefix(p, filepath.Join(root, "ctl")) {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for _, m := range keyUse.FindAllStringSubmatch(string(b), -1) {
			g, rest, _ := strings.Cut(m[1], ".")
			if !groups[g] || rest == "go" || strings.HasSuffix(m[1], ".") {
				continue
			}
			used[Key(m[1])] = true
			if !English().Has(Key(m[1])) {
				t.Errorf("%s: %q is no key", p, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	made := []string{"error.", "health.", "role.", "weekday.", "page.", "check.", "found.", "whynot.", "section.", "share.state.", "problem.exit.", "share.why.", "refused.", "join.searching", "join.asking", "join.admitted"}
	for k := range english {
		if !used[k] && !hasAnyPrefix(string(k), made) {
			t.Errorf("%s: said nowhere", k)
		}
	}
}

func hasAnyPrefix(s string, list []string) bool {
	for _, p := range list {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func TestSay(t *testing.T) {
	c := English()
	cases := []struct {
		name string
		msg  Msg
		want string
	}{
		{"plain", M("state.off"), "Disconnected"},
		{"filled", M("row.relayed", "via", "vps"), "Relayed via vps"},
		{"one", M("devices.count", "n", "1"), "1 device"},
		{"many", M("devices.count", "n", "2"), "2 devices"},
		{"missing argument", M("row.relayed"), "Relayed via "},
		{"placeholder in an argument", M("row.relayed", "via", "{via}"), "Relayed via {via}"},
		{"unknown code", Msg{Key: "health.new", Fallback: "A new\nthing\x07"}, "A new thing"},
		{"unknown without words", Msg{Key: "health.new"}, "health.new"},
		{"right to left override", M("row.relayed", "via", "a\u202eb"), "Relayed via ab"},
	}
	for _, tc := range cases {
		if got := c.Say(tc.msg); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestFallsBackToBase(t *testing.T) {
	de := &Catalogue{Lang: "de", entries: map[Key]Entry{"state.off": {Text: "Getrennt"}}, base: English()}
	if got := de.S("state.off") + "/" + de.S("state.none"); got != "Getrennt/No networks yet" {
		t.Error(got)
	}
}

func TestFormats(t *testing.T) {
	c := English()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) // a Wednesday
	got := []string{
		c.Latency(0.4), c.Latency(1.2), c.Latency(48.6),
		c.Ago(5 * time.Second), c.Ago(3 * time.Minute), c.Ago(3 * time.Hour), c.Ago(25 * time.Hour), c.Ago(49 * time.Hour),
		c.In(24 * time.Hour), c.In(7 * 24 * time.Hour), c.In(time.Hour), c.In(59 * time.Minute),
		c.Span(-9 * time.Minute), c.Span(time.Second), c.Offset("9m12s"), c.Offset("-3700"), c.Offset("much"),
		c.When(now.Add(2*time.Hour), now), c.When(now.Add(24*time.Hour), now), c.When(now.Add(6*24*time.Hour), now), c.When(now.AddDate(0, 1, 0), now),
	}
	want := []string{
		"under 1 ms", "1 ms", "49 ms",
		"just now", "3 min ago", "3 h ago", "25 h ago", "2 days ago",
		"in 24 hours", "in 7 days", "in 1 hour", "in 59 minutes",
		"9 minutes", "1 second", "9 minutes", "62 minutes", "much",
		"today 14:00", "tomorrow 12:00", "Tuesday 12:00", "2026-04-04 12:00",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"laptop", "a\u202eb", "\x1b[31m", "😀", strings.Repeat("x", 500), "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if n := len([]rune(got)); n > 200 {
			t.Fatalf("%d characters", n)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q holds %U", got, r)
			}
		}
	})
}

// TestLanguagesAreComplete holds each translation to the keys and placeholders
// of English.
func TestLanguagesAreComplete(t *testing.T) {
	for lang, entries := range languages {
		for k, e := range english {
			tr, ok := entries[k]
			switch {
			case !ok || tr.Text == "":
				t.Errorf("%s: no words for %s", lang, k)
			case !cmp.Equal(sorted(placeholder.FindAllString(e.Text, -1)), sorted(placeholder.FindAllString(tr.Text, -1))):
				t.Errorf("%s: %s has other placeholders", lang, k)
			case (e.One == "") != (tr.One == ""):
				t.Errorf("%s: %s has a singular in one language alone", lang, k)
			}
		}
		for k := range entries {
			if _, ok := english[k]; !ok {
				t.Errorf("%s: %s is in no other language", lang, k)
			}
		}
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func TestFor(t *testing.T) {
	for locale, want := range map[string]string{
		"de_DE.UTF-8": "de", "de-AT": "de", "de": "de", "DE": "de", "fr:de:en": "de", "en:de": "en", "C.UTF-8": "en", "": "en", "xx_YY": "en",
		"deutsch": "en", "::": "en", "\x00": "en",
	} {
		if got := For(locale).Lang; got != want {
			t.Errorf("%q: %s, want %s", locale, got, want)
		}
	}
}

func TestPseudo(t *testing.T) {
	c := Pseudo()
	for k, e := range english {
		got := c.entries[k]
		if !cmp.Equal(placeholder.FindAllString(e.Text, -1), placeholder.FindAllString(got.Text, -1)) {
			t.Errorf("%s: %q lost placeholders", k, got.Text)
		}
		if len([]rune(got.Text)) < len([]rune(e.Text))*4/3 {
			t.Errorf("%s: %q is no longer than %q", k, got.Text, e.Text)
		}
	}
}

// TestError says why a request was not done in the helper's words, and one case
// of a code in words of its own.
func TestError(t *testing.T) {
	const why = "0.0.0.0/0 is too large for a subnet"
	for _, tc := range []struct {
		code, msg string
		args      map[string]string
		want      string
	}{
		{"usage", why, nil, "That does not work: 0.0.0.0/0 is too large for a subnet."},
		{"usage", why, map[string]string{"case": "uses"}, "This device uses an exit node itself. Turn that off on Exit nodes first."},
		{"usage", why, map[string]string{"case": "of a newer helper"}, "That does not work: 0.0.0.0/0 is too large for a subnet."},
		{"not-found", why, map[string]string{"case": "user", "user": "bob"}, "This computer knows no user bob. Is the login name written right?"},
		{"of a newer helper", why, nil, why},
	} {
		if got := English().Error(tc.code, tc.msg, tc.args); got != tc.want {
			t.Errorf("%s %v: %q", tc.code, tc.args, got)
		}
	}
}
