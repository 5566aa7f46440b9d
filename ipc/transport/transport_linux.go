package transport

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// DefaultPath is where the helper listens.
const DefaultPath = "/run/kith/kithd.sock"

func credentials(fd int) (Identity, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Identity{}, err
	}
	root := c.Uid == 0
	return Identity{
		UID:   strconv.FormatUint(uint64(c.Uid), 10),
		GID:   strconv.FormatUint(uint64(c.Gid), 10),
		PID:   int(c.Pid),
		Root:  root,
		Admin: root,
	}, nil
}

// renameExclusive moves a file to where there is none, in one step.
func renameExclusive(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without it
		return unix.Link(from, to)
	}
	return err
}
