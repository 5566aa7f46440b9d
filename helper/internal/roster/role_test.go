package roster

import (
	"errors"
	"testing"
)

// TestSetRole: who may give whom which role, and that what a device did under the
// one before stands.
func TestSetRole(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	erin := h.admin(carol, "erin", AdminGrant())
	dave := h.admin(h.owner, "dave", AdminGrant())
	tv, nas := h.admit(carol, "tv"), h.admit(h.owner, "nas")
	root := NewAuthor(h.set, h.root, h.clock.now)
	role := func(d device) Role { return h.set.View().Member(d.pub()).Role }
	for _, c := range []struct {
		name   string
		by     *Author
		target device
		role   Role
		want   error
	}{
		{"by a plain device", h.as(tv), nas, RoleAdmin, ErrNotPermitted},
		{"an owner's owner", h.as(h.owner), nas, RoleOwner, ErrNotPermitted},
		{"an equal", h.as(carol), dave, RolePlain, ErrNotPermitted},
		{"a senior", h.as(carol), h.owner, RolePlain, ErrNotPermitted},
		{"oneself", h.as(carol), carol, RolePlain, ErrNotPermitted},
		{"below the deepest", h.as(erin), nas, RoleAdmin, ErrNotPermitted},
		{"one who is none", h.as(h.owner), newDevice(), RoleAdmin, ErrUnknown},
		{"an admin's sponsor", h.as(carol), tv, RoleSponsor, nil},
		{"again", h.as(carol), tv, RoleSponsor, nil},
		{"a sponsor's rise", h.as(h.owner), tv, RoleAdmin, nil},
		{"an admin's fall to sponsor", h.as(h.owner), tv, RoleSponsor, nil},
		{"a sponsor's fall", h.as(h.owner), tv, RolePlain, nil},
		{"and rise again", h.as(h.owner), tv, RoleAdmin, nil},
		{"the root's owner", root, nas, RoleOwner, nil},
		{"the root's admin", root, nas, RoleAdmin, nil},
		{"the root's plain one", root, nas, RolePlain, nil},
	} {
		before, known := h.set.Len(), h.set.View().Member(c.target.pub()) != nil
		var was Role
		if known {
			was = role(c.target)
		}
		_, err := c.by.SetRole(c.target.pub(), c.role)
		switch {
		case !errors.Is(err, c.want):
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		case err != nil && h.set.Len() != before:
			t.Errorf("%s: a refused change wrote", c.name)
		case err == nil && role(c.target) != c.role, err != nil && known && role(c.target) != was:
			t.Errorf("%s: now it is %v", c.name, role(c.target))
		case err == nil && was == c.role && h.set.Len() != before:
			t.Errorf("%s: no change wrote", c.name)
		}
	}
	// What an admin has done stands when it falls.
	phone := h.admit(carol, "phone")
	r := check[*Removal](t)(h.as(h.owner).SetRole(carol.pub(), RolePlain))
	if len(r.Drops) != 0 || h.set.View().Member(phone.pub()) == nil || role(carol) != RolePlain || role(erin) != RoleAdmin {
		t.Errorf("%+v, phone %v, carol %v", r, h.set.View().Member(phone.pub()), role(carol))
	}
	h.want("carol", "dave", "erin", "laptop", "nas", "phone", "tv")
	compareOracle(t, h.set)
}
