package health

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/ipc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// args are those that ipc/types.go names beside each code.
var args = map[string][]string{
	ipc.HealthIPv4Conflict: {"with"}, ipc.HealthIPv4Blocked: {"rule"}, ipc.HealthNoIPv6: nil, ipc.HealthNoTUN: nil,
	ipc.HealthPortTaken: {"port", "using"}, ipc.HealthClock: {"offset"}, ipc.HealthDNSOverridden: {"by"},
	ipc.HealthDNSFailed: {"why"}, ipc.HealthPhrase: nil, ipc.HealthDiskFull: {"why"}, ipc.HealthRemoved: {"by"},
	ipc.HealthUpgrade: nil, ipc.HealthFork: {"device"}, ipc.HealthNoNetwork: nil, ipc.HealthLANOnly: nil, ipc.HealthExpiring: {"at"},
	ipc.HealthRelayPort: {"port"}, ipc.HealthRelayHidden: {"addr"}, ipc.HealthRelayLies: {"device"}, ipc.HealthForwardDrops: {"device"},
	ipc.HealthRelayOther: {"device"}, ipc.HealthSTUNLies: {"server"}, ipc.HealthNearbyTries: nil,
	ipc.HealthPolicy: {"by"},
	ipc.HealthPortal: {"by"}, ipc.HealthPortalOpen: {"until"},
	ipc.HealthExitBlocked: {"device", "why"}, ipc.HealthExitLeaks: {"why"}, ipc.HealthRouteConflict: {"route", "with"}, ipc.HealthNotPassing: {"why"},
}

func codes(hs []ipc.Health) (out []string) {
	for _, h := range hs {
		out = append(out, h.Code)
	}
	return out
}

// pass lets time go by in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func want(t *testing.T, r *Registry, cs ...string) {
	t.Helper()
	if d := cmp.Diff(cs, codes(r.List())); d != "" {
		t.Error(d)
	}
}

func TestTexts(t *testing.T) {
	if len(kinds) != len(args) {
		t.Errorf("%d codes have words, %d are tested", len(kinds), len(args))
	}
	orders := map[int]string{}
	for code, names := range args {
		synctest.Test(t, func(t *testing.T) {
			r := New(nil)
			defer r.Close()
			w := Warning{Code: code, Network: "home", Args: map[string]string{}}
			for _, n := range names {
				w.Args[n] = "VALUE-" + n
			}
			r.Set(w)
			pass(transient)
			got := r.List()
			if len(got) != 1 {
				t.Fatalf("%s: %v", code, got)
			}
			text := got[0].Text
			for _, n := range names {
				if !strings.Contains(text, "VALUE-"+n) {
					t.Errorf("%s: %q does not say %s", code, text, n)
				}
			}
			if strings.ContainsAny(text, "{}[]\n") || !strings.HasSuffix(text, ".") || strings.Contains(text, ". ") || len(text) > 200 {
				t.Errorf("%s: %q is not one short sentence", code, text)
			}
			if rank(got[0].Severity) < 0 {
				t.Errorf("%s: severity %q", code, got[0].Severity)
			}
		})
		if other := orders[kinds[code].order]; other != "" {
			t.Errorf("%s and %s have one order", code, other)
		}
		orders[kinds[code].order] = code
		for _, p := range kinds[code].parents {
			if _, ok := kinds[p]; !ok {
				t.Errorf("%s: no parent %s", code, p)
			}
		}
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		r := New(func() { changes++ })
		defer r.Close()
		r.Set(Warning{Code: ipc.HealthNoNetwork})
		pass(4 * time.Second)
		r.Clear(ipc.HealthNoNetwork, "")
		pass(time.Minute)
		if changes != 0 {
			t.Fatalf("a transient was reported %d times", changes)
		}
		r.Set(Warning{Code: ipc.HealthNoNetwork})
		pass(4 * time.Second)
		r.Set(Warning{Code: ipc.HealthNoNetwork}) // does not start the delay anew
		want(t, r)
		pass(time.Second)
		want(t, r, ipc.HealthNoNetwork)
		r.Set(Warning{Code: ipc.HealthNoNetwork})
		r.Clear(ipc.HealthNoNetwork, "")
		r.Clear(ipc.HealthNoNetwork, "")
		want(t, r)
		if changes != 2 {
			t.Errorf("%d changes reported, want 2", changes)
		}
	})
}

func TestParents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(nil)
		defer r.Close()
		r.Set(Warning{Code: ipc.HealthDNSFailed, Network: "home", Args: map[string]string{"why": "x"}})
		r.Set(Warning{Code: ipc.HealthDNSFailed, Network: "work", Args: map[string]string{"why": "x"}})
		pass(transient)
		want(t, r, ipc.HealthDNSFailed, ipc.HealthDNSFailed)
		r.Set(Warning{Code: ipc.HealthRemoved, Network: "home", Args: map[string]string{"by": "nas"}})
		want(t, r, ipc.HealthRemoved, ipc.HealthDNSFailed)
		r.Set(Warning{Code: ipc.HealthNoNetwork}) // the machine's hides every network's
		want(t, r, ipc.HealthRemoved)
		pass(transient)
		want(t, r, ipc.HealthRemoved, ipc.HealthNoNetwork)
		r.Clear(ipc.HealthNoNetwork, "")
		r.Clear(ipc.HealthRemoved, "home")
		want(t, r, ipc.HealthDNSFailed, ipc.HealthDNSFailed)
		r.ClearNetwork("work")
		if got := r.List(); len(got) != 1 || got[0].Network != "home" {
			t.Errorf("%v", got)
		}
	})
}

func TestLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(nil)
		defer r.Close()
		fork := Warning{Code: ipc.HealthFork, Network: "home", Args: map[string]string{"device": "nas"}, Lasts: time.Minute}
		r.Set(fork)
		pass(50 * time.Second)
		r.Set(fork)
		pass(50 * time.Second)
		want(t, r, ipc.HealthFork)
		pass(10 * time.Second)
		want(t, r)
		fork.Lasts = 0
		r.Set(fork)
		pass(time.Hour)
		want(t, r, ipc.HealthFork)
	})
}

func TestListOrderAndArgs(t *testing.T) {
	r := New(nil)
	defer r.Close()
	if got := r.List(); got == nil || len(got) != 0 {
		t.Errorf("empty list: %#v", got)
	}
	given := map[string]string{"at": "Tuesday\n14:00"}
	r.Set(Warning{Code: ipc.HealthExpiring, Network: "home", Args: given, Severity: ipc.SeverityInfo})
	r.Set(Warning{Code: ipc.HealthPhrase, Network: "work"})
	r.Set(Warning{Code: ipc.HealthPhrase, Network: "home"})
	r.Set(Warning{Code: ipc.HealthUpgrade, Network: "home"})
	r.Set(Warning{Code: "not-known"})
	want(t, r, ipc.HealthUpgrade, ipc.HealthPhrase, ipc.HealthPhrase, "not-known", ipc.HealthExpiring)
	got := r.List()
	if got[1].Network != "home" || got[2].Network != "work" {
		t.Errorf("networks out of order: %v", got)
	}
	if got[0].Args == nil || got[4].Args["at"] != "Tuesday 14:00" || !strings.Contains(got[4].Text, "Tuesday 14:00") {
		t.Errorf("arguments: %v", got)
	}
	given["at"], got[4].Args["at"] = "x", "x"
	if r.List()[4].Args["at"] != "Tuesday 14:00" {
		t.Error("the list shares a map with its callers")
	}
}

func TestOptionalWords(t *testing.T) {
	r := New(nil)
	defer r.Close()
	r.Set(Warning{Code: ipc.HealthClock, Args: map[string]string{"offset": "9m"}})
	r.Set(Warning{Code: ipc.HealthNoTUN, Network: "home", Args: map[string]string{"why": "no such file"}})
	for code, part := range map[string]string{ipc.HealthClock: "clock is 9m off; ", ipc.HealthNoTUN: "device (no such file), so home passes"} {
		if got := r.Named(code, "other"); len(got) != 1 || !strings.Contains(got[0], part) {
			t.Errorf("%s: %q", code, got)
		}
	}
	r.Set(Warning{Code: ipc.HealthClock, Args: map[string]string{"offset": "9m", "way": "behind"}})
	if got := r.Named(ipc.HealthClock); !strings.Contains(got[0], "9m off (behind); ") {
		t.Errorf("%q", got)
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(func() { t.Error("reported after Close") })
		r.Set(Warning{Code: ipc.HealthNoNetwork, Lasts: time.Hour})
		r.Close()
		r.Set(Warning{Code: ipc.HealthPhrase})
		pass(2 * time.Hour)
		want(t, r)
	})
}
