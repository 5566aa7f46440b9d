package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// DefaultPath is where the helper listens. Only administrators can make pipes
// under this prefix, so nobody else can serve it.
const DefaultPath = `\\.\pipe\ProtectedPrefix\Administrators\kith`

const (
	// clientAccess is to read, write and look, without FILE_APPEND_DATA: on a
	// pipe that is the right to make another instance and so to serve it.
	clientAccess = 0x12019b
	// sddl denies network logons and lets SYSTEM and administrators do all,
	// authenticated users connect.
	sddl = "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;AU)"
	// ownerAdmins has administrators own the pipe, whom every client trusts,
	// and not the one of them who runs kithd in the foreground.
	ownerAdmins = "O:BA"
)

func listen(path string) (Listener, error) {
	cfg := winio.PipeConfig{
		SecurityDescriptor: ownerAdmins + sddl,
		InputBufferSize:    64 << 10,
		OutputBufferSize:   64 << 10,
	}
	ln, err := winio.ListenPipe(path, &cfg)
	if errors.Is(err, windows.ERROR_INVALID_OWNER) { // we are no administrator: ours alone
		cfg.SecurityDescriptor = sddl
		ln, err = winio.ListenPipe(path, &cfg)
	}
	// The first instance asks to be the first, so a pipe that is there is
	// refused, whoever made it.
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_PIPE_BUSY) {
		if c, derr := dial(context.Background(), path, nil); derr == nil {
			c.Close()
			return nil, fmt.Errorf("listen on %s: %w", path, ErrInUse)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return newPipeListener(ln), nil
}

func dial(ctx context.Context, path string, trust []string) (*Conn, error) {
	// Identification: the server may see who calls, not act as the caller.
	c, err := winio.DialPipeAccessImpLevel(ctx, path, clientAccess, winio.PipeImpLevelIdentification)
	if err != nil {
		return nil, err
	}
	owner, err := pipeOwner(c)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("ask who serves %s: %w", path, err)
	}
	system := owner.IsWellKnown(windows.WinLocalSystemSid)
	admin := system || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid)
	uid := owner.String()
	if !admin && uid != ownSID() && !slices.Contains(trust, uid) {
		c.Close()
		return nil, fmt.Errorf("%w: %s belongs to %s", ErrUntrusted, path, uid)
	}
	return &Conn{Conn: c, Peer: Identity{UID: uid, Root: system, Admin: admin}}, nil
}

// handleOf is the pipe behind a connection of go-winio's.
func handleOf(c net.Conn) (windows.Handle, error) {
	f, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return 0, fmt.Errorf("%T has no handle", c)
	}
	return windows.Handle(f.Fd()), nil
}

func pipeOwner(c net.Conn) (*windows.SID, error) {
	h, err := handleOf(c)
	if err != nil {
		return nil, err
	}
	sd, err := windows.GetSecurityInfo(h, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return nil, err
	}
	owner, _, err := sd.Owner()
	if err == nil && owner == nil {
		err = errors.New("the pipe has no owner")
	}
	return owner, err
}

func ownSID() string {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return ""
	}
	return u.User.Sid.String()
}
