package store

import (
	"bytes"
	"net/netip"
	"time"

	"kith.internal/helper/internal/key"
)

// The caches of this file are hints: a caller that sees many changes should
// gather them for some seconds and write them in one call, since each call
// waits for the disk.

// Peer is where a device was last reached.
type Peer struct {
	Key       key.Public
	Endpoints []Endpoint
}

// Endpoint is an address that a peer answered at.
type Endpoint struct {
	Addr      netip.AddrPort `cbor:"1,keyasint"`
	Confirmed time.Time      `cbor:"2,keyasint"`
}

// Presence is what a device last said of itself, as signed by it.
type Presence struct {
	Key key.Public `cbor:"-"`
	Raw []byte     `cbor:"1,keyasint"`
	At  time.Time  `cbor:"2,keyasint"` // its arrival
}

// PutPeers replaces what is cached of these peers; no endpoints forgets one.
func (s *Store) PutPeers(network [32]byte, peers ...Peer) error {
	return s.inNetwork(network, func(b bucket) error {
		all, err := b.make(namePeers)
		if err != nil {
			return err
		}
		for _, p := range peers {
			if len(p.Endpoints) == 0 {
				err = all.delete(p.Key[:])
			} else {
				err = all.putCBOR(p.Key[:], p.Endpoints)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Peers are the cached peers, by key.
func (s *Store) Peers(network [32]byte) ([]Peer, error) {
	var out []Peer
	err := s.viewNetwork(network, func(b bucket) error {
		out = nil
		return b.sub(namePeers).each(func(k, v []byte) error {
			pub, err := publicKey(k)
			if err != nil {
				return err
			}
			p := Peer{Key: pub}
			err = decode(v, &p.Endpoints)
			out = append(out, p)
			return err
		})
	})
	return out, err
}

// PutPresence replaces what these devices last said; no Raw forgets one.
func (s *Store) PutPresence(network [32]byte, presences ...Presence) error {
	return s.inNetwork(network, func(b bucket) error {
		all, err := b.make(namePresence)
		if err != nil {
			return err
		}
		for _, p := range presences {
			if len(p.Raw) == 0 {
				err = all.delete(p.Key[:])
			} else {
				err = all.putCBOR(p.Key[:], p)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Presences are what devices last said, by key.
func (s *Store) Presences(network [32]byte) ([]Presence, error) {
	var out []Presence
	err := s.viewNetwork(network, func(b bucket) error {
		out = nil
		return b.sub(namePresence).each(func(k, v []byte) error {
			pub, err := publicKey(k)
			if err != nil {
				return err
			}
			p := Presence{Key: pub}
			err = decode(v, &p)
			out = append(out, p)
			return err
		})
	})
	return out, err
}

// RemovePeers forgets what is cached of devices that are gone.
func (s *Store) RemovePeers(network [32]byte, keys ...key.Public) error {
	return s.inNetwork(network, func(b bucket) error {
		for _, name := range [][]byte{namePeers, namePresence} {
			all := b.sub(name)
			if !all.exists() {
				continue
			}
			for _, k := range keys {
				if err := all.delete(k[:]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func publicKey(k []byte) (key.Public, error) {
	if len(k) != 32 {
		return key.Public{}, damaged(stateName, "a device's key has %d bytes", len(k))
	}
	return key.Public(k), nil
}

// PutValue keeps a small value of a network under a name of the caller's; nil
// removes it. It is not for secrets: those go into Secrets.
func (s *Store) PutValue(network [32]byte, name string, value []byte) error {
	return s.inNetwork(network, func(b bucket) error {
		all, err := b.make(nameValues)
		if err != nil {
			return err
		}
		if value == nil {
			return all.delete([]byte(name))
		}
		return all.put([]byte(name), value)
	})
}

// Value is what PutValue kept, nil for nothing.
func (s *Store) Value(network [32]byte, name string) ([]byte, error) {
	var out []byte
	err := s.viewNetwork(network, func(b bucket) error {
		v, err := b.sub(nameValues).get([]byte(name))
		out = bytes.Clone(v)
		return err
	})
	return out, err
}
