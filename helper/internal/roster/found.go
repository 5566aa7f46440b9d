package roster

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"kith.internal/helper/internal/key"
)

// Founding describes a network to found.
type Founding struct {
	Name       string
	Device     key.Private // of the first owner
	WG         key.Exchange
	Control    key.Exchange
	DeviceName string
	Avoid      []netip.Prefix // local prefixes that the network should not meet
	Now        func() time.Time
}

// foundingDraws bounds the search for a network whose IPv4 range is free; where
// all of 100.64.0.0/10 is taken the last draw stands, and IPv4 is not used.
const foundingDraws = 2000

// Found makes a network: the genesis by a fresh root key, the grant of its first
// owner, and that owner's own admission. The root key is for the caller to show
// as a Phrase, and to erase.
func Found(f Founding) (*Set, key.Private, error) {
	root := key.New()
	genesis, err := drawGenesis(f, root)
	if err != nil {
		return nil, root, fmt.Errorf("found %q: %w", f.Name, err)
	}
	s := newSet(genesis)
	s.settled = append(s.settled, Settled{Record: genesis, At: f.Now(), Verdict: Accepted})
	s.nodes[0].at = f.Now()
	device := f.Device.Public()
	if _, err := NewAuthor(s, root, f.Now).Grant(device, OwnerGrant()); err != nil {
		return nil, root, fmt.Errorf("found %q: %w", f.Name, err)
	}
	_, err = NewAuthor(s, f.Device, f.Now).Admit(Admission{
		Device: device, WG: f.WG, Control: f.Control, N: 1, Name: f.DeviceName,
		Pop: SignPop(s.Network(), f.Device, f.WG, f.Control, 1),
	})
	if err != nil {
		return nil, root, fmt.Errorf("found %q: %w", f.Name, err)
	}
	return s, root, nil
}

func drawGenesis(f Founding, root key.Private) (r *Record, err error) {
	for range foundingDraws {
		b := &Genesis{Name: f.Name}
		rand.Read(b.Nonce[:])
		if r, err = Sign(root, ID{}, ID{}, Millis(f.Now()), b); err != nil {
			return nil, err
		}
		if !meets(r.ID, f.Avoid) {
			break
		}
	}
	return r, nil
}

func meets(network ID, avoid []netip.Prefix) bool {
	for _, p := range avoid {
		if p.Overlaps(Range4(network)) || p.Bits() > 0 && p.Overlaps(Prefix6(network)) {
			return true
		}
	}
	return false
}

// Recovery describes what the root key is used for.
type Recovery struct {
	Owner  key.Public   // the new owner
	Admit  *Admission   // of the new owner, where it is no member yet
	Remove []key.Public // the old owners
	Since  time.Time    // what arrived here from them later falls; zero keeps all
}

// PlanRecover works out a recovery by the root key, whose author this is.
func (a *Author) PlanRecover(q Recovery) (*Removal, error) {
	return a.plan(q.Remove, q.Since, func(a *Author) ([]*Record, error) { return a.recover(q) })
}

// Recover grants a new owner by the root key, then cuts the old ones by rule 18.
func (a *Author) Recover(q Recovery) (*Removal, error) {
	r, err := a.PlanRecover(q)
	if err != nil {
		return nil, err
	}
	return r, a.Apply(r)
}

func (a *Author) recover(q Recovery) (recs []*Record, err error) {
	if a.pub != a.set.Root() {
		return nil, fmt.Errorf("recover: %w: this is not the root key", ErrNotPermitted)
	}
	add := func(r *Record, err error) error {
		if err == nil {
			recs = append(recs, r)
		}
		return err
	}
	if err := add(a.Grant(q.Owner, OwnerGrant())); err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	for _, k := range q.Remove {
		cut, err := a.remove(k, RemoveOptions{Since: q.Since, Readmit: !q.Since.IsZero(), with: q.Remove})
		if err != nil {
			return nil, fmt.Errorf("recover: %w", err)
		}
		recs = append(recs, cut...)
	}
	if a.set.View().Member(q.Owner) != nil {
		return recs, nil
	}
	if q.Admit != nil {
		err = add(a.Admit(*q.Admit))
	} else {
		err = add(a.Readmit(q.Owner))
	}
	if err != nil {
		return nil, fmt.Errorf("recover: the new owner: %w", err)
	}
	return recs, nil
}
