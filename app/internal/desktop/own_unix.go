//go:build unix

package desktop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFile locks a file for as long as it stays open.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrTaken
		}
		return nil, err
	}
	return f, nil
}

// listen opens a role's socket; one that lies there is a dead process'.
func listen(dir, role string) (net.Listener, error) {
	path := filepath.Join(dir, role+".sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // the directory is 0700 all along
		ln.Close()
		return nil, err
	}
	return ln, nil
}

func dial(dir, role string) (net.Conn, error) {
	return net.DialTimeout("unix", filepath.Join(dir, role+".sock"), patience)
}

// private refuses a directory that others own or could have written to.
func private(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || !fi.IsDir() || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not this user's directory", dir)
	}
	if fi.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// Replace runs the program at path in place of this process.
func Replace(path string, args ...string) error {
	return unix.Exec(path, append([]string{path}, args...), os.Environ())
}
