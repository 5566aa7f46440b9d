package roster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// form checks what a record alone shows, with none of its references.
func (r *Record) form() error {
	if r.Clock > MaxClock {
		return fmt.Errorf("clock %d is past 2^53-1", r.Clock)
	}
	genesis := r.Type == TypeGenesis
	if genesis != r.Network.IsZero() || genesis != r.Prev.IsZero() {
		return errors.New("network and prev are for all but a genesis")
	}
	if r.Author.IsZero() {
		return errors.New("no author")
	}
	size := MaxRecord
	if s, ok := r.Body.(*Setting); r.Type == TypeRevoke || ok && s.Key == KeyPolicy {
		size = MaxLarge
	}
	if len(r.Raw) > size {
		return fmt.Errorf("%d bytes, over %d", len(r.Raw), size)
	}
	switch b := r.Body.(type) {
	case *Genesis:
		return ValidNetworkName(b.Name)
	case *Grant:
		return b.form(r)
	case *Invite:
		return b.form()
	case *Admit:
		return b.form()
	case *Revoke:
		return b.form(r)
	case *Setting:
		_, err := parseSetKey(b.Key)
		return err
	}
	return nil
}

func (g *Grant) form(r *Record) error {
	switch {
	case g.Subject.IsZero():
		return errors.New("no subject")
	case g.Subject == r.Author:
		return errors.New("granted to its own author")
	case g.Caps&^allCaps != 0:
		return fmt.Errorf("unknown capabilities %#x", uint64(g.Caps))
	}
	for _, p := range g.Prefixes {
		if len(p) > maxSetKey || strings.ContainsFunc(p, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return fmt.Errorf("set prefix %.60q", p)
		}
	}
	if !ascending(g.Prefixes) {
		return errors.New("set prefixes are not ascending")
	}
	return formTags(g.Tags, true)
}

func (i *Invite) form() error {
	switch {
	case i.Key.IsZero():
		return errors.New("no key")
	case i.Any == !i.Sponsor.IsZero():
		return errors.New("names neither a sponsor nor any, or both")
	case i.Any && i.Uses != 0:
		return errors.New("a use count without one sponsor")
	case !i.Any && i.Uses == 0:
		return errors.New("no use count")
	case i.Expires == 0 || i.Expires > MaxClock || i.Uses > MaxClock:
		return errors.New("expiry or use count out of range")
	}
	return formTags(i.Tags, false)
}

func (a *Admit) form() error {
	switch {
	case a.Device.IsZero() || a.WG.IsZero() || a.Control.IsZero():
		return errors.New("a key is missing")
	case a.N == 0 || a.N > MaxClock || a.Expires > MaxClock:
		return errors.New("n or expiry out of range")
	case a.IP == 1<<16-1:
		return errors.New("the range's last address")
	case a.Invite.IsZero() != (a.InviteSig == [64]byte{}):
		return errors.New("an invite and its signature go together")
	}
	if err := ValidLabel(a.Name); err != nil {
		return err
	}
	return formTags(a.Tags, false)
}

func (v *Revoke) form(r *Record) error {
	switch {
	case v.Key.IsZero() == v.Record.IsZero():
		return errors.New("needs one target")
	case !slices.IsSortedFunc(v.Keep, compareID) || hasEqual(v.Keep):
		return errors.New("kept IDs are not ascending")
	case len(v.Keep) > 0 && v.Keep[0].IsZero():
		return errors.New("a kept ID is zero")
	}
	return nil
}

func hasEqual(ids []ID) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return true
		}
	}
	return false
}

// formTags wants tags as ascending labels. AllTags stands alone, in grants.
func formTags(tags []string, all bool) error {
	if all && len(tags) == 1 && tags[0] == AllTags {
		return nil
	}
	for _, t := range tags {
		if err := ValidLabel(t); err != nil {
			return fmt.Errorf("tag: %w", err)
		}
	}
	if !ascending(tags) {
		return errors.New("tags are not ascending")
	}
	return nil
}

func ascending(s []string) bool {
	for i := 1; i < len(s); i++ {
		if s[i] <= s[i-1] {
			return false
		}
	}
	return true
}

func compareID(a, b ID) int { return bytes.Compare(a[:], b[:]) }
