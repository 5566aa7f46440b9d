package store

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// Class is how a record is kept (ROSTER.md, rule 14).
type Class uint8

const (
	Wanted Class = iota // stored and served
	Cut                 // kept here alone, for a while
)

// Record is one record of a roster as it is kept. Raw is never changed once
// it is stored.
type Record struct {
	ID       [32]byte
	Raw      []byte    // payload ‖ signature
	Arrival  time.Time // in milliseconds
	Verified bool      // its signature was checked
	Class    Class
	Since    time.Time // when it came to Class, in milliseconds; zero: at its arrival
}

// A record's value is order u64 ‖ arrival i64 ‖ since i64 ‖ flags u8 ‖ raw.
// The order counts arrivals, so that a clock set back disturbs nothing.
const recordHead = 25

const (
	flagVerified = 1
	flagCut      = 2
)

func (r Record) encode(order uint64) []byte {
	b := make([]byte, recordHead, recordHead+len(r.Raw))
	binary.BigEndian.PutUint64(b, order)
	binary.BigEndian.PutUint64(b[8:], millis(r.Arrival))
	binary.BigEndian.PutUint64(b[16:], millis(r.Since))
	if r.Verified {
		b[24] |= flagVerified
	}
	if r.Class == Cut {
		b[24] |= flagCut
	}
	return append(b, r.Raw...)
}

func decodeRecord(k, v []byte) (r Record, order uint64, err error) {
	if len(k) != 32 || len(v) < recordHead {
		return r, 0, damaged(stateName, "a record has %d bytes", len(v))
	}
	r = Record{
		ID:       [32]byte(k),
		Raw:      slices.Clone(v[recordHead:]),
		Arrival:  fromMillis(binary.BigEndian.Uint64(v[8:])),
		Since:    fromMillis(binary.BigEndian.Uint64(v[16:])),
		Verified: v[24]&flagVerified != 0,
	}
	if v[24]&flagCut != 0 {
		r.Class = Cut
	}
	return r, binary.BigEndian.Uint64(v), nil
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}

func fromMillis(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

// PutRecords keeps records, all or none. One that is there keeps its arrival
// and stays verified; its class becomes the new one.
func (s *Store) PutRecords(network [32]byte, records ...Record) error {
	return s.inNetwork(network, func(b bucket) error { return putRecords(b, records) })
}

func putRecords(b bucket, records []Record) error {
	all, err := b.make(nameRecords)
	if err != nil {
		return err
	}
	for _, r := range records {
		old, err := all.get(r.ID[:])
		if err != nil {
			return err
		}
		var order uint64
		if old == nil {
			order, err = b.next(nameArrivals)
		} else {
			var was Record
			was, order, err = decodeRecord(r.ID[:], old)
			r.Raw, r.Arrival, r.Verified = was.Raw, was.Arrival, was.Verified || r.Verified
		}
		if err != nil {
			return err
		}
		if err := all.put(r.ID[:], r.encode(order)); err != nil {
			return err
		}
	}
	return nil
}

// Records are all records of a network in the order of their arrival, so that
// each comes after those it refers to.
func (s *Store) Records(network [32]byte) ([]Record, error) {
	type numbered struct {
		Record
		order uint64
	}
	var all []numbered
	err := s.viewNetwork(network, func(b bucket) error {
		all = nil
		return b.sub(nameRecords).each(func(k, v []byte) error {
			r, order, err := decodeRecord(k, v)
			all = append(all, numbered{r, order})
			return err
		})
	})
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(a.order, b.order) })
	out := make([]Record, len(all))
	for i, n := range all {
		out[i] = n.Record
	}
	return out, err
}

// RemoveRecords forgets records; unknown ones are passed over.
func (s *Store) RemoveRecords(network [32]byte, ids ...[32]byte) error {
	return s.inNetwork(network, func(b bucket) error {
		all := b.sub(nameRecords)
		for _, id := range ids {
			if err := all.delete(id[:]); err != nil {
				return err
			}
		}
		return nil
	})
}
