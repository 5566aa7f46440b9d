package osconf

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/dns/plan"
)

// fakeHive is a registry.
type fakeHive struct {
	keys map[string]map[string]any
	fail string // a key that cannot be written
}

func (r *fakeHive) subkeys(key string) ([]string, error) {
	var out []string
	for k := range r.keys {
		if rest, ok := strings.CutPrefix(k, key+`\`); ok {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (r *fakeHive) write(key string, values map[string]any) error {
	if r.fail != "" && strings.HasPrefix(key, r.fail) {
		return errors.New("access is denied")
	}
	r.keys[key[:strings.LastIndexByte(key, '\\')]] = nil
	r.keys[key] = maps.Clone(values)
	return nil
}

func (r *fakeHive) remove(key string) error {
	if sub, _ := r.subkeys(key); len(sub) > 0 {
		return fmt.Errorf("%s has keys", key)
	}
	delete(r.keys, key)
	return nil
}

// names are what our rules below key match, by server list.
func (r *fakeHive) rules(key string) (names []string, n int) {
	sub, _ := r.subkeys(key)
	for _, k := range sub {
		if isNRPTOurs(k) {
			n++
			names = append(names, r.keys[key+`\`+k]["Name"].([]string)...)
		}
	}
	return names, n
}

type fakeWindows struct{ said []string }

func (w *fakeWindows) link(plan.OSConfig) (link, error) { return link{"kith0", 7, nil}, nil }
func (w *fakeWindows) search(l link, d []string) error {
	w.said = append(w.said, fmt.Sprintf("search %d %q", l.index, d))
	return nil
}
func (w *fakeWindows) servers(own link) Base {
	return Base{Search: []string{fmt.Sprintf("not-%d.example", own.index)}}
}
func (w *fakeWindows) flush(policy bool) error {
	w.said = append(w.said, fmt.Sprintf("flush %v", policy))
	return nil
}

type counting struct{ open int }

func (c *counting) Begin(Entry) error { c.open++; return nil }
func (c *counting) Done(Entry) error  { c.open--; return nil }

func newFakeNRPT() (*nrpt, *fakeHive, *fakeWindows, *counting) {
	r, w, j := &fakeHive{keys: map[string]map[string]any{nrptLocal: nil}}, &fakeWindows{}, &counting{}
	cfg := Config{Journal: j}
	cfg.Log = cfg.logger()
	return &nrpt{cfg: cfg, reg: r, win: w}, r, w, j
}

func many(n int) plan.OSConfig {
	c := plan.OSConfig{Nameservers: []netip.Addr{netip.MustParseAddr("100.101.0.1"), netip.MustParseAddr("fd12::1")}, Search: []string{"home.internal"}}
	for i := range n {
		c.Match = append(c.Match, fmt.Sprintf("d%d.example", i))
	}
	return c
}

func TestNRPTRules(t *testing.T) {
	for n, want := range map[int]int{1: 1, 50: 1, 51: 2, 120: 3} {
		rules := nrptRules(many(n))
		total := 0
		for _, r := range rules {
			names := r["Name"].([]string)
			total += len(names)
			if len(names) > nrptNames || names[0][0] != '.' || r["GenericDNSServers"] != "100.101.0.1;fd12::1" {
				t.Errorf("%d: %v", n, r)
			}
		}
		if len(rules) != want || total != n {
			t.Errorf("%d names: %d rules with %d", n, len(rules), total)
		}
	}
	if all := nrptRules(many(0)); len(all) != 1 || !slices.Equal(all[0]["Name"].([]string), []string{"."}) {
		t.Errorf("all names: %v", all)
	}
}

func TestNRPT(t *testing.T) {
	m, r, w, j := newFakeNRPT()
	foreignLocal := nrptLocal + `\{11111111-0000-4000-8000-000000000000}`
	r.keys[foreignLocal] = map[string]any{"Name": []string{".corp.example"}}
	before := maps.Clone(r.keys)
	if err := errors.Join(m.Set(many(60)), m.Set(many(60))); err != nil {
		t.Fatal(err)
	}
	if names, n := r.rules(nrptLocal); n != 2 || len(names) != 60 || j.open != 1 {
		t.Errorf("%d rules with %d names, %d journal entries", n, len(names), j.open)
	}
	if _, n := r.rules(nrptPolicy); n != 0 {
		t.Error("rules in the group policy without need")
	}
	if d := cmp.Diff([]string{"flush false", `search 7 ["home.internal"]`}, w.said); d != "" {
		t.Error(d)
	}
	if err := m.Set(many(3)); err != nil {
		t.Fatal(err)
	}
	if names, n := r.rules(nrptLocal); n != 1 || len(names) != 3 {
		t.Errorf("fewer: %d rules with %d names", n, len(names))
	}
	if base := m.Base(); base.Search[0] != "not-7.example" {
		t.Errorf("base %v", base)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, r.keys); d != "" || j.open != 0 {
		t.Errorf("%d journal entries: %s", j.open, d)
	}
	if err := m.Set(many(1)); err == nil {
		t.Error("set after Close")
	}
}

// TestNRPTGroupPolicy: rules of the group policy turn the local ones off, so
// ours stand beside them, as long as they are there.
func TestNRPTGroupPolicy(t *testing.T) {
	m, r, w, _ := newFakeNRPT()
	foreign := nrptPolicy + `\{22222222-0000-4000-8000-000000000000}`
	r.keys[nrptPolicy] = nil
	r.keys[foreign] = map[string]any{"Name": []string{".corp.example"}}
	if err := m.Set(many(2)); err != nil {
		t.Fatal(err)
	}
	if names, _ := r.rules(nrptPolicy); len(names) != 2 {
		t.Errorf("%v", names)
	}
	if _, why := m.Mode(); !strings.Contains(why, "group policy") {
		t.Error(why)
	}
	delete(r.keys, foreign)
	w.said = nil
	if err := m.Set(many(2)); err != nil {
		t.Fatal(err)
	}
	if _, there := r.keys[nrptPolicy]; there || !slices.Contains(w.said, "flush true") {
		t.Errorf("the group policy's key stays, or it is not read again: %v %q", r.keys, w.said)
	}
	if names, _ := r.rules(nrptLocal); len(names) != 2 {
		t.Errorf("%v", names)
	}
	r.keys[nrptPolicy], r.keys[foreign] = nil, nil
	if err := m.Set(many(2)); err != nil {
		t.Fatal(err)
	}
	if names, _ := r.rules(nrptPolicy); len(names) != 2 {
		t.Errorf("rules that come later: %v", names)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if sub, _ := r.subkeys(nrptPolicy); !slices.Equal(sub, []string{"{22222222-0000-4000-8000-000000000000}"}) {
		t.Errorf("%v", sub)
	}
}

// TestNRPTAfterCrash: a fresh start removes all of ours, whatever their number.
func TestNRPTAfterCrash(t *testing.T) {
	m, r, _, j := newFakeNRPT()
	r.keys[nrptPolicy] = nil
	r.keys[nrptPolicy+`\{33333333-0000-4000-8000-000000000000}`] = nil
	if err := m.Set(many(200)); err != nil {
		t.Fatal(err)
	}
	r.keys[nrptLocal+`\`+strings.ToLower(nrptKey(77))] = map[string]any{}
	fresh := &nrpt{cfg: m.cfg, reg: r, win: m.win}
	if err := fresh.restore(); err != nil || j.open != 0 {
		t.Errorf("%v, %d journal entries", err, j.open)
	}
	for _, key := range []string{nrptLocal, nrptPolicy} {
		if sub, _ := r.subkeys(key); slices.ContainsFunc(sub, isNRPTOurs) {
			t.Errorf("left in %s: %v", key, sub)
		}
	}
}

// TestNRPTFails: half of the rules must not pass for all.
func TestNRPTFails(t *testing.T) {
	m, r, _, j := newFakeNRPT()
	r.fail = nrptLocal + `\` + nrptKey(1)
	if err := m.Set(many(60)); err == nil {
		t.Fatal("no error")
	}
	r.fail = ""
	if err := m.Set(many(60)); err != nil {
		t.Fatal(err)
	}
	if _, n := r.rules(nrptLocal); n != 2 {
		t.Errorf("%d rules", n)
	}
	if err := m.Close(); err != nil || j.open != 0 {
		t.Errorf("%v, %d journal entries", err, j.open)
	}
}
