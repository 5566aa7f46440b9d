package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Top-level buckets of state.db.
const (
	bucketMeta     = "meta"
	bucketNetworks = "networks"
	bucketMachine  = "machine"
	bucketJournal  = "journal"
)

const stateVersion = 1

var (
	metaVersion = []byte("version")
	metaStore   = []byte("store")
)

// options: pages of one size on every system, so that a directory can move.
// The list of free pages is not stored: a commit writes a page less, damage to
// it cannot make live pages be overwritten, and the walk that rebuilds it
// costs little after verify has read the file. The map starts at the file's
// size (32 KiB for a new one) and doubles: on Windows a larger one would
// lengthen the file, and no reader holds a transaction long enough to delay a
// remap. Our own lock file excludes others; the timeout only bounds a surprise.
func options() *bolt.Options {
	return &bolt.Options{
		Timeout:        time.Second,
		PageSize:       pageSize,
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
		NoStatistics:   true,
	}
}

// allocSize is by how much the file grows once it is larger than that.
const allocSize = 1 << 20

// db is state.db.
type db struct {
	path   string
	store  [16]byte
	group  group[*bolt.Tx]
	commit func(*bolt.Tx) error // (*bolt.Tx).Commit; tests make it fail
	wrote  func(error)          // hears how each update ended; may be nil

	mu     sync.RWMutex // held for reading by each transaction, for writing to open anew
	bolt   *bolt.DB     // nil: opening anew failed, tried again by the next caller
	closed bool
}

// createDB makes an empty state.db as a whole or not at all.
func createDB(path string, store [16]byte) error {
	tmp := path + newSuffix
	b, err := bolt.Open(tmp, 0o600, options())
	if err != nil {
		return fmt.Errorf("make %s: %w", stateName, err)
	}
	err = b.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketMeta, bucketNetworks, bucketMachine, bucketJournal} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		m := top(tx, bucketMeta)
		return errors.Join(m.put(metaVersion, binary.BigEndian.AppendUint32(nil, stateVersion)), m.put(metaStore, store[:]))
	})
	if err := errors.Join(err, b.Close()); err != nil {
		return fmt.Errorf("make %s: %w", stateName, err)
	}
	return replace(tmp, path)
}

func openDB(path string, store [16]byte) (*db, error) {
	d := &db{path: path, store: store, commit: (*bolt.Tx).Commit}
	d.group.commit = d.run
	return d, d.open()
}

// open wants mu, or nobody else to know d. It looks at every page that is in
// use before bbolt, which trusts them all, maps the file.
func (d *db) open() error {
	if err := verify(d.path); err != nil {
		return err
	}
	b, err := bolt.Open(d.path, 0o600, options())
	if err != nil {
		return fmt.Errorf("open %s: %w", stateName, err)
	}
	b.AllocSize = allocSize
	if err := b.View(d.checkMeta); err != nil {
		return errors.Join(err, b.Close())
	}
	d.bolt = b
	return nil
}

func (d *db) checkMeta(tx *bolt.Tx) error {
	m := top(tx, bucketMeta)
	version, err := m.get(metaVersion)
	switch {
	case err != nil:
		return err
	case len(version) != 4:
		return damaged(stateName, "it has no version")
	case binary.BigEndian.Uint32(version) != stateVersion:
		return fmt.Errorf("%w: %s has format %d, this build knows %d; install the later version again",
			ErrVersion, stateName, binary.BigEndian.Uint32(version), stateVersion)
	}
	store, err := m.get(metaStore)
	switch {
	case err != nil:
		return err
	case string(store) != string(d.store[:]):
		return damaged(stateName, "it does not belong to the file of keys beside it")
	}
	for _, name := range []string{bucketNetworks, bucketMachine, bucketJournal} {
		if !top(tx, name).exists() {
			return damaged(stateName, "its part %q is missing", name)
		}
	}
	return nil
}

func (d *db) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.bolt == nil {
		return nil
	}
	b := d.bolt
	d.bolt = nil
	return b.Close()
}

// use calls fn while d is open, and opens it anew if it has to be.
func (d *db) use(fn func(*bolt.DB) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for d.bolt == nil {
		if d.closed {
			return ErrClosed
		}
		d.mu.RUnlock()
		err := d.reopen()
		d.mu.RLock()
		if err != nil {
			return full(filepath.Dir(d.path), err)
		}
	}
	return fn(d.bolt)
}

func (d *db) view(fn func(*bolt.Tx) error) error {
	return d.use(func(b *bolt.DB) error { return b.View(fn) })
}

// update returns once fn's changes are durable. fn may run several times.
func (d *db) update(fn func(*bolt.Tx) error) error {
	err := d.group.do(fn)
	if d.wrote != nil {
		d.wrote(err)
	}
	return err
}

// reopen starts afresh from what is on disk: after a failed commit neither
// bbolt's list of free pages nor its view of the last transaction is to be
// relied on.
func (d *db) reopen() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	if d.bolt != nil {
		b := d.bolt
		d.bolt = nil
		if err := b.Close(); err != nil {
			return fmt.Errorf("close %s: %w", stateName, err)
		}
	}
	return d.open()
}

// run commits a batch. One whose function fails is left out, and the others
// are done again without it.
func (d *db) run(batch []func(*bolt.Tx) error) []error {
	errs := make([]error, len(batch))
	for {
		again, err := d.try(batch, errs)
		if err != nil {
			for i := range errs {
				if errs[i] == nil {
					errs[i] = err
				}
			}
		}
		if !again {
			return errs
		}
	}
}

// try runs those of the batch that have not failed. It tells whether one of
// them just did; err is what befell the others.
func (d *db) try(batch []func(*bolt.Tx) error, errs []error) (again bool, err error) {
	failed := false
	err = d.use(func(b *bolt.DB) error {
		tx, err := b.Begin(true)
		if err != nil {
			return err
		}
		left := 0
		for i, apply := range batch {
			if errs[i] != nil {
				continue
			}
			if errs[i] = apply(tx); errs[i] != nil {
				again = true
				return tx.Rollback()
			}
			left++
		}
		if left == 0 {
			return tx.Rollback()
		}
		if err := d.commit(tx); err != nil {
			failed = true
			tx.Rollback() // already done where bbolt itself failed
			return err
		}
		return nil
	})
	if !failed {
		return again, err
	}
	err = full(filepath.Dir(d.path), fmt.Errorf("write %s: %w", stateName, err))
	if e := d.reopen(); e != nil {
		err = errors.Join(err, e)
	}
	return false, err
}
