package store

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"kith.internal/helper/internal/key"
)

// Settings is what this device has chosen for a network.
type Settings struct {
	Network [32]byte  `cbor:"-"`
	Order   uint64    `cbor:"1,keyasint"` // set by AddNetwork: ascends in the order of joining
	Name    string    `cbor:"2,keyasint"` // the network's own, for when the roster cannot be read
	Alias   string    `cbor:"3,keyasint"` // what it goes by here
	Device  string    `cbor:"4,keyasint"` // the name asked for; the roster says which one it got
	Port    uint16    `cbor:"5,keyasint"`
	Active  bool      `cbor:"6,keyasint"`
	Added   time.Time `cbor:"7,keyasint"`

	Relay     *Relay `cbor:"8,keyasint,omitempty"`  // this device is to be a relay; nil: it is not
	NoForward bool   `cbor:"9,keyasint,omitempty"`  // it passes nothing on for others
	Carry     bool   `cbor:"14,keyasint,omitempty"` // it passes friends' packets on, too

	Exit   *ExitOffer     `cbor:"10,keyasint,omitempty"` // this device offers to be an exit node; nil: it does not
	Routes []RouteOffer   `cbor:"11,keyasint,omitempty"` // subnets behind this device
	Accept []netip.Prefix `cbor:"12,keyasint,omitempty"` // subnets behind others that its user wants

	ServeNames bool `cbor:"20,keyasint,omitempty"` // members may ask this device for names
	Shields    bool `cbor:"13,keyasint,omitempty"` // nothing comes in
}

// Relay is how a device is to relay.
type Relay struct {
	Listen    string `cbor:"1,keyasint"`           // "IP:PORT" or ":PORT"
	Advertise string `cbor:"2,keyasint,omitempty"` // "HOST:PORT" as given; "" for its own addresses
	Limit     int    `cbor:"3,keyasint,omitempty"` // Mbit/s in all; 0: none
}

// ExitOffer is how a device passes internet traffic on.
type ExitOffer struct {
	LAN bool `cbor:"1,keyasint,omitempty"` // who uses it reaches its own LAN too
}

// RouteOffer is a subnet that a device passes traffic on to.
type RouteOffer struct {
	Prefix netip.Prefix `cbor:"1,keyasint"`
	NoSNAT bool         `cbor:"2,keyasint,omitempty"` // the subnet sees overlay addresses
}

// Secrets is what only this device knows in a network.
type Secrets struct {
	Device  key.Private    `cbor:"1,keyasint"`
	Keys    []Keys         `cbor:"2,keyasint"`           // ascending N: former, in force, asked for; the roster says which N governs
	Epochs  []Epoch        `cbor:"3,keyasint,omitempty"` // discovery secrets, oldest first
	Phrase  string         `cbor:"4,keyasint,omitempty"` // the root phrase until it has been shown
	Invites []InviteSecret `cbor:"5,keyasint,omitempty"`
	Relay   []byte         `cbor:"6,keyasint,omitempty"` // the relay's TLS key, PKCS #8 (RFC 5958); the roster pins it
	Issuers []Issuer       `cbor:"7,keyasint,omitempty"` // friends' shares that this network has accepted, where this device passes them on
	Visits  []Visit        `cbor:"8,keyasint,omitempty"` // friends' networks that this device is a guest of
}

// Keys are the two X25519 keys of one admission.
type Keys struct {
	N         uint64              `cbor:"1,keyasint"`
	WireGuard key.ExchangePrivate `cbor:"2,keyasint"`
	Control   key.ExchangePrivate `cbor:"3,keyasint"`
	Made      time.Time           `cbor:"4,keyasint"`
}

// Epoch is a discovery secret; the roster holds its hash alone.
type Epoch struct {
	Secret [32]byte  `cbor:"1,keyasint"`
	At     time.Time `cbor:"2,keyasint"` // when it was made or received
}

// InviteSecret is the private key of an invite made here.
type InviteSecret struct {
	Invite  [32]byte    `cbor:"1,keyasint"` // the record's ID
	Key     key.Private `cbor:"2,keyasint"`
	Expires time.Time   `cbor:"3,keyasint"`
}

// Join is a request to join that is not answered yet. At most one a network.
type Join struct {
	Network [32]byte    `cbor:"1,keyasint"`
	Link    string      `cbor:"2,keyasint"` // holds the invite's key
	Device  key.Private `cbor:"3,keyasint"`
	Keys    Keys        `cbor:"4,keyasint"`
	Name    string      `cbor:"5,keyasint"` // the device's name, as asked for
	Since   time.Time   `cbor:"6,keyasint"`
}

// Names in a network's bucket: two values, and buckets.
var (
	nameSettings = []byte("settings")
	nameArrivals = []byte("records made")
	nameRecords  = []byte("records")
	nameUses     = []byte("uses")
	namePeers    = []byte("peers")
	namePresence = []byte("presence")
	nameValues   = []byte("values")
)

func notFound(network [32]byte) error {
	return fmt.Errorf("network %x: %w", network[:4], ErrNotFound)
}

// inNetwork is update within one network's bucket.
func (s *Store) inNetwork(network [32]byte, fn func(bucket) error) error {
	return s.state.update(func(tx *bolt.Tx) error {
		b := top(tx, bucketNetworks).sub(network[:])
		if !b.exists() {
			return notFound(network)
		}
		return fn(b)
	})
}

func (s *Store) viewNetwork(network [32]byte, fn func(bucket) error) error {
	return s.state.view(func(tx *bolt.Tx) error {
		b := top(tx, bucketNetworks).sub(network[:])
		if !b.exists() {
			return notFound(network)
		}
		return fn(b)
	})
}

// AddNetwork keeps a network with its first records, and ends the join of it
// if one was under way: all of it, or nothing.
func (s *Store) AddNetwork(set Settings, secrets Secrets, records ...Record) error {
	s.pairs.Lock()
	defer s.pairs.Unlock()
	id := set.Network
	if err := s.settle(id); err != nil { // a try before this one may have met a full disk
		return err
	}
	err := s.keys.update(func(r *keyring) error {
		if e := r.entry(id); e != nil {
			return fmt.Errorf("network %x: %w", id[:4], ErrExists)
		}
		r.Networks = append(r.Networks, keyEntry{Network: id, Secrets: secrets, Pending: pendingAdd})
		return nil
	})
	if err != nil {
		return err
	}
	err = s.state.update(func(tx *bolt.Tx) error {
		all := top(tx, bucketNetworks)
		b, err := all.make(id[:])
		if err != nil {
			return err
		}
		n, err := top(tx, bucketMachine).next(nameNetworkCount)
		if err != nil {
			return err
		}
		numbered := set
		numbered.Order = n
		if err := b.putCBOR(nameSettings, numbered); err != nil {
			return err
		}
		return putRecords(b, records)
	})
	return errors.Join(err, s.settle(id))
}

// RemoveNetwork forgets a network: its secrets, and all else of it.
func (s *Store) RemoveNetwork(network [32]byte) error {
	s.pairs.Lock()
	defer s.pairs.Unlock()
	err := s.keys.update(func(r *keyring) error {
		e := r.entry(network)
		if e == nil {
			return notFound(network)
		}
		e.Pending = pendingRemove
		return nil
	})
	if err != nil {
		return err
	}
	return s.settle(network)
}

// finishPending ends what a kill interrupted between the two files.
func (s *Store) finishPending() error {
	for _, e := range s.keys.ring().Networks {
		if err := s.settle(e.Network); err != nil {
			return err
		}
	}
	return nil
}

// settle brings keys into step with state.db for a network with a change
// under way. It wants pairs, or nobody else to know s.
func (s *Store) settle(network [32]byte) error {
	e := s.keys.ring().entry(network)
	if e == nil || e.Pending == pendingNone {
		return nil
	}
	keep := false
	var err error
	if e.Pending == pendingAdd {
		err = s.state.view(func(tx *bolt.Tx) error {
			keep = top(tx, bucketNetworks).sub(network[:]).exists()
			return nil
		})
	} else {
		err = s.state.update(func(tx *bolt.Tx) error {
			err := top(tx, bucketNetworks).b.DeleteBucket(network[:])
			if errors.Is(err, berrors.ErrBucketNotFound) {
				return nil
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	return s.keys.update(func(r *keyring) error {
		if !keep {
			r.removeEntry(network)
			return nil
		}
		r.entry(network).Pending = pendingNone
		r.removeJoin(network)
		return nil
	})
}

// checkPairs refuses files of which one was put back without the other.
func (s *Store) checkPairs() error {
	all, err := s.Networks()
	if err != nil {
		return err
	}
	for _, set := range all {
		if s.keys.ring().entry(set.Network) == nil {
			return damaged(keysName, "the keys of network %q are not in it", set.Alias)
		}
	}
	return nil
}

// Networks are the settings of all networks in the order of joining.
func (s *Store) Networks() ([]Settings, error) {
	var out []Settings
	err := s.state.view(func(tx *bolt.Tx) error {
		out = nil
		all := top(tx, bucketNetworks)
		return all.b.ForEachBucket(func(id []byte) error {
			if len(id) != 32 {
				return damaged(stateName, "a network's ID has %d bytes", len(id))
			}
			set := Settings{Network: [32]byte(id)}
			found, err := all.sub(id).getCBOR(nameSettings, &set)
			if err == nil && !found {
				err = damaged(stateName, "network %x has no settings", id[:4])
			}
			out = append(out, set)
			return err
		})
	})
	slices.SortFunc(out, func(a, b Settings) int { return cmp.Compare(a.Order, b.Order) })
	return out, err
}

// UpdateSettings changes a network's settings; Network and Order stay. fn may
// run several times.
func (s *Store) UpdateSettings(network [32]byte, fn func(*Settings) error) error {
	return s.inNetwork(network, func(b bucket) error {
		set := Settings{Network: network}
		if _, err := b.getCBOR(nameSettings, &set); err != nil {
			return err
		}
		order := set.Order
		if err := fn(&set); err != nil {
			return err
		}
		set.Order = order
		return b.putCBOR(nameSettings, set)
	})
}

// Secrets are a network's secrets; the caller may change what it gets.
func (s *Store) Secrets(network [32]byte) (Secrets, error) {
	e := s.keys.ring().entry(network)
	if e == nil {
		return Secrets{}, notFound(network)
	}
	out := e.Secrets
	out.Keys = slices.Clone(out.Keys)
	out.Epochs = slices.Clone(out.Epochs)
	out.Invites = slices.Clone(out.Invites)
	out.Issuers = slices.Clone(out.Issuers)
	out.Visits = slices.Clone(out.Visits)
	return out, nil
}

// UpdateSecrets changes a network's secrets. What fn takes out is in no file
// of ours any more when it returns. fn may run several times.
func (s *Store) UpdateSecrets(network [32]byte, fn func(*Secrets) error) error {
	return s.keys.update(func(r *keyring) error {
		e := r.entry(network)
		if e == nil {
			return notFound(network)
		}
		return fn(&e.Secrets)
	})
}

// PutJoin keeps a join under way, instead of an earlier one of that network.
func (s *Store) PutJoin(j Join) error {
	return s.keys.update(func(r *keyring) error {
		if r.entry(j.Network) != nil {
			return fmt.Errorf("network %x: %w", j.Network[:4], ErrExists)
		}
		r.removeJoin(j.Network)
		r.Joins = append(r.Joins, j)
		return nil
	})
}

// Joins are the joins under way, oldest first.
func (s *Store) Joins() []Join { return slices.Clone(s.keys.ring().Joins) }

// RemoveJoin forgets a join and its keys; none is no error.
func (s *Store) RemoveJoin(network [32]byte) error {
	return s.keys.update(func(r *keyring) error { r.removeJoin(network); return nil })
}
