package roster

import (
	"slices"
	"strings"
)

// Caps are what a grant lets its subject do.
type Caps uint64

// Capabilities.
const (
	CapGrant   Caps = 1 << iota // grant what it has
	CapAdmit                    // admit, invite, and name, tag and address devices
	CapSponsor                  // admit by an invite that names it, or any
	CapRemove                   // revoke
	CapNet                      // approve routes, exits and relays
	CapShare                    // share with friends

	allCaps = CapShare<<1 - 1
)

// AllTags in a grant stands for every tag.
const AllTags = "*"

// Role sums up what a key's grants let it do.
type Role uint8

const (
	RolePlain   Role = iota
	RoleSponsor      // admits by invites alone
	RoleAdmin        // changes the roster
	RoleOwner        // all, just below the root
)

func (r Role) String() string { return [...]string{"plain", "sponsor", "admin", "owner"}[r&3] }

// OwnerGrant gives all; the root writes it.
func OwnerGrant() Grant {
	return Grant{Caps: allCaps, Tags: []string{AllTags}, Prefixes: []string{""}}
}

// AdminGrant lets a device admit, remove, grant and set.
func AdminGrant() Grant {
	return Grant{
		Caps:     allCaps,
		Tags:     []string{AllTags},
		Prefixes: []string{"dev/", "dns/", KeyEpoch, "net/", KeyPolicy, "share/"},
	}
}

// SponsorGrant lets an always-on device admit by invites.
func SponsorGrant() Grant { return Grant{Caps: CapSponsor, Tags: []string{AllTags}} }

func (g *Grant) role(depth uint8) Role {
	switch {
	case depth <= 1 && g.Caps == allCaps && slices.Contains(g.Prefixes, ""):
		return RoleOwner
	case g.Caps&^CapSponsor != 0 || len(g.Prefixes) > 0:
		return RoleAdmin
	case g.Caps != 0:
		return RoleSponsor
	}
	return RolePlain
}

// within tells whether all that g gives is in own.
func (g *Grant) within(own *Grant) bool {
	if g.Caps&^own.Caps != 0 || !tagsWithin(g.Tags, own.Tags) {
		return false
	}
	for _, p := range g.Prefixes {
		if !own.maySet(p) {
			return false
		}
	}
	return true
}

// maySet tells whether one of the grant's prefixes covers a set key or prefix.
func (g *Grant) maySet(k string) bool {
	return slices.ContainsFunc(g.Prefixes, func(p string) bool { return strings.HasPrefix(k, p) })
}

func tagsWithin(tags, own []string) bool {
	if slices.Contains(own, AllTags) {
		return true
	}
	for _, t := range tags {
		if !slices.Contains(own, t) {
			return false
		}
	}
	return true
}
