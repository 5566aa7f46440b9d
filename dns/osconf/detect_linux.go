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

// inRoot is path below the root that tests have; "" is the real one.
func (c Config) inRoot(path string) string { return filepath.Join("/", c.Root, path) }

// detect finds who rules resolv.conf; nil is nobody, and it is ours to write.
func detect(cfg Config) *UnsupportedError {
	path := cfg.inRoot(resolvPath)
	if mountRoot(path) {
		return nil // a namespace's or a container's own file: no manager reaches it
	}
	hops, final, err := follow(cfg, path)
	for _, hop := range hops {
		for _, o := range owners {
			for _, dir := range o.dirs {
				if hop != dir && !strings.HasPrefix(hop, dir+"/") {
					continue
				}
				switch {
				case err == nil:
					return &UnsupportedError{o.name, "/etc/resolv.conf links to " + hop}
				case cfg.anyExists(o.programs):
					return &UnsupportedError{o.name, "/etc/resolv.conf links to " + hop + ", not written yet"}
				}
			}
		}
	}
	if err != nil {
		return nil // absent, or a link that leads nowhere: nothing answers
	}
	data, err := os.ReadFile(final)
	if err != nil || isOurs(data) {
		return nil
	}
	if by := writer(data); by != "" {
		for _, o := range owners {
			if o.name == by && cfg.anyExists(o.alive) {
				return &UnsupportedError{o.name, "it wrote /etc/resolv.conf and runs"}
			}
		}
	}
	servers := parseResolvConf(data).nameservers
	for _, o := range owners {
		if o.loopback != "" && len(servers) == 1 && servers[0].String() == o.loopback && cfg.anyExists(o.alive) {
			return &UnsupportedError{o.name, "/etc/resolv.conf names " + o.loopback + ", where it answers"}
		}
	}
	return nil
}

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
