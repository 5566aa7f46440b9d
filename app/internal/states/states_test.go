package states

import (
	"testing"
	"time"
)

// TestEveryStateHasARow: a state that nothing brings about is not tested.
func TestEveryStateHasARow(t *testing.T) {
	has, names := map[State]bool{}, map[string]bool{}
	for _, r := range Rows(time.Now()) {
		has[r.State] = true
		if names[r.Name] {
			t.Errorf("two rows are called %q", r.Name)
		}
		names[r.Name] = true
	}
	for _, s := range All() {
		if !has[s] {
			t.Errorf("state %d has no row", s)
		}
	}
}
