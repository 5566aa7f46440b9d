package desktop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/Microsoft/go-winio"
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

// pipeName is a role's named pipe. Names are the whole machine's: dir, which is
// one user's, tells them apart.
func pipeName(dir, role string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(dir)))
	return fmt.Sprintf(`\\.\pipe\kith-app-%x-%s`, sum[:8], role)
}

// self is this account's SID.
func self() (*windows.SID, error) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, fmt.Errorf("whose process is this: %w", err)
	}
	return u.User.Sid, nil
}

// listen opens a role's pipe, to this account alone and not over the network.
// The pipe must be new: one that another account made is not served.
func listen(dir, role string) (net.Listener, error) {
	sid, err := self()
	if err != nil {
		return nil, err
	}
	return winio.ListenPipe(pipeName(dir, role), &winio.PipeConfig{
		SecurityDescriptor: fmt.Sprintf("O:%[1]sD:P(D;;GA;;;NU)(A;;GA;;;%[1]s)", sid),
	})
}

// dial opens a role's pipe. What is said there is secret, and any account can
// make a pipe of any name: this account has to own it.
func dial(dir, role string) (net.Conn, error) {
	sid, err := self()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := winio.DialPipeAccessImpLevel(ctx, pipeName(dir, role), windows.GENERIC_READ|windows.GENERIC_WRITE, winio.PipeImpLevelIdentification)
	if err != nil {
		return nil, err
	}
	owner, err := pipeOwner(conn)
	if err == nil && !owner.Equals(sid) {
		err = fmt.Errorf("another account (%s) has the pipe of this app", owner)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func pipeOwner(c net.Conn) (*windows.SID, error) {
	f, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return nil, fmt.Errorf("%T has no handle", c)
	}
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return nil, fmt.Errorf("whose pipe is this: %w", err)
	}
	owner, _, err := sd.Owner()
	if err == nil && owner == nil {
		err = errors.New("the pipe has no owner")
	}
	return owner, err
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
