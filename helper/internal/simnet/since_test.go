package simnet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

const (
	honestPolicy = `{"allow": [{"from": ["*"], "to": ["*"]}]}`
	thiefsPolicy = `{"allow": [{"from": ["*"], "to": ["*"], "ports": ["22/tcp"]}]}`
)

func (h *Host) setPolicy(t *testing.T, text string) {
	t.Helper()
	a, err := h.Engine.PolicySet(t.Context(), server.Caller{}, ipc.PolicyRequest{Text: text})
	if err != nil || !a.Set {
		t.Fatalf("%s sets the policy: %v %+v", h.name, err, a)
	}
}

func (h *Host) policy(t *testing.T) string {
	t.Helper()
	a, err := h.Engine.PolicyShow(t.Context(), server.Caller{}, ipc.NetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return a.Text
}

// peers is the names of whom a host knows as members.
func (h *Host) peers() (out []string) {
	for _, p := range h.Network("").Peers {
		out = append(out, p.Name)
	}
	slices.Sort(out)
	return out
}

// robbed is a network of owner a, admin b and its device c. A thief with b's key
// has let in ghost, given it authority, renamed c and set the policy since the
// time that comes with them; e joined later.
func robbed(t *testing.T) (since time.Time, phrase string, a, b, c, e, ghost *Host) {
	t.Helper()
	net := New(t)
	l := net.LAN("lan")
	a, b, c, e, ghost = net.Host("a", l), net.Host("b", l), net.Host("c", l), net.Host("e", l), net.Host("ghost", l)
	for _, h := range []*Host{a, b, c, e, ghost} {
		h.Start()
	}
	join := func(h, by *Host) {
		t.Helper()
		if err := h.Join(by.Invite("", 1)); err != nil {
			t.Fatalf("%s joins by %s: %v", h.name, by.name, err)
		}
	}
	phrase = a.Create("home")
	join(b, a)
	if _, err := setRole(a, "b", ipc.RoleAdmin, ""); err != nil {
		t.Fatal(err)
	}
	b.Until(5*time.Second, "b is an admin", func() bool { return b.Network("").Self.Role == ipc.RoleAdmin })
	join(c, b)
	b.setPolicy(t, honestPolicy)
	agree(t, 10*time.Second, a, b, c)
	time.Sleep(time.Hour)
	since = time.Now()
	time.Sleep(time.Minute)

	b.setPolicy(t, thiefsPolicy)
	join(ghost, b)
	if _, err := setRole(b, "ghost", ipc.RoleSponsor, ""); err != nil {
		t.Fatal(err)
	}
	rename(t, b, "c", "pwned")
	agree(t, 10*time.Second, a, b, c, ghost)
	join(e, a)
	agree(t, 10*time.Second, a, b, c, e, ghost)
	return since, phrase, a, b, c, e, ghost
}

// TestSimRevokeSince: one command undoes what a stolen key did since, at every
// member; who joined later and holds nothing of what was before gets it back, too.
func TestSimRevokeSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since, _, a, b, c, e, ghost := robbed(t)
		revoke := func(req ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
			return a.Engine.DeviceRevoke(t.Context(), server.Caller{}, req)
		}
		a.Restart() // what arrived when is not forgotten
		before := a.digest()
		future := time.Now().Add(time.Hour)
		if _, err := revoke(ipc.DeviceRequest{Device: "b", Since: &future}); ipc.CodeOf(err) != ipc.CodeUsage {
			t.Errorf("a time to come: %v", err)
		}
		dry, err := revoke(ipc.DeviceRequest{Device: "b", Since: &since, DryRun: true})
		if err != nil || dry.Removal == nil {
			t.Fatalf("%+v, %v", dry, err)
		}
		r := dry.Removal
		if len(r.Dropped) != 1 || r.Dropped[0].Name != "ghost" || r.Undone < 4 || r.Early != 0 || r.Held != nil {
			t.Errorf("it would change %+v", r)
		}
		for _, s := range []string{"policy", "dev/pwned/name"} {
			if !slices.Contains(r.Settings, s) {
				t.Errorf("%s does not change: %v", s, r.Settings)
			}
		}
		if _, err := revoke(ipc.DeviceRequest{Device: "b", Since: &since, Plan: "another"}); ipc.CodeOf(err) != ipc.CodeChanged {
			t.Errorf("another plan: %v", err)
		}
		if a.digest() != before {
			t.Fatal("what was not to be done changed the records")
		}
		ans, err := revoke(ipc.DeviceRequest{Device: "b", Since: &since, Plan: r.Plan})
		if err != nil || !cmp.Equal(ans.Removal, r) {
			t.Fatalf("done as planned: %v\n%s", err, cmp.Diff(r, ans.Removal))
		}
		agree(t, 10*time.Second, a, c, e)
		for h, want := range map[*Host][]string{a: {"c", "e"}, c: {"a", "e"}, e: {"a", "c"}} {
			h.Until(10*time.Second, "it is as before the theft", func() bool { return slices.Equal(h.peers(), want) })
			if got := h.policy(t); got != a.policy(t) || got != honestPolicy {
				t.Errorf("the policy at %s is %s", h.name, got)
			}
		}
		b.Until(10*time.Second, "b knows", func() bool { return b.Network("").Self.Role == ipc.RoleRemoved })
		answered(t, c, "e", 5*time.Second)
		answered(t, c, "a", 5*time.Second)
		for _, h := range []*Host{a, c, e} {
			h.Restart()
		}
		time.Sleep(time.Minute)
		for _, h := range []*Host{a, c, e} {
			if _, in := h.Peer("ghost"); in {
				t.Errorf("the thief's device is back at %s", h.name)
			}
		}
		agree(t, 10*time.Second, a, c, e)

		// It was an honest one after all: it comes back with the keys that it has.
		readmit := func(name string) error {
			_, err := a.Engine.DeviceReadmit(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: name})
			return err
		}
		for name, code := range map[string]ipc.Code{"": ipc.CodeUsage, "c": ipc.CodeExists, "b": ipc.CodeNotAdmin, "nobody": ipc.CodeNotFound} {
			if err := readmit(name); ipc.CodeOf(err) != code {
				t.Errorf("%q is readmitted: %v", name, err)
			}
		}
		if err := readmit("ghost"); err != nil {
			t.Fatal(err)
		}
		agree(t, 2*time.Minute, a, c, e, ghost)
		answered(t, ghost, "c", 10*time.Second)
		if role := ghost.Network("").Self.Role; role != ipc.RolePlain {
			t.Errorf("it is %s again", role)
		}
	})
}

// TestSimRevokeInHaste: what a device did can be undone after its removal, too.
func TestSimRevokeInHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since, _, a, _, c, e, _ := robbed(t)
		revoke(t, a, "b")
		agree(t, 10*time.Second, a, c, e)
		if _, in := c.Peer("ghost"); !in {
			t.Fatal("the removal alone has undone what b did")
		}
		if _, err := a.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "b", Since: &since}); err != nil {
			t.Fatal(err)
		}
		agree(t, 10*time.Second, a, c, e)
		for _, h := range []*Host{a, c, e} {
			if _, in := h.Peer("ghost"); in || h.policy(t) != honestPolicy {
				t.Errorf("at %s: ghost %v, policy %s", h.name, in, h.policy(t))
			}
		}
	})
}

// TestSimRecoverSince: with the phrase a plain device undoes what the owner's
// stolen key did.
func TestSimRecoverSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b, c, ghost := net.Host("a", l), net.Host("b", l), net.Host("c", l), net.Host("ghost", l)
		for _, h := range []*Host{a, b, c, ghost} {
			h.Start()
		}
		phrase := a.Create("home")
		for _, h := range []*Host{b, c} {
			if err := h.Join(a.Invite("", 1)); err != nil {
				t.Fatal(err)
			}
		}
		a.setPolicy(t, honestPolicy)
		agree(t, 10*time.Second, a, b, c)
		time.Sleep(time.Hour)
		since := time.Now()
		time.Sleep(time.Minute)
		if err := ghost.Join(a.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		a.setPolicy(t, thiefsPolicy)
		agree(t, 10*time.Second, a, b, c, ghost)
		b.Restart()
		req := ipc.RecoverRequest{Phrase: phrase, Cut: []string{"a"}, Since: &since, DryRun: true}
		dry, err := b.Engine.Recover(t.Context(), server.Caller{}, req)
		if err != nil || dry.Owner || !slices.Equal(dry.Dropped, []string{"ghost"}) {
			t.Fatalf("%+v, %v", dry, err)
		}
		if r := b.Network("").Self.Role; r != ipc.RolePlain {
			t.Fatalf("a dry run made b %s", r)
		}
		req.DryRun, req.Plan = false, dry.Removal.Plan
		if ans, err := b.Engine.Recover(t.Context(), server.Caller{}, req); err != nil || !ans.Owner {
			t.Fatalf("%+v, %v", ans, err)
		}
		agree(t, 10*time.Second, b, c)
		for h, want := range map[*Host][]string{b: {"c"}, c: {"b"}} {
			h.Until(10*time.Second, "it is as before the theft", func() bool { return slices.Equal(h.peers(), want) })
			if got := h.policy(t); got != honestPolicy {
				t.Errorf("the policy at %s is %s", h.name, got)
			}
		}
		for _, bad := range []ipc.RecoverRequest{{Phrase: phrase, Since: &since}, {Phrase: phrase, DryRun: true}} {
			if _, err := b.Engine.Recover(t.Context(), server.Caller{}, bad); ipc.CodeOf(err) != ipc.CodeUsage {
				t.Errorf("nobody to cut: %v", err)
			}
		}
		answered(t, b, "c", 5*time.Second)
	})
}
