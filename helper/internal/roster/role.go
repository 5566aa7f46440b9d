package roster

import (
	"fmt"
	"time"

	"kith.internal/helper/internal/key"
)

// SetRole gives a member another role: what it has too much is cut by rule 18, what
// it lacks is granted. Devices that would drop with its authority are admitted
// anew. Only the root's author makes owners, and changes their role. What it has
// already is no change.
func (a *Author) SetRole(device key.Public, role Role) (*Removal, error) {
	r, err := a.plan([]key.Public{device}, time.Time{}, func(a *Author) ([]*Record, error) { return a.setRole(device, role) })
	if err != nil {
		return nil, err
	}
	return r, a.Apply(r)
}

func (a *Author) setRole(device key.Public, role Role) (recs []*Record, err error) {
	v, m, err := a.member(device)
	if err != nil {
		return nil, err
	}
	if role == RoleOwner && m.Role != RoleOwner && a.pub != v.Root {
		return nil, fmt.Errorf("make %s an owner: %w: the root key alone does", m.Name, ErrNotPermitted)
	}
	if m.Role > role {
		if recs, err = a.remove(device, RemoveOptions{GrantsOnly: true, Readmit: true}); err != nil {
			return nil, err
		}
	}
	if role != RolePlain && m.Role != role {
		r, err := a.Grant(device, [...]Grant{RoleSponsor: SponsorGrant(), RoleAdmin: AdminGrant(), RoleOwner: OwnerGrant()}[role])
		if err != nil {
			return nil, err
		}
		recs = append(recs, r)
	}
	if now := a.set.View().Role(device); now != role {
		return nil, fmt.Errorf("%s: %w: it is still %v by another's grant", m.Name, ErrNotPermitted, now)
	}
	return recs, nil
}
