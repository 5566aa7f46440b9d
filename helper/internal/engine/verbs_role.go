package engine

import (
	"context"
	"slices"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// tagsMost is how many tags a device may have: their record has to fit into 4 KiB.
const tagsMost = 32

var rosterRoles = map[ipc.Role]roster.Role{
	ipc.RoleOwner: roster.RoleOwner, ipc.RoleAdmin: roster.RoleAdmin, ipc.RoleSponsor: roster.RoleSponsor, ipc.RolePlain: roster.RolePlain,
}

// DeviceRole gives a device another role, by this device's authority or by the
// root phrase.
func (e *Engine) DeviceRole(ctx context.Context, _ server.Caller, req ipc.RoleRequest) (ipc.RoleAnswer, error) {
	role, ok := rosterRoles[req.Role]
	switch {
	case !ok:
		return ipc.RoleAnswer{}, ipc.Errorf(ipc.CodeUsage, "a role is owner, admin, sponsor or plain, not %.20q", req.Role)
	case req.Device == "":
		return ipc.RoleAnswer{}, ipc.Errorf(ipc.CodeUsage, "say which device is to have the role")
	}
	return call(ctx, e, func() (ipc.RoleAnswer, error) {
		n, err := e.upNetwork(req.Network)
		if err != nil {
			return ipc.RoleAnswer{}, err
		}
		k, err := n.deviceNamed(req.Device)
		if err != nil {
			return ipc.RoleAnswer{}, err
		}
		by := n.device
		if req.Phrase != "" {
			if by, err = n.rootKey(req.Phrase); err != nil {
				return ipc.RoleAnswer{}, err
			}
		}
		return n.setRole(by, k, role)
	})
}

// rootKey is the root's key, if these words are its phrase.
func (n *network) rootKey(phrase string) (key.Private, error) {
	root, err := roster.ParsePhrase(phrase)
	if err != nil {
		return key.Private{}, writeError(err)
	}
	if root.Public() != n.book.View().Root {
		return key.Private{}, ipc.Errorf(ipc.CodePhrase, "these words are not the root phrase of %s", n.name())
	}
	return root, nil
}

func (n *network) setRole(by key.Private, k key.Public, role roster.Role) (a ipc.RoleAnswer, err error) {
	v := n.book.View()
	m := v.Member(k)
	if m == nil {
		return a, ipc.Errorf(ipc.CodeNotFound, "the device is no member of %s any more", n.alias)
	}
	if err := mayChangeRole(v, by.Public(), m, role); err != nil {
		return a, err
	}
	if err := n.mayBecome(k, func(d *filter.Device) { d.Admin = role >= roster.RoleAdmin }); err != nil {
		return a, err
	}
	err = n.writeAs(by, func(au *roster.Author) error {
		r, err := au.SetRole(k, role)
		if err == nil {
			a.Dropped, a.Demoted = namesOf(r.Drops), namesOf(r.Demoted)
		}
		return err
	})
	if err != nil {
		return a, err
	}
	n.refresh()
	a.Schema, a.Device, a.Role = ipc.Schema, m.Name, ipc.Role(n.book.View().Role(k).String())
	return a, nil
}

// mayChangeRole says why a role cannot be changed, in words that the roster's own
// refusal has not.
func mayChangeRole(v *roster.View, by key.Public, m *roster.Member, role roster.Role) error {
	owners := 0
	for _, o := range v.Members {
		if o.Role == roster.RoleOwner {
			owners++
		}
	}
	root, lowers := by == v.Root, role < m.Role
	switch {
	case lowers && m.Role == roster.RoleOwner && owners == 1:
		return ipc.Errorf(ipc.CodeNotAdmin, "%s is the only owner: without one nobody could give roles or remove admins; make another device an owner first", m.Name)
	case role == roster.RoleOwner && m.Role != role && !root:
		return ipc.Errorf(ipc.CodeNotAdmin, "only the root phrase makes an owner: give it with --phrase")
	case lowers && m.Role == roster.RoleOwner && !root:
		return ipc.Errorf(ipc.CodeNotAdmin, "%s is an owner: only the root phrase changes that; give it with --phrase", m.Name)
	case lowers && m.Key == by:
		return ipc.Errorf(ipc.CodeNotAdmin, "a device does not lower its own role: let one above it do that, or leave")
	case lowers && !root && v.Rank(by) >= v.Rank(m.Key):
		return ipc.Errorf(ipc.CodeNotAdmin, "%s is not below %s: only who is above it can lower its role", m.Name, v.NameOf(by))
	case role > m.Role && !root && v.Caps(by)&roster.CapGrant != 0 && v.Rank(by) >= 3:
		return ipc.Errorf(ipc.CodeNotAdmin, "%s was made an admin by an admin, so it cannot make others so: an owner can", v.NameOf(by))
	}
	return nil
}

func namesOf(list []*roster.Member) []string {
	out := []string{}
	for _, m := range list {
		out = append(out, m.Name)
	}
	return out
}

// DeviceTag changes a device's tags.
func (e *Engine) DeviceTag(ctx context.Context, _ server.Caller, req ipc.TagRequest) (ipc.TagAnswer, error) {
	if len(req.Add)+len(req.Remove) == 0 {
		return ipc.TagAnswer{}, ipc.Errorf(ipc.CodeUsage, "say which tags to add or remove")
	}
	for _, t := range slices.Concat(req.Add, req.Remove) {
		if err := roster.ValidLabel(t); err != nil {
			return ipc.TagAnswer{}, ipc.Errorf(ipc.CodeUsage, "the tag %.70q: %w", t, err)
		}
		if slices.Contains(req.Add, t) && slices.Contains(req.Remove, t) {
			return ipc.TagAnswer{}, ipc.Errorf(ipc.CodeUsage, "the tag %s is to be added and removed", t)
		}
	}
	return call(ctx, e, func() (ipc.TagAnswer, error) {
		n, err := e.upNetwork(req.Network)
		if err != nil {
			return ipc.TagAnswer{}, err
		}
		k, err := n.deviceNamed(req.Device)
		if err != nil {
			return ipc.TagAnswer{}, err
		}
		return n.setTags(k, req)
	})
}

func (n *network) setTags(k key.Public, req ipc.TagRequest) (a ipc.TagAnswer, err error) {
	m := n.book.View().Member(k)
	if m == nil {
		return a, ipc.Errorf(ipc.CodeNotFound, "the device is no member of %s any more", n.alias)
	}
	tags := slices.DeleteFunc(slices.Concat(m.Tags, req.Add), func(t string) bool { return slices.Contains(req.Remove, t) })
	slices.Sort(tags)
	tags = slices.Compact(tags)
	if len(tags) > tagsMost {
		return a, ipc.Errorf(ipc.CodeLimit, "%s would have %d tags; %d are the most", m.Name, len(tags), tagsMost)
	}
	if !slices.Equal(tags, m.Tags) {
		if err := n.mayBecome(k, func(d *filter.Device) { d.Tags = tags }); err != nil {
			return a, err
		}
		if err := n.write(func(au *roster.Author) error { _, err := au.SetTags(k, tags); return err }); err != nil {
			return a, err
		}
		n.refresh()
	}
	return ipc.TagAnswer{Schema: ipc.Schema, Device: m.Name, Tags: tags}, nil
}
