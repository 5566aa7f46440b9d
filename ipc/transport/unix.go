//go:build linux || darwin

package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// probeTimeout bounds the question whether a socket that is there is alive.
const probeTimeout = time.Second

func listen(path string) (Listener, error) {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	// The socket is born where nobody else can reach it and shown when it is
	// ready: there is no instant at which it has other than its final mode.
	tmp, err := os.MkdirTemp(dir, ".k")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the socket: %w", err)
	}
	defer os.RemoveAll(tmp)
	born := filepath.Join(tmp, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: born, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	ln.SetUnlinkOnClose(false)
	l := &unixListener{UnixListener: ln, path: path}
	// Any local user may connect: each verb asks who it is.
	if err = os.Chmod(born, 0o666); err == nil {
		if l.info, err = os.Lstat(born); err == nil {
			err = place(born, path, filepath.Join(tmp, "old"))
		}
	}
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// makeDir makes dir, and judges it where it exists: it has to be a directory in
// which nobody but root and we can replace the socket.
func makeDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the socket's directory: %w", err)
	}
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		// The umask may have been stricter than other users can live with.
		if err := os.Chmod(dir, 0o755); err != nil {
			return fmt.Errorf("open the socket's directory: %w", err)
		}
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("make the socket's directory: %w", err)
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at the socket's directory: %w", err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !fi.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", dir)
	case fi.Mode().Perm()&0o022 != 0 && fi.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("%s can be written by others", dir)
	}
	return nil
}

// place shows the socket born at its path, in place of a dead one only.
func place(born, path, old string) error {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return show(born, path)
	case err != nil:
		return err
	case fi.Mode().Type() != fs.ModeSocket:
		return errors.New("something that is not a socket is in the way")
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		conn.Close()
		return ErrInUse
	case errors.Is(err, unix.EAGAIN): // its queue is full: alive
		return ErrInUse
	case errors.Is(err, fs.ErrNotExist):
		return show(born, path)
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("ask the socket that is there: %w", err)
	}
	// Move it away rather than over it: another helper may have put a live one
	// there since, and gets it back.
	if err := os.Rename(path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if moved, err := os.Lstat(old); err == nil && !os.SameFile(moved, fi) {
		if err := renameExclusive(old, path); err != nil {
			return err
		}
		return ErrInUse
	}
	return show(born, path)
}

func show(born, path string) error {
	err := renameExclusive(born, path)
	if errors.Is(err, fs.ErrExist) {
		return ErrInUse
	}
	return err
}

type unixListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo // of our socket, to know it again
	once sync.Once
	err  error
}

func (l *unixListener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn skips connections whose peer the system cannot name: they are gone
// already.
func (l *unixListener) AcceptConn() (*Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		id, err := peer(c)
		if err != nil {
			c.Close()
			continue
		}
		return &Conn{Conn: c, Peer: id}, nil
	}
}

// Close removes the socket if it is still ours.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if fi, err := os.Lstat(l.path); err == nil && os.SameFile(fi, l.info) {
			os.Remove(l.path)
		}
		l.err = l.UnixListener.Close()
	})
	return l.err
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func dial(ctx context.Context, path string, trust []string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	// What the system answers here is who called listen, so someone who took
	// the path is known by it.
	id, err := peer(c.(*net.UnixConn))
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("ask who serves %s: %w", path, err)
	}
	if !id.Root && id.UID != strconv.Itoa(os.Geteuid()) && !slices.Contains(trust, id.UID) {
		c.Close()
		return nil, fmt.Errorf("%w: %s belongs to user %s", ErrUntrusted, path, id.UID)
	}
	return &Conn{Conn: c, Peer: id}, nil
}

// peer reads the other end's credentials through the socket's descriptor.
func peer(c *net.UnixConn) (Identity, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Identity{}, err
	}
	var id Identity
	var perr error
	if err := raw.Control(func(fd uintptr) { id, perr = credentials(int(fd)) }); err != nil {
		return Identity{}, err
	}
	return id, perr
}
