package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const root = "/proc/sys"

// Get reads a setting.
func Get(key string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, key))
	return strings.TrimSpace(string(b)), err
}

// Set makes a setting be value. What it was is journalled before, once: a
// setting that another program changed back still returns to what it was first.
// It fails with ErrReadOnly in containers, with fs.ErrNotExist where the kernel
// has no such setting.
func Set(j Journal, key, value string) error {
	old, err := Get(key)
	if err != nil {
		return fmt.Errorf("read the setting %s: %w", key, err)
	}
	if old == value {
		return nil
	}
	all, err := j.Entries()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(e Entry) bool { return e.Key == key && e.New == value }) {
		return write(key, value)
	}
	if err := j.Begin(Entry{Key: key, Old: old, New: value}); err != nil {
		return err
	}
	if err := write(key, value); err != nil {
		return errors.Join(err, j.Done(key))
	}
	return nil
}

// Restore puts back what is journalled of the keys that own names, the newest
// first. What has another value by now is left to whoever gave it that.
func Restore(j Journal, own func(key string) bool) error {
	all, err := j.Entries()
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range slices.Backward(all) {
		if !own(e.Key) {
			continue
		}
		if now, err := Get(e.Key); err == nil && now == e.New {
			if err := write(e.Key, e.Old); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, j.Done(e.Key))
	}
	return errors.Join(errs...)
}

func write(key, value string) error {
	f, err := os.OpenFile(filepath.Join(root, key), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(value)
		err = errors.Join(err, f.Close())
	}
	switch {
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("set %s to %s: %w: %w", key, value, ErrReadOnly, err)
	case err != nil:
		return fmt.Errorf("set %s to %s: %w", key, value, err)
	}
	return nil
}

// Keys is the keys that match a pattern of path.Match, as * for any interface.
func Keys(pattern string) []string {
	list, _ := filepath.Glob(filepath.Join(root, pattern))
	for i, p := range list {
		list[i] = strings.TrimPrefix(p, root+"/")
	}
	return list
}
