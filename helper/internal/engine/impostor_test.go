package engine

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kith.internal/helper/internal/relay"
)

// TestImpostors: another key is remembered until the relay itself answers, or
// nobody has asked for long; what else fails says nothing of keys.
func TestImpostors(t *testing.T) {
	pin, now := [32]byte{1}, time.Unix(1e9, 0)
	other := fmt.Errorf("dial: %w", &relay.DialError{Ways: []*relay.Error{
		{Step: relay.StepTCP, Err: errors.New("refused")},
		{Step: relay.StepKey, Err: &relay.KeyError{Issuer: "Hotel"}},
	}})
	const named = `another key than the relay's was presented, by "Hotel"`
	tests := []struct {
		name  string
		err   error // after other
		after time.Duration
		want  string
	}{
		{"again", other, 0, named},
		{"itself", nil, 0, ""},
		{"itself, which does not know us", fmt.Errorf("upgrade: %w", relay.ErrNotFound), 0, ""},
		{"unreachable", errors.New("refused"), 0, named},
		{"long ago", errors.New("refused"), impostorLives, ""},
	}
	for _, tt := range tests {
		var s impostors
		if got := s.at(pin, now); got != "" {
			t.Errorf("%s: at first %q", tt.name, got)
		}
		s.note(pin, other, now)
		s.note(pin, tt.err, now)
		if got := s.at(pin, now.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if got := s.at([32]byte{2}, now); got != "" {
			t.Errorf("%s: another relay's %q", tt.name, got)
		}
	}
}
