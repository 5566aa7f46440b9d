package engine

import (
	"testing"
	"time"

	"kith.internal/helper/internal/store"
)

// TestHeardEpochs: a discovery secret is heard for thirty days from its
// replacement, however long it was in use.
func TestHeardEpochs(t *testing.T) {
	now := time.Now()
	days := func(n int) store.Epoch { return store.Epoch{At: now.AddDate(0, 0, -n)} }
	for _, c := range []struct {
		name string
		all  []store.Epoch
		want int
	}{
		{"none", nil, 0},
		{"one in use for years", []store.Epoch{days(1000)}, 1},
		{"replaced today after years", []store.Epoch{days(1000), days(0)}, 2},
		{"replaced long ago", []store.Epoch{days(1000), days(40)}, 1},
		{"several", []store.Epoch{days(1000), days(50), days(40), days(20), days(10)}, 3},
	} {
		if got := heardEpochs(c.all, now); len(got) != c.want {
			t.Errorf("%s: %d are heard, want %d", c.name, len(got), c.want)
		}
	}
}
