package osconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	maxFile   = 1 << 20 // no honest resolv.conf comes near
	tmpPrefix = ".resolv.conf.kith-"
)

// fileKind is what stands at a path.
type fileKind string

const (
	kindAbsent fileKind = "absent"
	kindFile   fileKind = "file"
	kindLink   fileKind = "link"
)

// snapshot is all that is needed to put a file back.
type snapshot struct {
	Kind   fileKind    `json:"kind"`
	Target string      `json:"target,omitempty"` // of a link, as it is written
	Data   []byte      `json:"data"`             // of the file, or of what the link leads to
	Mode   fs.FileMode `json:"mode"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	Mount  bool        `json:"mount,omitempty"` // a mount of its own
}

// gone reports whether the mount that s was read through has been taken away:
// the kernel does so when another mount namespace renames over the file below.
// What stands at path now was never ours to write.
func (s snapshot) gone(path string) bool { return s.Mount && !mountRoot(path) }

// take reads what stands at path.
func take(cfg Config, path string) (snapshot, error) {
	s := snapshot{Kind: kindAbsent, Mode: 0o644, Mount: mountRoot(path)}
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return s, err
	case fi.Mode()&fs.ModeSymlink != 0:
		s.Kind = kindLink
		if s.Target, err = os.Readlink(path); err != nil {
			return s, err
		}
		_, final, err := follow(cfg, path)
		if err != nil {
			return s, nil // dangling: there is the link alone
		}
		s.Data, err = readFile(final)
		return s, err
	case !fi.Mode().IsRegular():
		return s, fmt.Errorf("%s is no regular file", path)
	}
	s.Kind, s.Mode = kindFile, fi.Mode().Perm()
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.UID, s.GID = int(st.Uid), int(st.Gid)
	}
	s.Data, err = readFile(path)
	return s, err
}

func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not hold us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return data, err
}

// put makes path be what s says: by rename, so that no reader sees half of it;
// where a mount or a read-only directory forbids that, in place.
func (s snapshot) put(path string) error {
	fi, err := os.Lstat(path)
	isLink := err == nil && fi.Mode()&fs.ModeSymlink != 0
	switch {
	case mountRoot(path), isLink && s.Kind == kindLink: // the link was never replaced: we wrote through it
		return writeInPlace(path, s.Data)
	case s.Kind == kindAbsent:
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(filepath.Dir(path))
	}
	return s.replace(path)
}

func (s snapshot) replace(path string) error {
	tmp, err := s.makeTemp(path)
	if err == nil {
		if err = os.Rename(tmp, path); err == nil {
			return syncDir(filepath.Dir(path))
		}
		os.Remove(tmp)
	}
	for _, mayWrite := range []error{unix.EBUSY, unix.EXDEV, unix.EROFS, unix.EACCES, unix.EPERM} {
		if errors.Is(err, mayWrite) {
			if inPlace := writeInPlace(path, s.Data); inPlace != nil {
				return errors.Join(err, inPlace)
			}
			return nil
		}
	}
	return err
}

// makeTemp makes the new file or link beside path.
func (s snapshot) makeTemp(path string) (tmp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tmpPrefix+"*")
	if err != nil {
		return "", err
	}
	tmp = f.Name()
	defer func() {
		if err != nil {
			os.Remove(tmp)
		}
	}()
	defer f.Close()
	if s.Kind == kindLink {
		if err = os.Remove(tmp); err != nil {
			return tmp, err
		}
		return tmp, os.Symlink(s.Target, tmp)
	}
	if _, err = f.Write(s.Data); err != nil {
		return tmp, err
	}
	if err = f.Chown(s.UID, s.GID); err != nil && os.Geteuid() == 0 {
		return tmp, err
	}
	if err = f.Chmod(s.Mode); err != nil {
		return tmp, err
	}
	copyLabel(path, f)
	return tmp, f.Sync()
}

// copyLabel gives the new file the old one's SELinux label, where there is one:
// else confined programs could not read it.
func copyLabel(from string, to *os.File) {
	const name = "security.selinux"
	label := make([]byte, 256)
	if n, err := unix.Lgetxattr(from, name, label); err == nil {
		unix.Fsetxattr(int(to.Fd()), name, label[:n], 0)
	}
}

// writeInPlace writes over what is there, with blank lines over the rest, and
// cuts after: no reader, and no crash, finds nothing or a mixture.
func writeInPlace(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	padded := bytes.Clone(data)
	if more := fi.Size() - int64(len(data)); more > 0 && more <= maxFile {
		padded = append(padded, bytes.Repeat([]byte("\n"), int(more))...)
	}
	if _, err := f.WriteAt(padded, 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	return f.Sync()
}

// sweep removes temporary files that a crash left beside path.
func sweep(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil // no directory, no leftovers
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			errs = append(errs, os.Remove(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return errors.Join(errs...)
}
