package desktop

import (
	"errors"
	"os"
	"os/exec"

	"golang.org/x/sys/windows"
)

// lockFile locks a file for as long as it stays open.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	var at windows.Overlapped
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if err != nil {
		f.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			err = ErrTaken
		}
		return nil, err
	}
	return f, nil
}

// private has nothing to do: %LocalAppData% is the user's alone by its ACL.
func private(string) error { return nil }

// Replace starts the program at path and ends this process.
func Replace(path string, args ...string) error {
	if err := exec.Command(path, args...).Start(); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}
