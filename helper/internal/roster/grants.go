package roster

import (
	"errors"
	"fmt"
	"slices"

	"kith.internal/helper/internal/key"
)

// GrantsTo is the genesis and the grants by which a key has capabilities now, the
// root's first; nil if it has none such.
func (v *View) GrantsTo(k key.Public, caps Caps) []*Record {
	for _, g := range v.grants[k] {
		if v.grantOf(g).Caps&caps != caps {
			continue
		}
		var out []*Record
		for ; g != 0; g = v.eval.nodes[g].grant {
			out = append(out, v.eval.nodes[g].rec)
		}
		out = append(out, v.eval.nodes[0].rec)
		slices.Reverse(out)
		return out
	}
	return nil
}

// VerifyGrants tells whether a chain of grants, the root's first, gives a key
// capabilities in a network, for who has no roster of it: what has been revoked
// since is not in it, so what rests on it must be short-lived. Errors wrap
// ErrMalformed, ErrSignature or ErrUnacceptable.
func VerifyGrants(network ID, genesis []byte, grants [][]byte, k key.Public, caps Caps) error {
	g, err := Decode(genesis)
	if err != nil {
		return err
	}
	if err := g.Verify(); err != nil {
		return err
	}
	bad := func(why string) error { return fmt.Errorf("%w: %w", ErrUnacceptable, errors.New(why)) }
	switch {
	case g.Type != TypeGenesis || g.ID != network:
		return bad("another network's genesis")
	case len(grants) > maxDepth:
		return bad("too many grants")
	}
	holder, own, clock := g.Author, rootGrant, g.Clock
	for _, raw := range grants {
		r, err := Decode(raw)
		if err != nil {
			return err
		}
		if err := r.Verify(); err != nil {
			return err
		}
		b, ok := r.Body.(*Grant)
		switch {
		case !ok || r.Network != network:
			return bad("a record that is no grant of the network")
		case r.Author != holder || own.Caps&CapGrant == 0 || !b.within(own) || r.Clock <= clock:
			return bad("a grant that its author may not give")
		}
		holder, own, clock = b.Subject, b, r.Clock
	}
	if holder != k || own.Caps&caps != caps {
		return bad("the grants are another's, or give too little")
	}
	return nil
}
