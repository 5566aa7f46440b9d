package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/dns/osconf"
	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/osnet/sysctl"
	"kith.internal/helper/internal/store"
)

// wreck is a host after a crash.
type wreck struct {
	Host
	tunErr  error
	removed []string
	dns     int
	kept    []bool
}

func (w *wreck) RemoveTUN(name string) error { w.removed = append(w.removed, name); return w.tunErr }
func (w *wreck) RestoreDNS(j osconf.Journal) error {
	w.dns++
	return j.Done(osconf.Entry{Kind: "resolv.conf", Path: "/etc/resolv.conf"})
}
func (w *wreck) RestoreNet(_ sysctl.Journal, keepGuard bool) error {
	w.kept = append(w.kept, keepGuard)
	return nil
}
func (*wreck) Blocked4(netip.Prefix, string) (string, bool, error) { return "", false, nil }

func TestCleanup(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e := &Engine{cfg: Config{Store: st}}
	for _, name := range []string{"", "kith0", "kith1"} {
		if _, err := e.journalTUN(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := (journal{st}).Begin(osconf.Entry{Kind: "resolv.conf", Path: "/etc/resolv.conf", Backup: "x"}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	stuck := &wreck{tunErr: errors.New("busy")}
	if err := Cleanup(stuck, st, log, false); err == nil {
		t.Error("interfaces could not be removed, and nobody hears of it")
	}
	left := func() (names []string) {
		all, err := st.Journal()
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range all {
			var en entry
			if err := frame.Unmarshal(raw.Data, &en); err != nil {
				t.Fatal(err)
			}
			names = append(names, en.Kind+" "+en.Name)
		}
		return names
	}
	if got := left(); !slices.Equal(got, []string{"tun kith0", "tun kith1"}) {
		t.Errorf("the journal holds %q", got)
	}
	h := &wreck{}
	for range 2 {
		if err := Cleanup(h, st, log, false); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(h.removed, []string{"kith1", "kith0"}) || h.dns != 2 || len(left()) != 0 {
		t.Errorf("removed %q, restored names %d times, left %q", h.removed, h.dns, left())
	}
	// What cannot be read is said, and the rest is done.
	if _, err := st.AppendJournal([]byte{0xff}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.journalTUN("kith7"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(h.kept, []bool{false, false}) {
		t.Errorf("what is kept of the leak guard: %v", h.kept)
	}
	if err := Cleanup(h, st, log, false); err == nil || !slices.Contains(h.removed, "kith7") {
		t.Errorf("a damaged entry: %v, removed %q", err, h.removed)
	}
}

func TestMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMailbox()
		ctx, cancel := context.WithCancel(t.Context())
		var got []int
		for i := range 3 {
			if !m.post(func() {
				got = append(got, i)
				if i == 2 { // posting from within is served, too
					m.post(func() { got = append(got, 3) })
				}
			}) {
				t.Error("not taken")
			}
		}
		ended := make(chan struct{})
		go func() { m.run(ctx); close(ended) }()
		synctest.Wait()
		if !slices.Equal(got, []int{0, 1, 2, 3}) {
			t.Errorf("served %v", got)
		}
		go m.post(func() { time.Sleep(time.Hour) })
		synctest.Wait()
		m.post(func() {}) // does not wait for the one that is slow
		cancel()
		<-ended
		if m.post(func() { t.Error("served after the end") }) {
			t.Error("taken after the end")
		}
	})
}
