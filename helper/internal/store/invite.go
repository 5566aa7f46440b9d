package store

import (
	"encoding/binary"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// Use is one device that an invite admitted, or is about to.
type Use struct {
	Invite [32]byte // the record's ID
	Device key.Public
	At     time.Time // in milliseconds
}

// UseInvite journals a use before the sponsor answers. fresh is false if the
// device had used the invite before, which takes no further use. ErrUsedUp:
// limit devices have used it; limit 0 is none.
func (s *Store) UseInvite(network, invite [32]byte, device key.Public, limit int, at time.Time) (fresh bool, err error) {
	err = s.inNetwork(network, func(b bucket) error {
		fresh = false
		uses, err := b.make(nameUses)
		if err != nil {
			return err
		}
		k := slices.Concat(invite[:], device[:])
		was, err := uses.get(k)
		if err != nil || was != nil {
			return err
		}
		n := 0
		err = uses.eachFrom(invite[:], func(_, _ []byte) error { n++; return nil })
		if err != nil {
			return err
		}
		if limit > 0 && n >= limit {
			return ErrUsedUp
		}
		fresh = true
		return uses.put(k, binary.BigEndian.AppendUint64(nil, millis(at)))
	})
	return fresh && err == nil, err
}

// InviteUses are all journalled uses of a network's invites.
func (s *Store) InviteUses(network [32]byte) ([]Use, error) {
	var out []Use
	err := s.viewNetwork(network, func(b bucket) error {
		out = nil
		return b.sub(nameUses).each(func(k, v []byte) error {
			if len(k) != 64 || len(v) != 8 {
				return damaged(stateName, "a use of an invite has %d bytes", len(k)+len(v))
			}
			out = append(out, Use{Invite: [32]byte(k), Device: key.Public(k[32:]), At: fromMillis(binary.BigEndian.Uint64(v))})
			return nil
		})
	})
	return out, err
}

// RemoveInviteUses forgets the uses of invites that can admit nobody any more.
func (s *Store) RemoveInviteUses(network [32]byte, invites ...[32]byte) error {
	return s.inNetwork(network, func(b bucket) error {
		uses := b.sub(nameUses)
		for _, id := range invites {
			var keys [][]byte
			err := uses.eachFrom(id[:], func(k, _ []byte) error {
				keys = append(keys, slices.Clone(k))
				return nil
			})
			if err != nil {
				return err
			}
			for _, k := range keys {
				if err := uses.delete(k); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
