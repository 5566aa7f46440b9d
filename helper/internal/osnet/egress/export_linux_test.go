package egress

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
)

// TestWorld is a world for tests outside this package.
type TestWorld struct {
	*world
	h *helper
}

func NewTestWorld(t *testing.T) *TestWorld {
	w := newWorld(t)
	return &TestWorld{w, w.start()}
}

func (w *TestWorld) Own() []Interface { return w.exit().Own }

func (w *TestWorld) Sh(line string) string { return w.sh(w.client, line) }

// Set has the helper do it.
func (w *TestWorld) Set(c Config) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := w.h.in.Write(append(b, '\n')); err != nil {
		return err
	}
	if !w.h.out.Scan() {
		return errors.New("the helper is gone")
	}
	switch got := w.h.out.Text(); {
	case got == "set: <nil>":
		return nil
	case got == fmt.Sprintf("set: %v", c.Validate()):
		return c.Validate()
	default:
		return errors.New(got)
	}
}

// Restart kills the helper; another takes its place.
func (w *TestWorld) Restart() {
	w.h.kill()
	w.h = w.start()
}
