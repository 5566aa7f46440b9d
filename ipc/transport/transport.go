// Package transport is how clients and the helper reach each other on one
// machine: a Unix socket or a named pipe, and who is at the other end. It owns
// no protocol, decides nobody's rights and must not import the server or the
// client.
package transport

import (
	"context"
	"errors"
	"net"
	"os"
	"os/user"
)

// SocketEnv overrides the socket's default path.
const SocketEnv = "KITH_SOCKET"

var (
	// ErrInUse is what Listen answers where a live helper holds the socket.
	ErrInUse = errors.New("another helper is already listening")
	// ErrUntrusted is what Dial answers where the server is not who it has to be.
	ErrUntrusted = errors.New("the socket is served by someone who must not be trusted")
)

// Identity is the operating system's word on who is at the other end.
type Identity struct {
	UID   string // numeric user ID, or SID
	GID   string // numeric group ID, "" on Windows
	PID   int    // for logs alone: IDs of processes are used again
	Root  bool   // root; SYSTEM on Windows
	Admin bool   // Root, or an administrator by the OS' own notion: group admin on macOS, an elevated token on Windows
}

// Name is the login name, the UID where there is none. It may ask the
// network's directory, so it is not for the accept path.
func (i Identity) Name() string {
	if u, err := user.LookupId(i.UID); err == nil {
		return u.Username
	}
	return i.UID
}

// Conn is a connection whose other end is known.
type Conn struct {
	net.Conn
	Peer Identity
}

// Listener accepts connections, each a *Conn.
type Listener interface {
	net.Listener
	// AcceptConn is Accept with the type kept.
	AcceptConn() (*Conn, error)
}

// Path is the socket to use: the one given, else KITH_SOCKET, else the default.
func Path(given string) string {
	if given != "" {
		return given
	}
	if p := os.Getenv(SocketEnv); p != "" {
		return p
	}
	return DefaultPath
}

// Listen makes the socket at path ready for every local user. A dead helper's
// socket is replaced; a live one's is left alone, which gives ErrInUse.
func Listen(path string) (Listener, error) { return listen(path) }

// Dial connects to the helper at path. The server must run as root
// (administrators or SYSTEM on Windows), as the calling user, or as one of the
// users in trust (UIDs or SIDs).
func Dial(ctx context.Context, path string, trust ...string) (*Conn, error) {
	return dial(ctx, path, trust)
}
