package simnet

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

func setRole(h *Host, device string, role ipc.Role, phrase string) (ipc.RoleAnswer, error) {
	return h.Engine.DeviceRole(h.tb.Context(), server.Caller{}, ipc.RoleRequest{Device: device, Role: role, Phrase: phrase})
}

// TestSimRole: an owner makes admins, who do what admins do until they are none
// any more; the last owner stays; the phrase makes another.
func TestSimRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b, c := net.Host("a", l), net.Host("b", l), net.Host("c", l)
		a.Start()
		b.Start()
		c.Start()
		phrase := a.Create("home")
		for _, h := range []*Host{b, c} {
			if err := h.Join(a.Invite("", 1)); err != nil {
				t.Fatal(err)
			}
		}
		role := func(h *Host, want ipc.Role) {
			t.Helper()
			for _, at := range []*Host{a, b, c} {
				at.Until(5*time.Second, h.name+" is "+string(want), func() bool {
					if at == h {
						return at.Network("").Self.Role == want
					}
					p, _ := at.Peer(h.name)
					return p.Role == want
				})
			}
		}
		role(b, ipc.RolePlain)
		role(c, ipc.RolePlain)
		for _, bad := range []struct {
			by     *Host
			device string
			role   ipc.Role
			phrase string
			code   ipc.Code
			says   string
		}{
			{b, "c", ipc.RoleAdmin, "", ipc.CodeNotAdmin, "not permitted"},
			{b, "b", ipc.RoleAdmin, "", ipc.CodeNotAdmin, "not permitted"},
			{b, "a", ipc.RolePlain, "", ipc.CodeNotAdmin, "only owner"},
			{a, "a", ipc.RolePlain, phrase, ipc.CodeNotAdmin, "only owner"},
			{a, "b", ipc.RoleOwner, "", ipc.CodeNotAdmin, "root phrase"},
			{a, "b", ipc.RoleOwner, "abandon " + phrase, ipc.CodePhrase, ""},
			{a, "b", "king", "", ipc.CodeUsage, "king"},
			{a, "nobody", ipc.RoleAdmin, "", ipc.CodeNotFound, ""},
			{a, "", ipc.RoleAdmin, "", ipc.CodeUsage, ""},
		} {
			if _, err := setRole(bad.by, bad.device, bad.role, bad.phrase); ipc.CodeOf(err) != bad.code || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("%s makes %s %s: %v", bad.by.name, bad.device, bad.role, err)
			}
		}
		if ans, err := setRole(a, "b", ipc.RoleAdmin, ""); err != nil || ans.Role != ipc.RoleAdmin || ans.Device != "b" {
			t.Fatalf("%+v, %v", ans, err)
		}
		role(b, ipc.RoleAdmin)
		d := net.Host("d", l)
		d.Start()
		if err := d.Join(b.Invite("", 1)); err != nil {
			t.Fatalf("by the new admin's invite: %v", err)
		}
		if _, err := setRole(b, "c", ipc.RoleSponsor, ""); err != nil {
			t.Error(err)
		}
		role(c, ipc.RoleSponsor)
		if _, err := setRole(b, "b", ipc.RolePlain, ""); ipc.CodeOf(err) != ipc.CodeNotAdmin || !strings.Contains(err.Error(), "its own role") {
			t.Errorf("an admin resigns: %v", err)
		}
		if ans, err := setRole(a, "b", ipc.RolePlain, ""); err != nil || len(ans.Dropped) > 0 || len(ans.Demoted) > 0 {
			t.Errorf("%+v, %v", ans, err)
		}
		role(b, ipc.RolePlain)
		role(c, ipc.RoleSponsor)
		if _, ok := a.Peer("d"); !ok {
			t.Error("who the former admin admitted is gone")
		}
		if _, err := b.Engine.Invite(t.Context(), server.Caller{}, ipc.InviteRequest{Uses: 1}); ipc.CodeOf(err) != ipc.CodeNotAdmin {
			t.Errorf("a former admin invites: %v", err)
		}
		// By the phrase any member's helper makes owners, and takes them back.
		if _, err := setRole(c, "b", ipc.RoleOwner, phrase); err != nil {
			t.Fatal(err)
		}
		role(b, ipc.RoleOwner)
		if _, err := setRole(b, "a", ipc.RoleAdmin, ""); ipc.CodeOf(err) != ipc.CodeNotAdmin || !strings.Contains(err.Error(), "is an owner") {
			t.Errorf("an owner demotes its equal: %v", err)
		}
		if _, err := setRole(b, "a", ipc.RoleAdmin, phrase); err != nil {
			t.Fatal(err)
		}
		role(a, ipc.RoleAdmin)
		b.Restart()
		role(b, ipc.RoleOwner)
	})
}

func setTags(h *Host, device string, add, remove []string) ([]string, error) {
	a, err := h.Engine.DeviceTag(h.tb.Context(), server.Caller{}, ipc.TagRequest{Device: device, Add: add, Remove: remove})
	return a.Tags, err
}

// TestSimTags: an admin tags devices, and what stands on a tag follows.
func TestSimTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		tags := func(want ...string) {
			t.Helper()
			a.Until(5*time.Second, "b has its tags", func() bool { p, _ := a.Peer("b"); return slices.Equal(p.Tags, want) })
		}
		var many []string
		for i := range 33 {
			many = append(many, "t"+strings.Repeat("x", i+1))
		}
		for _, bad := range []struct {
			by          *Host
			add, remove []string
			code        ipc.Code
		}{
			{b, []string{"server"}, nil, ipc.CodeNotAdmin},
			{a, nil, nil, ipc.CodeUsage},
			{a, []string{"not a tag"}, nil, ipc.CodeUsage},
			{a, nil, []string{"*"}, ipc.CodeUsage},
			{a, []string{"x"}, []string{"x"}, ipc.CodeUsage},
			{a, many, nil, ipc.CodeLimit},
		} {
			if _, err := setTags(bad.by, "b", bad.add, bad.remove); ipc.CodeOf(err) != bad.code {
				t.Errorf("%s: +%v -%v: %v, want %s", bad.by.name, bad.add, bad.remove, err, bad.code)
			}
		}
		if got, err := setTags(a, "b", []string{"server", "media", "server"}, nil); err != nil || !slices.Equal(got, []string{"media", "server"}) {
			t.Fatalf("%v, %v", got, err)
		}
		tags("media", "server")
		// a reaches b at one port whatever its tags, so that no admin is locked out.
		const only = `{"allow": [{"from": ["*"], "to": ["tag:server"]}, {"from": ["a"], "to": ["b"], "ports": ["22/tcp"]}]}`
		if _, err := a.Engine.PolicySet(t.Context(), server.Caller{}, ipc.PolicyRequest{Text: only}); err != nil {
			t.Fatal(err)
		}
		answered(t, a, "b", 5*time.Second)
		if got, err := setTags(a, "b", []string{"media"}, []string{"server", "none"}); err != nil || !slices.Equal(got, []string{"media"}) {
			t.Fatalf("%v, %v", got, err)
		}
		tags("media")
		a.Until(30*time.Second, "b is closed", func() bool { _, _, err := a.Ping("b"); return err != nil })
	})
}

// TestSimRoleLocksOut: no tag and no role is taken by which alone an admin reaches
// another device, as no such policy is set; what opens a way back is.
func TestSimRoleLocksOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t)
		tag := func(device string, add, remove []string) error {
			_, err := a.Engine.DeviceTag(t.Context(), server.Caller{}, ipc.TagRequest{Device: device, Add: add, Remove: remove})
			return err
		}
		policy := func(text string) {
			t.Helper()
			p, err := a.Engine.PolicySet(t.Context(), server.Caller{}, ipc.PolicyRequest{Text: text})
			if err != nil || !p.Set {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		role := func(device string, r ipc.Role) error { _, err := setRole(a, device, r, ""); return err }
		steps := []struct {
			what string
			do   func() error
			want ipc.Code
		}{
			{"tag a", func() error { return tag(a.name, []string{"ops", "old"}, nil) }, ""},
			{"a policy of tags", func() error { policy(`{"allow": [{"from": ["tag:ops"], "to": ["*"]}]}`); return nil }, ""},
			{"take a's other tag", func() error { return tag(a.name, nil, []string{"old"}) }, ""},
			{"take a's tag", func() error { return tag(a.name, []string{"new"}, []string{"ops"}) }, ipc.CodeLocksOut},
			{"tag b, which is no admin", func() error { return tag(b.name, []string{"ops"}, nil) }, ""},
			{"take a's tag again", func() error { return tag(a.name, nil, []string{"ops"}) }, ipc.CodeLocksOut},
			{"make b an admin", func() error { return role(b.name, ipc.RoleAdmin) }, ""},
			{"take a's tag with b there", func() error { return tag(a.name, nil, []string{"ops"}) }, ""},
			{"take b's role", func() error { return role(b.name, ipc.RolePlain) }, ipc.CodeLocksOut},
			{"take b's tag", func() error { return tag(b.name, nil, []string{"ops"}) }, ipc.CodeLocksOut},
			{"no policy", func() error { policy(""); return nil }, ""},
			{"take b's role without one", func() error { return role(b.name, ipc.RolePlain) }, ""},
			{"take b's tag without one", func() error { return tag(b.name, nil, []string{"ops"}) }, ""},
		}
		for _, s := range steps {
			if err := s.do(); ipc.CodeOf(err) != s.want {
				t.Errorf("%s: %v, want %q", s.what, err, s.want)
			}
		}
		if p, ok := a.Peer(b.name); !ok || p.Role != ipc.RolePlain || len(p.Tags) > 0 {
			t.Errorf("in the end b is %+v", p)
		}
	})
}
