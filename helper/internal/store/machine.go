package store

import (
	"encoding/binary"
	"net/netip"
	"slices"

	bolt "go.etcd.io/bbolt"

	"kith.internal/helper/internal/key"
)

// Machine is what holds for the machine whatever the network.
type Machine struct {
	Operators []string `cbor:"1,keyasint"` // as the OS numbers users: UID or SID
	Down      bool     `cbor:"2,keyasint"` // "kith down" lasts over restarts
	// Exit is the exit node in use; nil for none.
	Exit *ExitUse `cbor:"3,keyasint,omitempty"`
	// Recent are exit nodes used before, the last first, and the one in use.
	Recent []ExitNode `cbor:"4,keyasint,omitempty"`
	// AllowLAN keeps connected networks reachable beside an exit node: those in
	// LANs, or all where it is empty.
	AllowLAN bool           `cbor:"5,keyasint,omitempty"`
	LANs     []netip.Prefix `cbor:"6,keyasint,omitempty"`
}

// ExitNode is a device that internet traffic goes through.
type ExitNode struct {
	Network [32]byte   `cbor:"1,keyasint"`
	Device  key.Public `cbor:"2,keyasint"`
}

// ExitUse is the exit node in use.
type ExitUse struct {
	ExitNode
	Name string `cbor:"3,keyasint"` // for when the roster does not know it any more
}

// Values in the machine's bucket.
var (
	nameMachine      = []byte("settings")
	nameNetworkCount = []byte("networks made")
	nameJournalCount = []byte("journal entries made")
)

// Machine is the machine's settings.
func (s *Store) Machine() (Machine, error) {
	var m Machine
	err := s.state.view(func(tx *bolt.Tx) error {
		m = Machine{}
		_, err := top(tx, bucketMachine).getCBOR(nameMachine, &m)
		return err
	})
	return m, err
}

// UpdateMachine changes the machine's settings. fn may run several times.
func (s *Store) UpdateMachine(fn func(*Machine) error) error {
	return s.state.update(func(tx *bolt.Tx) error {
		b := top(tx, bucketMachine)
		var m Machine
		if _, err := b.getCBOR(nameMachine, &m); err != nil {
			return err
		}
		if err := fn(&m); err != nil {
			return err
		}
		return b.putCBOR(nameMachine, m)
	})
}

// Entry is a change to the OS that is still to be undone.
type Entry struct {
	ID   uint64
	Data []byte
}

// AppendJournal notes a change to the OS before it is made. IDs ascend and
// never come again.
func (s *Store) AppendJournal(data []byte) (id uint64, err error) {
	err = s.state.update(func(tx *bolt.Tx) error {
		n, err := top(tx, bucketMachine).next(nameJournalCount)
		id = n
		if err != nil {
			return err
		}
		return top(tx, bucketJournal).put(binary.BigEndian.AppendUint64(nil, n), data)
	})
	return id, err
}

// DoneJournal drops entries whose change has been undone; unknown ones are
// passed over.
func (s *Store) DoneJournal(ids ...uint64) error {
	return s.state.update(func(tx *bolt.Tx) error {
		b := top(tx, bucketJournal)
		for _, id := range ids {
			if err := b.delete(binary.BigEndian.AppendUint64(nil, id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Journal is what is still to be undone, oldest first: undo it backwards.
func (s *Store) Journal() ([]Entry, error) {
	var out []Entry
	err := s.state.view(func(tx *bolt.Tx) error {
		out = nil
		return top(tx, bucketJournal).each(func(k, v []byte) error {
			if len(k) != 8 {
				return damaged(stateName, "a journal entry's number has %d bytes", len(k))
			}
			out = append(out, Entry{ID: binary.BigEndian.Uint64(k), Data: slices.Clone(v)})
			return nil
		})
	})
	return out, err
}
