package roster

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnacceptable says that a record breaks a rule of acceptance. The verdict
// reads the record and its references alone, so it never changes.
var ErrUnacceptable = errors.New("unacceptable record")

// node is a record held, with its references as indices into Set.nodes. They
// are always lower than its own.
type node struct {
	rec    *Record
	at     time.Time // of arrival
	key    *setKey   // of a set record
	keep   []int32   // of a revocation
	prev   int32     // -1 for the genesis
	grant  int32     // that it was written under; the genesis for the root's
	target int32     // of a revocation of a record, else -1
	invite int32     // of an admission by one, else -1
	branch int32     // the depth-2 grant at or above it, else -1
	depth  uint8     // of its author's authority
}

// confers is the depth of a grant's subject; the genesis grants to the root.
func (n *node) confers() uint8 {
	if n.rec.Type == TypeGenesis {
		return 0
	}
	return n.depth + 1
}

var rootGrant = func() *Grant { g := OwnerGrant(); return &g }()

// own is what the grant with an index lets its subject do.
func (s *Set) own(grant int32) *Grant {
	if g, ok := s.nodes[grant].rec.Body.(*Grant); ok {
		return g
	}
	return rootGrant
}

// references lists what must be held before the record: prev, what it keeps,
// its invite, its target.
func (r *Record) references() []ID {
	refs := []ID{r.Prev}
	switch b := r.Body.(type) {
	case *Admit:
		if !b.Invite.IsZero() {
			refs = append(refs, b.Invite)
		}
	case *Revoke:
		if !b.Record.IsZero() {
			refs = append(refs, b.Record)
		}
		refs = append(refs, b.Keep...)
	}
	return refs
}

// missing lists the references that are not held.
func (s *Set) missing(r *Record) (ids []ID) {
	for _, id := range r.references() {
		if _, ok := s.byID[id]; !ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// accept judges a record whose references are all held.
func (s *Set) accept(r *Record, verified bool) (node, error) {
	n := node{rec: r, prev: s.byID[r.Prev], target: -1, invite: -1}
	if err := s.place(&n); err != nil {
		return n, err
	}
	own := s.own(n.grant)
	var err error
	switch b := r.Body.(type) {
	case *Grant:
		switch {
		case own.Caps&CapGrant == 0:
			err = errors.New("its author may not grant")
		case n.depth >= maxDepth:
			err = errors.New("a grant below depth 3")
		case !b.within(own):
			err = errors.New("grants more than its author has")
		}
	case *Invite:
		switch {
		case own.Caps&CapAdmit == 0:
			err = errors.New("its author may not invite")
		case !tagsWithin(b.Tags, own.Tags):
			err = errors.New("gives tags that its author may not")
		}
	case *Admit:
		err = s.acceptAdmit(&n, b, own, verified)
	case *Revoke:
		err = s.acceptRevoke(&n, b, own)
	case *Setting:
		err = s.acceptSetting(&n, b, own)
	}
	return n, err
}

// place derives grant and depth from prev.
func (s *Set) place(n *node) error {
	r, p := n.rec, &s.nodes[n.prev]
	if p.rec.Type.leaf() {
		return errors.New("its prev is a leaf")
	}
	if r.Clock <= p.rec.Clock {
		return errors.New("its clock is not after its prev's")
	}
	n.grant, n.depth, n.branch = p.grant, p.depth, p.branch
	if r.Type == TypeLeave {
		if a, ok := p.rec.Body.(*Admit); !ok || a.Device != r.Author {
			return errors.New("a leave whose prev is not its author's admission")
		}
		return nil
	}
	if g, ok := p.rec.Body.(*Grant); ok && g.Subject == r.Author {
		n.grant, n.depth = n.prev, p.confers()
		if n.depth == 2 {
			n.branch = n.prev
		}
		return nil
	}
	if p.rec.Author != r.Author {
		return errors.New("its author has no authority from its prev")
	}
	return nil
}

func (s *Set) acceptAdmit(n *node, b *Admit, own *Grant, verified bool) error {
	if !tagsWithin(b.Tags, own.Tags) {
		return errors.New("gives tags that its author may not")
	}
	if b.Invite.IsZero() {
		if own.Caps&CapAdmit == 0 {
			return errors.New("its author may not admit without an invite")
		}
		return nil
	}
	n.invite = s.byID[b.Invite]
	inv, ok := s.nodes[n.invite].rec.Body.(*Invite)
	switch {
	case !ok:
		return errors.New("its invite is none")
	case own.Caps&CapAdmit == 0 && (own.Caps&CapSponsor == 0 || !inv.Any && inv.Sponsor != n.rec.Author):
		return errors.New("its author may not admit by that invite")
	case !tagsWithin(b.Tags, inv.Tags):
		return errors.New("gives tags that its invite does not")
	case !verified && !VerifyInvite(inv.Key, b.Invite, b.Device, b.WG, b.InviteSig):
		return fmt.Errorf("invite: %w", ErrSignature)
	}
	return nil
}

func (s *Set) acceptRevoke(n *node, b *Revoke, own *Grant) error {
	mine := b.Key == n.rec.Author
	if !b.Record.IsZero() {
		n.target = s.byID[b.Record]
		t := s.nodes[n.target].rec
		if t.Type != TypeGrant && t.Type != TypeInvite {
			return fmt.Errorf("revokes a record of type %s", t.Type)
		}
		mine = t.Type == TypeInvite && t.Author == n.rec.Author
	}
	if b.Key == s.nodes[0].rec.Author && mine {
		return errors.New("the root revokes itself")
	}
	if !mine && own.Caps&CapRemove == 0 {
		return errors.New("its author may not remove")
	}
	n.keep = make([]int32, len(b.Keep))
	for i, id := range b.Keep {
		n.keep[i] = s.byID[id]
	}
	return nil
}

func (s *Set) acceptSetting(n *node, b *Setting, own *Grant) error {
	k, err := parseSetKey(b.Key)
	if err != nil {
		return err
	}
	n.key = &k
	switch {
	case !own.maySet(b.Key):
		return fmt.Errorf("its author may not set %q", b.Key)
	case own.Caps&k.cap() != k.cap():
		return fmt.Errorf("its author lacks the capability for %q", b.Key)
	case n.depth > 1 && k.senior(s.Name()):
		return fmt.Errorf("%q is for owners", b.Key)
	}
	if err := k.checkValue(b.Value); err != nil {
		return fmt.Errorf("value of %q: %w", b.Key, err)
	}
	if k.field == fieldTags && !tagsWithin(k.list, own.Tags) {
		return errors.New("gives tags that its author may not")
	}
	return nil
}
