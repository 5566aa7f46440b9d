package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

// TestRevokeSinceAsks: a person sees what would change, and what it says yes to
// is what is done.
func TestRevokeSinceAsks(t *testing.T) {
	at := time.Date(2026, 2, 27, 10, 0, 0, 0, time.UTC)
	revoke := ipc.DeviceRequest{Device: "nas", Since: &at}
	rec := ipc.RecoverRequest{Phrase: phrase, Cut: []string{"nas"}, Since: &at}
	for _, c := range []struct {
		line, answer string
		asked        func() []any
	}{
		{"device revoke nas", "y\n", func() []any {
			dry, do := revoke, revoke
			dry.DryRun, do.Plan = true, "7b"
			return []any{dry, do}
		}},
		{"device revoke nas", "n\n", func() []any { dry := revoke; dry.DryRun = true; return []any{dry} }},
		{"recover --cut nas", "y\n", func() []any {
			dry, do := rec, rec
			dry.DryRun, do.Plan = true, "7b"
			return []any{dry, do}
		}},
		{"recover --cut nas", "\n", func() []any { dry := rec; dry.DryRun = true; return []any{dry} }},
	} {
		f := fake{}
		e := env{
			in: strings.NewReader(c.answer), inTTY: true, errTTY: true,
			secret: func(context.Context) (string, error) { return phrase, nil },
		}
		r := callWith(t, f.serve(t), e, append(strings.Fields(c.line), "--since", "2026-02-27T10:00:00Z")...)
		if yes := c.answer == "y\n"; yes != (r.code == 0) || !strings.Contains(r.err, "lose access: tv") {
			t.Errorf("%s, %q: %+v", c.line, c.answer, r)
		}
		if d := cmp.Diff(c.asked(), f.asked()); d != "" {
			t.Errorf("%s, %q: asked for (-want +got):\n%s", c.line, c.answer, d)
		}
	}
}

func TestSinceReads(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"3h":                        now.Add(-3 * time.Hour),
		"2d":                        now.Add(-48 * time.Hour),
		"1d12h":                     now.Add(-36 * time.Hour),
		"2026-02-28":                time.Date(2026, 2, 28, 0, 0, 0, 0, zone),
		"2026-02-28 14:30":          time.Date(2026, 2, 28, 14, 30, 0, 0, zone),
		"2026-02-28T14:30:05":       time.Date(2026, 2, 28, 14, 30, 5, 0, zone),
		"2026-02-28t14:30:05z":      time.Date(2026, 2, 28, 14, 30, 5, 0, time.UTC),
		"2026-02-28T14:30:05-05:00": time.Date(2026, 2, 28, 19, 30, 5, 0, time.UTC),
		"2026-03-01T12:01":          {},
		"2026-02-30":                {},
		"-3h":                       {},
		"0h":                        {},
		"now":                       {},
	} {
		var s since
		s.UnmarshalText([]byte(text))
		got, err := s.read(now)
		if want.IsZero() != (err != nil) || err == nil && !got.Equal(want) {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
}
