//go:build unix

package osconf

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/dns/plan"
)

// mac is a root directory and what its programs were told.
type mac struct {
	*counting
	cfg  Config
	said []string
	fail error
}

func newMac(t *testing.T) *mac {
	m := &mac{counting: &counting{}}
	m.cfg = Config{Root: t.TempDir(), Journal: m.counting, Hostname: func() (string, error) { return "mac", nil }}
	m.cfg.Log = m.cfg.logger()
	m.cfg.system.run = func(_ context.Context, in []byte, path string, args ...string) ([]byte, error) {
		m.said = append(m.said, strings.TrimSpace(path+" "+strings.Join(args, " ")+"\n"+string(in)))
		return []byte("no such key\n"), m.fail
	}
	if err := os.MkdirAll(filepath.Join(m.cfg.Root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *mac) files(t *testing.T) map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(filepath.Join(m.cfg.Root, resolverDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(m.cfg.Root, resolverDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

func macConfig(match ...string) plan.OSConfig {
	c := many(0)
	c.Search = []string{"home.internal", "bad name", "x\nremove State:/Network/Global/DNS"}
	c.Match = match
	return c
}

func TestResolverFiles(t *testing.T) {
	h := newMac(t)
	m := newResolverFiles(h.cfg)
	for range 2 {
		if err := m.Set(macConfig("home.internal", "101.100.in-addr.arpa", "../../etc/passwd", "a b")); err != nil {
			t.Fatal(err)
		}
	}
	content := "nameserver 100.101.0.1\nnameserver fd12::1\ntimeout 2\n"
	files := h.files(t)
	if len(files) != 2 || !isOurs([]byte(files["home.internal"])) || !strings.HasSuffix(files["101.100.in-addr.arpa"], content) {
		t.Errorf("%q", files)
	}
	want := []string{
		scutil + " \nd.init\nd.add ServerAddresses * 100.101.0.1 fd12::1\nd.add SearchDomains * home.internal\n" +
			"d.add SupplementalMatchDomains * home.internal\nset " + scutilKey + "\nquit",
		dscacheutil + " -flushcache",
	}
	if d := cmp.Diff(want, h.said); d != "" {
		t.Error(d)
	}
	h.said = nil
	if err := m.Set(macConfig("corp.example")); err != nil {
		t.Fatal(err)
	}
	if files := h.files(t); len(files) != 1 || files["corp.example"] == "" || h.open != 1 {
		t.Errorf("%q, %d journal entries", files, h.open)
	}
	h.said = nil
	if err := m.Close(); err != nil || h.open != 0 {
		t.Fatalf("%v, %d journal entries", err, h.open)
	}
	if d := cmp.Diff([]string{scutil + " \nremove " + scutilKey + "\nquit", dscacheutil + " -flushcache"}, h.said); d != "" {
		t.Error(d)
	}
	if _, err := os.Stat(filepath.Join(h.cfg.Root, resolverDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory stays: %v", err)
	}
}

func TestResolverFilesAllNames(t *testing.T) {
	h := newMac(t)
	m := newResolverFiles(h.cfg)
	if err := m.Set(macConfig()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(h.said[0], "\nd.add SupplementalMatchDomains * \"\" home.internal\n") || len(h.files(t)) != 0 {
		t.Errorf("%q, %q", h.said, h.files(t))
	}
}

// TestResolverFilesOfOthers: they stay, whatever we want and whenever we go.
func TestResolverFilesOfOthers(t *testing.T) {
	h := newMac(t)
	dir := filepath.Join(h.cfg.Root, resolverDir)
	others := map[string]string{"corp.example": "# by hand\nnameserver 192.0.2.1\n", "x.example": ""}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range others {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := newResolverFiles(h.cfg)
	if err := m.Set(macConfig("home.internal", "corp.example")); err == nil || !strings.Contains(err.Error(), "corp.example") {
		t.Errorf("%v", err)
	}
	if files := h.files(t); files["corp.example"] != others["corp.example"] || files["home.internal"] == "" {
		t.Errorf("%q", files)
	}
	// A crash, and the next start.
	if err := newResolverFiles(h.cfg).restore(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(others, h.files(t)); d != "" {
		t.Error(d)
	}
}
