// Package store owns what the helper keeps on disk: one directory of mode
// 0700 with two files and a lock. "keys" holds every secret and is replaced
// whole at each change, so that what is erased is in no file any more;
// "state.db" (bbolt) holds records, settings, caches and the OS journal.
//
// What a method has acknowledged survives a kill at any instant. Nothing is
// ever reset or repaired in silence: a store that is not whole is refused.
//
// The store judges nothing that it keeps. It must not import the roster, the
// engine or anything above them.
package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// What the errors of this package wrap.
var (
	ErrLocked   = errors.New("another kithd uses this state directory")
	ErrDamaged  = errors.New("the stored state is damaged")
	ErrVersion  = errors.New("the state was written by a later version of Kith")
	ErrFull     = errors.New("the disk is full")
	ErrUnsafe   = errors.New("the state directory is not safe")
	ErrNotFound = errors.New("not in the store")
	ErrExists   = errors.New("already in the store")
	ErrUsedUp   = errors.New("the invite has no uses left")
	ErrClosed   = errors.New("the store is closed")
)

const (
	lockName  = "lock"
	keysName  = "keys"
	stateName = "state.db"
	newSuffix = ".new" // a file being made; left over only by a kill
)

// Store is one open state directory. Its methods may be called from any
// goroutine; concurrent writers share one sync of the disk, and each gets its
// own result.
type Store struct {
	dir   string
	lock  *os.File
	keys  *keyFile
	state *db

	pairs  sync.Mutex // one change to both files at a time
	onFull atomic.Pointer[func(error)]
}

// OnFull has fn called, in the writer's goroutine, with each error of a write
// that failed because the disk is full. It must not block.
func (s *Store) OnFull(fn func(error)) { s.onFull.Store(&fn) }

// Room tells, by trying, whether the disk takes data: nil or an ErrFull.
func (s *Store) Room() error { return full(s.dir, tryWrite(s.dir)) }

// wrote looks at the outcome of a write.
func (s *Store) wrote(err error) {
	if fn := s.onFull.Load(); fn != nil && errors.Is(err, ErrFull) {
		(*fn)(err)
	}
}

// Open opens the state directory, and makes it where there is none. It fails
// with ErrLocked within a second, ErrUnsafe, ErrDamaged, ErrVersion or ErrFull.
func Open(dir string) (*Store, error) {
	s, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("open state directory %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string) (_ *Store, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := ensureDir(dir); err != nil {
		return nil, full(dir, err)
	}
	s := &Store{dir: dir}
	if s.lock, err = lockFile(filepath.Join(dir, lockName)); err != nil {
		return nil, full(dir, err)
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := sweep(dir); err != nil {
		return nil, err
	}
	if err := s.openFiles(); err != nil {
		return nil, full(dir, err)
	}
	if err := s.finishPending(); err != nil {
		return nil, err
	}
	return s, s.checkPairs()
}

// sweep removes files whose making a kill interrupted.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), newSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// openFiles opens both files, or makes them. The keys say whether state.db
// has been there, so that a lost one is told from a first start.
func (s *Store) openFiles() error {
	haveKeys, err := isThere(s.path(keysName))
	if err != nil {
		return err
	}
	haveState, err := isThere(s.path(stateName))
	if err != nil {
		return err
	}
	if !haveKeys && haveState {
		return damaged(keysName, "it is missing")
	}
	if !haveKeys {
		ring := new(keyring)
		rand.Read(ring.Store[:])
		if err := writeKeys(s.path(keysName), ring); err != nil {
			return err
		}
	}
	if s.keys, err = openKeys(s.path(keysName)); err != nil {
		return err
	}
	ring := s.keys.ring()
	if !haveState {
		if ring.Complete {
			return damaged(stateName, "it is missing")
		}
		if err := createDB(s.path(stateName), ring.Store); err != nil {
			return err
		}
	}
	if s.state, err = openDB(s.path(stateName), ring.Store); err != nil {
		return err
	}
	s.keys.wrote, s.state.wrote = s.wrote, s.wrote
	if !ring.Complete {
		return s.keys.update(func(r *keyring) error { r.Complete = true; return nil })
	}
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Close ends the store and frees the directory for another process. It may
// be called again.
func (s *Store) Close() error {
	var errs []error
	if s.state != nil {
		errs = append(errs, s.state.close())
	}
	if s.keys != nil {
		s.keys.close()
	}
	if s.lock != nil {
		if err := s.lock.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// isThere tells a regular file from none; all else is refused.
func isThere(path string) (bool, error) {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !st.Mode().IsRegular():
		return false, fmt.Errorf("%w: %s is no regular file", ErrUnsafe, filepath.Base(path))
	}
	return true, nil
}

// damaged says what is wrong and what a person can do.
func damaged(file, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s. Nothing was changed. Put back a backup of the whole directory, "+
		"or move the directory away and join your networks again with new invites",
		ErrDamaged, file, fmt.Sprintf(format, args...))
}
