package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// writeFile puts b at path as a whole or not at all, durably.
func writeFile(path string, b []byte) error {
	tmp := path + newSuffix
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = replace(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// full marks errors of a full disk. bbolt keeps the cause of some as text
// alone, so what is left unclear is tried out.
func full(dir string, err error) error {
	var path *fs.PathError
	switch {
	case err == nil || errors.Is(err, ErrFull):
		return err
	case isFull(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.As(err, &path), typed(err):
		return err
	}
	if cause := tryWrite(dir); cause != nil && isFull(cause) {
		return fmt.Errorf("%w: %w (%v)", ErrFull, cause, err)
	}
	return err
}

func typed(err error) bool {
	for _, e := range []error{ErrLocked, ErrDamaged, ErrVersion, ErrUnsafe, ErrNotFound, ErrExists, ErrUsedUp, ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// tryWrite tells why dir takes no more data.
func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, "probe*"+newSuffix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Sync(), f.Close())
}
