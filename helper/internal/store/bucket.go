package store

import (
	"encoding/binary"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// Every value ends with a CRC-32C over its path and content, so that damage
// that leaves the tree whole is found as well.

const sumLen = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// extend adds a name to a path's sum.
func extend(sum uint32, name []byte) uint32 {
	sum = crc32.Update(sum, castagnoli, binary.BigEndian.AppendUint32(nil, uint32(len(name))))
	return crc32.Update(sum, castagnoli, name)
}

func seal(path uint32, k, v []byte) []byte {
	sum := crc32.Update(extend(path, k), castagnoli, v)
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, len(v)+sumLen), v...), sum)
}

func unseal(path uint32, k, sealed []byte) (v []byte, ok bool) {
	end := len(sealed) - sumLen
	if end < 0 {
		return nil, false
	}
	v = sealed[:end:end]
	return v, crc32.Update(extend(path, k), castagnoli, v) == binary.BigEndian.Uint32(sealed[end:])
}

// bucket is a bbolt bucket of sealed values. The zero bucket is empty.
type bucket struct {
	b   *bolt.Bucket
	sum uint32
}

func top(tx *bolt.Tx, name string) bucket {
	return bucket{b: tx.Bucket([]byte(name)), sum: extend(0, []byte(name))}
}

func (b bucket) exists() bool { return b.b != nil }

func (b bucket) sub(name []byte) bucket {
	if b.b == nil {
		return b
	}
	return bucket{b: b.b.Bucket(name), sum: extend(b.sum, name)}
}

func (b bucket) make(name []byte) (bucket, error) {
	n, err := b.b.CreateBucketIfNotExists(name)
	return bucket{b: n, sum: extend(b.sum, name)}, err
}

// get is the value of k, nil for none; valid while the transaction lasts.
func (b bucket) get(k []byte) ([]byte, error) {
	if b.b == nil {
		return nil, nil
	}
	sealed := b.b.Get(k)
	if sealed == nil {
		return nil, nil
	}
	v, ok := unseal(b.sum, k, sealed)
	if !ok {
		return nil, damaged(stateName, "an entry has a wrong checksum")
	}
	return v, nil
}

func (b bucket) put(k, v []byte) error { return b.b.Put(k, seal(b.sum, k, v)) }

func (b bucket) delete(k []byte) error { return b.b.Delete(k) }

// each calls fn for every value in the order of keys; k and v are valid while
// the transaction lasts.
func (b bucket) each(fn func(k, v []byte) error) error { return b.eachFrom(nil, fn) }

// eachFrom is each for the keys that start with prefix.
func (b bucket) eachFrom(prefix []byte, fn func(k, v []byte) error) error {
	if b.b == nil {
		return nil
	}
	c := b.b.Cursor()
	for k, sealed := c.Seek(prefix); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix); k, sealed = c.Next() {
		if sealed == nil {
			continue // a bucket
		}
		v, ok := unseal(b.sum, k, sealed)
		if !ok {
			return damaged(stateName, "an entry has a wrong checksum")
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// next counts up under k, from 1. bbolt's own sequences lie outside the
// checksums.
func (b bucket) next(k []byte) (uint64, error) {
	v, err := b.get(k)
	switch {
	case err != nil:
		return 0, err
	case v != nil && len(v) != 8:
		return 0, damaged(stateName, "a count has %d bytes", len(v))
	case v == nil:
		v = make([]byte, 8)
	}
	n := binary.BigEndian.Uint64(v) + 1
	return n, b.put(k, binary.BigEndian.AppendUint64(nil, n))
}

// Values are CBOR where they are structs.

func (b bucket) putCBOR(k []byte, v any) error {
	e, err := encMode.Marshal(v)
	if err != nil {
		return err
	}
	return b.put(k, e)
}

func (b bucket) getCBOR(k []byte, v any) (bool, error) {
	e, err := b.get(k)
	if err != nil || e == nil {
		return false, err
	}
	return true, decode(e, v)
}

func decode(e []byte, v any) error {
	if err := decMode.Unmarshal(e, v); err != nil {
		return damaged(stateName, "an entry: %v", err)
	}
	return nil
}
