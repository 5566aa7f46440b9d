package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestFailedWrites makes the disk fail where a real one seldom does: nothing
// acknowledged is lost, and the next write works.
func TestFailedWrites(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	broken := errors.New("file sync error: text alone")
	for name, c := range map[string]struct {
		commit   func(*bolt.Tx) error
		want     error
		wantFull bool
	}{
		"full before the commit":        {func(*bolt.Tx) error { return full }, syscall.ENOSPC, true},
		"full after writing":            {func(tx *bolt.Tx) error { return errors.Join(tx.Commit(), full) }, syscall.ENOSPC, true},
		"an error that is only a text":  {func(*bolt.Tx) error { return broken }, broken, false},
		"an error of the disk's device": {func(*bolt.Tx) error { return syscall.EIO }, syscall.EIO, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := withNetwork(t)
			must(t, s.PutRecords(net1, record(1)))
			was, before := s.state.commit, s.state.bolt
			s.state.commit = c.commit
			err := s.PutRecords(net1, record(2))
			if !errors.Is(err, c.want) || errors.Is(err, ErrFull) != c.wantFull {
				t.Errorf("error %v", err)
			}
			if got := value(s.Records(net1))(t); len(got) == 0 || got[0].ID != record(1).ID {
				t.Errorf("records while it fails: %v", got)
			}
			if s.state.bolt == before {
				t.Error("what failed to commit is still relied on")
			}
			s.state.commit = was
			must(t, s.PutRecords(net1, record(3)))
			s = reopened(t, s)
			got := value(s.Records(net1))(t)
			if got[0].ID != record(1).ID || got[len(got)-1].ID != record(3).ID {
				t.Errorf("records %v", got)
			}
		})
	}
}

func TestFailedKeys(t *testing.T) {
	s := withNetwork(t)
	was := s.keys.write
	s.keys.write = func(string, *keyring) error { return fmt.Errorf("write keys: %w", syscall.ENOSPC) }
	erase := func(x *Secrets) error { x.Phrase = ""; return nil }
	if err := s.UpdateSecrets(net1, erase); !errors.Is(err, ErrFull) {
		t.Errorf("error %v", err)
	}
	if err := s.RemoveNetwork(net1); !errors.Is(err, ErrFull) {
		t.Errorf("error %v", err)
	}
	if got := value(s.Secrets(net1))(t); got.Phrase == "" {
		t.Error("what failed took effect")
	}
	s.keys.write = was
	must(t, s.UpdateSecrets(net1, erase))
	s = reopened(t, s)
	if got := value(s.Secrets(net1))(t); got.Phrase != "" {
		t.Error("what was acknowledged took no effect")
	}
}

// TestAddNetworkAgain fails between the two files, cannot undo, and is asked
// again.
func TestAddNetworkAgain(t *testing.T) {
	s := openTest(t, newDir(t))
	commit, write := s.state.commit, s.keys.write
	s.state.commit = func(*bolt.Tx) error {
		s.keys.write = func(string, *keyring) error { return syscall.ENOSPC }
		return syscall.ENOSPC
	}
	if err := s.AddNetwork(testSettings(), testSecrets()); !errors.Is(err, ErrFull) {
		t.Errorf("error %v", err)
	}
	s.state.commit, s.keys.write = commit, write
	must(t, s.AddNetwork(testSettings(), testSecrets()))
	s = reopened(t, s)
	if got := value(s.Networks())(t); len(got) != 1 {
		t.Errorf("networks %v", got)
	}
}

func TestTryWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, tryWrite(dir))
	if left := value(os.ReadDir(dir))(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if err := tryWrite(filepath.Join(dir, "none")); err == nil {
		t.Error("no error for a directory that is missing")
	}
}
