package e2e

import (
	"slices"
	"testing"

	"kith.internal/ipc"
)

// TestNetnsRoleAndTag: an owner makes an admin, who invites and tags, and makes a
// plain device of it again; the phrase makes another owner.
func TestNetnsRoleAndTag(t *testing.T) {
	w := newBed(t)
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	phrase := a.create("home")
	b.join(a)
	isA := func(n *node, role ipc.Role) {
		t.Helper()
		until(t, n.name+" is "+string(role), patience, func() bool { return n.network().Self.Role == role })
	}
	b.refuse(b.try("invite"), ipc.ExitPermission)
	b.refuse(b.try("device", "role", "b", "admin"), ipc.ExitPermission, "not permitted")
	a.refuse(a.try("device", "role", "a", "member"), ipc.ExitPermission, "only owner")
	a.refuse(a.try("device", "tag", "b", "server"), ipc.ExitUsage, "+TAG")
	a.kith("device", "role", "b", "admin")
	isA(b, ipc.RoleAdmin)
	c.join(b)
	if got := read[ipc.TagAnswer](b, "device", "tag", "c", "+server", "+media"); !slices.Equal(got.Tags, []string{"media", "server"}) {
		t.Errorf("c has the tags %q", got.Tags)
	}
	b.kith("device", "tag", "c", "-media")
	until(t, "a knows c's tags", patience, func() bool { return slices.Equal(a.peer("c").Tags, []string{"server"}) })
	b.refuse(b.try("device", "role", "a", "admin"), ipc.ExitPermission)
	a.kith("device", "role", "b", "member")
	isA(b, ipc.RolePlain)
	b.refuse(b.try("device", "tag", "c", "+x"), ipc.ExitPermission)
	c.reach("a.home.internal", patience) // whom the former admin let in stays
	if a := c.tryIn("some other words", "device", "role", "c", "owner"); a.code == 0 {
		t.Errorf("without the phrase: %v", a)
	}
	c.kithIn(phrase, "device", "role", "c", "owner")
	isA(c, ipc.RoleOwner)
	c.kithIn(phrase, "device", "role", "a", "admin", "--phrase")
	isA(a, ipc.RoleAdmin)
	agree(t, patience, a, b, c)
}
