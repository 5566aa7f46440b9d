package desktop

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asks puts a pkexec and an installed polkit action in place of the system's.
func asks(t *testing.T, script string) (saw string) {
	t.Helper()
	dir := t.TempDir()
	saw = filepath.Join(dir, "saw")
	if err := os.WriteFile(filepath.Join(dir, "pkexec"), []byte("#!/bin/sh\necho \"$@\" >"+saw+"\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	b, err := os.ReadFile("../../../installer/linux/internal.kith.allow.policy")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, AllowAction+".policy"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	old := policyDirs
	policyDirs = []string{filepath.Join(dir, "none"), dir}
	t.Cleanup(func() { policyDirs = old })
	return saw
}

func TestAllow(t *testing.T) {
	cases := map[string]struct {
		script string
		want   error
	}{
		"given":       {"exit 0", nil},
		"dismissed":   {"exit 126", ErrDeclined},
		"refused":     {"echo 'Not authorized' >&2; exit 127", ErrRefused},
		"nobody asks": {"echo 'No authentication agent found.' >&2; exit 127", ErrNoAsking},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			saw := asks(t, tc.script)
			if err := Allow(t.Context()); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
			b, err := os.ReadFile(saw)
			if got := strings.TrimSpace(string(b)); err != nil || got != "--disable-internal-agent /usr/bin/kith allow-me" {
				t.Errorf("pkexec was given %q", got)
			}
		})
	}
	t.Run("the helper refuses", func(t *testing.T) {
		asks(t, "echo 'kith: the service does not run' >&2; exit 3")
		if err := Allow(t.Context()); err == nil || !strings.Contains(err.Error(), "does not run") {
			t.Error(err)
		}
	})
	t.Run("not installed", func(t *testing.T) {
		asks(t, "exit 0")
		policyDirs = nil
		if err := Allow(t.Context()); !errors.Is(err, ErrNoAsking) {
			t.Error(err)
		}
	})
	t.Run("no pkexec", func(t *testing.T) {
		asks(t, "exit 0")
		t.Setenv("PATH", t.TempDir())
		if err := Allow(t.Context()); !errors.Is(err, ErrNoAsking) {
			t.Error(err)
		}
	})
}

func TestLocale(t *testing.T) {
	for _, tc := range []struct{ all, messages, lang, language, want string }{
		{"", "", "de_DE.UTF-8", "", "de_DE.UTF-8"},
		{"", "en_GB.UTF-8", "de_DE.UTF-8", "", "en_GB.UTF-8"},
		{"C", "de_DE.UTF-8", "de_DE.UTF-8", "de", "C"},
		{"", "", "en_GB.UTF-8", "de:en", "de:en"},
		{"", "", "", "de", ""},
	} {
		t.Setenv("LC_ALL", tc.all)
		t.Setenv("LC_MESSAGES", tc.messages)
		t.Setenv("LANG", tc.lang)
		t.Setenv("LANGUAGE", tc.language)
		if got := Locale(); got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}
