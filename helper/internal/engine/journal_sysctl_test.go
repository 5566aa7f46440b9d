package engine

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/osnet/sysctl"
	"kith.internal/helper/internal/store"
)

func TestSettingsJournal(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := (&Engine{cfg: Config{Store: st}}).journalTUN("kith0"); err != nil {
		t.Fatal(err)
	}
	j := settings{st}
	one := sysctl.Entry{Key: "net/ipv4/ip_forward", Old: "0", New: "1"}
	two := sysctl.Entry{Key: "net/ipv6/conf/all/forwarding", Old: "0", New: "1"}
	for _, e := range []sysctl.Entry{one, two} {
		if err := j.Begin(e); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := j.Entries(); err != nil || !cmp.Equal(got, []sysctl.Entry{one, two}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := j.Done(one.Key); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Entries(); err != nil || !cmp.Equal(got, []sysctl.Entry{two}) {
		t.Errorf("after the first is done: %v, %v", got, err)
	}
	if all, err := st.Journal(); err != nil || len(all) != 2 {
		t.Errorf("the interface's entry is gone: %v, %v", all, err)
	}
}
