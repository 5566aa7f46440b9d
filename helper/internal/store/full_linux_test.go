package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { tasks["full"] = fillDisk }

// TestFullDisk runs fillDisk in a mount namespace of its own, which takes no
// privilege where user namespaces are allowed.
func TestFullDisk(t *testing.T) {
	cmd := childCommand(t, exec.Command(os.Args[0]), "full", t.TempDir(), 0)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// fillDisk writes to a small disk until it is full, looks for what was
// acknowledged, makes space, and goes on.
func fillDisk(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=768k"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 128<<10), 0o600); err != nil {
		return err
	}
	s, err := Open(filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	if err := s.AddNetwork(testSettings(), testSecrets()); err != nil {
		return err
	}
	told := 0
	s.OnFull(func(error) { told++ })
	acked := 0
	for ; err == nil; acked++ {
		big := record(acked)
		big.Raw = make([]byte, 3000)
		err = s.PutRecords(net1, big)
	}
	acked--
	if !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("after %d records: %w, want ErrFull", acked, err)
	}
	if err := s.Room(); told != 1 || !errors.Is(err, ErrFull) {
		return fmt.Errorf("a full disk was told %d times; room: %w", told, err)
	}
	if err := fill0(filepath.Join(dir, "rest")); err != nil {
		return err
	}
	err = s.UpdateSecrets(net1, func(x *Secrets) error { x.Phrase = ""; return nil })
	if !errors.Is(err, ErrFull) {
		return fmt.Errorf("keys on a full disk: %v", err)
	}
	if set := testSettings(); !errors.Is(s.AddNetwork(Settings{Network: net2, Alias: set.Alias}, testSecrets()), ErrFull) {
		return errors.New("a network was added on a full disk")
	}
	for range 2 { // as it runs, and opened anew, still full
		if err := checkFull(s, acked); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		if s, err = Open(filepath.Join(dir, "state")); err != nil {
			return fmt.Errorf("open on a full disk: %w", err)
		}
	}
	big := record(1_000_000)
	big.Raw = make([]byte, 64<<10) // a small one may find room in the file
	if err := s.PutRecords(net1, big); !errors.Is(err, ErrFull) {
		return fmt.Errorf("still full: %v", err)
	}
	if err := errors.Join(os.Remove(ballast), os.Remove(filepath.Join(dir, "rest"))); err != nil {
		return err
	}
	for i := range 10 {
		if err := s.PutRecords(net1, record(acked+i)); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
	}
	if err := s.UpdateSecrets(net1, func(*Secrets) error { return nil }); err != nil {
		return err
	}
	if err := s.AddNetwork(Settings{Network: net2}, testSecrets()); err != nil {
		return err
	}
	return errors.Join(checkFull(s, acked+10), s.Close())
}

// fill0 takes all the space that is left.
func fill0(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return nil
}

func checkFull(s *Store, acked int) error {
	records, err := s.Records(net1)
	if err != nil {
		return err
	}
	if len(records) != acked {
		return fmt.Errorf("%d records of %d are there", len(records), acked)
	}
	secrets, err := s.Secrets(net1)
	if err == nil && secrets.Phrase != testSecrets().Phrase {
		return errors.New("the phrase is gone, though erasing it failed")
	}
	return err
}
