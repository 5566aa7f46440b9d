package osconf

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds a chain of links, as the kernel does.
const maxLinks = 40

func (c Config) anyExists(paths []string) bool {
	for _, p := range paths {
		if _, err := os.Lstat(c.inRoot(p)); err == nil {
			return true
		}
	}
	return false
}

// follow resolves path link by link. The hops are as seen from the root, and
// final is where the last leads; err says that nothing is there.
func follow(cfg Config, path string) (hops []string, final string, err error) {
	for range maxLinks {
		fi, err := os.Lstat(path)
		if err != nil || fi.Mode()&os.ModeSymlink == 0 {
			return hops, path, err
		}
		target, err := os.Readlink(path)
		if err != nil {
			return hops, path, err
		}
		if filepath.IsAbs(target) {
			path = cfg.inRoot(target)
		} else {
			path = filepath.Join(filepath.Dir(path), target)
		}
		hop := path
		if cfg.Root != "" {
			hop = "/" + strings.TrimPrefix(strings.TrimPrefix(path, filepath.Clean(cfg.Root)), "/")
		}
		hops = append(hops, hop)
	}
	return hops, path, fmt.Errorf("follow %s: %w", path, unix.ELOOP)
}

// mountRoot reports whether a file system is mounted on the very file, as `ip
// netns exec` and container runtimes do.
func mountRoot(path string) bool {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS, &st); err != nil {
		return false
	}
	return st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
