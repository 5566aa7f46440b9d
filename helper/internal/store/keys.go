package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/fxamacker/cbor/v2"
)

// keyring is all that is secret. One that has been published is not changed.
type keyring struct {
	Store    [16]byte   `cbor:"1,keyasint"` // the same in state.db: the two files belong together
	Complete bool       `cbor:"2,keyasint"` // state.db was made
	Networks []keyEntry `cbor:"3,keyasint"`
	Joins    []Join     `cbor:"4,keyasint"`
}

type keyEntry struct {
	Network [32]byte `cbor:"1,keyasint"`
	Secrets Secrets  `cbor:"2,keyasint"`
	Pending pending  `cbor:"3,keyasint,omitzero"`
}

// pending is a change to both files that is not through yet; the next Open
// ends it.
type pending uint8

const (
	pendingNone pending = iota
	pendingAdd
	pendingRemove
)

func (r *keyring) entry(network [32]byte) *keyEntry {
	i := slices.IndexFunc(r.Networks, func(e keyEntry) bool { return e.Network == network })
	if i < 0 {
		return nil
	}
	return &r.Networks[i]
}

func (r *keyring) removeEntry(network [32]byte) {
	r.Networks = slices.DeleteFunc(r.Networks, func(e keyEntry) bool { return e.Network == network })
}

func (r *keyring) removeJoin(network [32]byte) {
	r.Joins = slices.DeleteFunc(r.Joins, func(j Join) bool { return j.Network == network })
}

const keysMagic = "kith keys\n"

const keysVersion = 1

var encMode, decMode = func() (cbor.EncMode, cbor.DecMode) {
	o := cbor.CoreDetEncOptions()
	o.Time = cbor.TimeRFC3339NanoUTC
	enc, err := o.EncMode()
	if err != nil {
		panic("store: " + err.Error())
	}
	dec, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden}.DecMode()
	if err != nil {
		panic("store: " + err.Error())
	}
	return enc, dec
}()

// encodeKeys is magic ‖ version ‖ CBOR ‖ SHA-256 of all before it.
func encodeKeys(r *keyring) ([]byte, error) {
	body, err := encMode.Marshal(r)
	if err != nil {
		return nil, err
	}
	b := append([]byte(keysMagic), keysVersion)
	return sealKeys(append(b, body...)), nil
}

func sealKeys(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func decodeKeys(b []byte) (*keyring, error) {
	end := len(b) - sha256.Size
	if end < len(keysMagic)+1 {
		return nil, damaged(keysName, "%d bytes are too few", len(b))
	}
	if !bytes.HasPrefix(b, []byte(keysMagic)) {
		return nil, damaged(keysName, "it does not start as it should")
	}
	if sha256.Sum256(b[:end]) != [sha256.Size]byte(b[end:]) {
		return nil, damaged(keysName, "its checksum is wrong")
	}
	if v := b[len(keysMagic)]; v != keysVersion {
		return nil, fmt.Errorf("%w: %s has format %d, this build knows %d; install the later version again", ErrVersion, keysName, v, keysVersion)
	}
	r := new(keyring)
	if err := decMode.Unmarshal(b[len(keysMagic)+1:end], r); err != nil {
		return nil, damaged(keysName, "%v", err)
	}
	return r, nil
}

func writeKeys(path string, r *keyring) error {
	b, err := encodeKeys(r)
	if err != nil {
		return err
	}
	if err := writeFile(path, b); err != nil {
		return fmt.Errorf("write %s: %w", keysName, err)
	}
	return nil
}

// keyFile is the file of keys, held in memory: it is a few kilobytes.
type keyFile struct {
	path   string
	cur    atomic.Pointer[keyring]
	closed atomic.Bool
	group  group[*keyring]
	write  func(path string, r *keyring) error // writeKeys; tests make it fail
	wrote  func(error)                         // hears how each update ended; may be nil
}

func openKeys(path string) (*keyFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := decodeKeys(b)
	if err != nil {
		return nil, err
	}
	k := &keyFile{path: path, write: writeKeys}
	k.cur.Store(r)
	k.group.commit = k.commit
	return k, nil
}

// ring is the keyring as last acknowledged; nobody may change it.
func (k *keyFile) ring() *keyring { return k.cur.Load() }

func (k *keyFile) update(fn func(*keyring) error) error {
	err := k.group.do(fn)
	if k.wrote != nil {
		k.wrote(err)
	}
	return err
}

func (k *keyFile) close() { k.closed.Store(true) }

func (k *keyFile) commit(batch []func(*keyring) error) []error {
	errs := make([]error, len(batch))
	all := func(err error) []error {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
		return errs
	}
	if k.closed.Load() {
		return all(ErrClosed)
	}
	next, changed := k.ring(), false
	for i, apply := range batch {
		try, err := next.clone()
		if err == nil {
			err = apply(try)
		}
		if errs[i] = err; err == nil {
			next, changed = try, true
		}
	}
	if !changed {
		return errs
	}
	if err := k.write(k.path, next); err != nil {
		return all(full(filepath.Dir(k.path), err))
	}
	k.cur.Store(next)
	return errs
}

func (r *keyring) clone() (*keyring, error) {
	b, err := encMode.Marshal(r)
	if err != nil {
		return nil, err
	}
	c := new(keyring)
	return c, decMode.Unmarshal(b, c)
}
