//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ensureDir makes dir with mode 0700, or sees that it is ours alone.
func ensureDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		// Durable before anything in it is.
		return syncDir(filepath.Dir(dir))
	case !errors.Is(err, os.ErrExist):
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		return fmt.Errorf("%w: it is a symbolic link; name the directory itself", ErrUnsafe)
	case !st.IsDir():
		return fmt.Errorf("%w: it is no directory", ErrUnsafe)
	case !ok || int(sys.Uid) != os.Geteuid():
		return fmt.Errorf("%w: user %d owns it, not user %d, who runs kithd", ErrUnsafe, sys.Uid, os.Geteuid())
	case st.Mode().Perm() != 0o700:
		return fmt.Errorf("%w: its mode is %04o; chmod 0700 it once you know who could read the keys in it", ErrUnsafe, st.Mode().Perm())
	}
	return nil
}

// lockFile takes the directory's lock. It outlives no process; a holder that
// is just being killed gets half a second.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for range 50 {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if err == unix.EWOULDBLOCK {
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// replace renames durably.
func replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}
