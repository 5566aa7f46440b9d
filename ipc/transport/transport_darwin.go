package transport

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the helper listens.
const DefaultPath = "/var/run/kith/kithd.sock"

const adminGroup = 80 // "admin" in every macOS

func credentials(fd int) (Identity, error) {
	c, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return Identity{}, err
	}
	pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return Identity{}, err
	}
	groups := c.Groups[:min(max(int(c.Ngroups), 0), len(c.Groups))]
	id := Identity{
		UID:   strconv.FormatUint(uint64(c.Uid), 10),
		PID:   pid,
		Root:  c.Uid == 0,
		Admin: c.Uid == 0 || slices.Contains(groups, adminGroup),
	}
	if len(groups) > 0 {
		id.GID = strconv.FormatUint(uint64(groups[0]), 10)
	}
	return id, nil
}

// renameExclusive moves a file to where there is none, in one step.
func renameExclusive(from, to string) error {
	return unix.RenameatxNp(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCL)
}
