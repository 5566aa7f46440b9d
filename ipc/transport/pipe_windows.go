package transport

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/windows"
)

const (
	// helloTimeout is how long a client may connect and say nothing.
	helloTimeout = 5 * time.Second
	// maxSilent bounds the clients that have said nothing yet.
	maxSilent = 64
)

var (
	advapi32                   = windows.NewLazySystemDLL("advapi32.dll")
	impersonateNamedPipeClient = advapi32.NewProc("ImpersonateNamedPipeClient")
)

// pipeListener hands a connection on once its client is known. The system names
// a pipe's client only after the first byte was read from it.
type pipeListener struct {
	net.Listener
	ready  chan *Conn
	done   chan struct{}
	silent chan struct{}

	mu  sync.Mutex
	err error
}

func newPipeListener(ln net.Listener) *pipeListener {
	l := &pipeListener{
		Listener: ln,
		ready:    make(chan *Conn),
		done:     make(chan struct{}),
		silent:   make(chan struct{}, maxSilent),
	}
	go l.run()
	return l
}

func (l *pipeListener) run() {
	defer close(l.done)
	for {
		l.silent <- struct{}{}
		c, err := l.Listener.Accept()
		if err != nil {
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			return
		}
		go l.greet(c)
	}
}

func (l *pipeListener) greet(c net.Conn) {
	conn, err := identify(c)
	<-l.silent
	if err != nil {
		c.Close()
		return
	}
	select {
	case l.ready <- conn:
	case <-l.done:
		c.Close()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (l *pipeListener) AcceptConn() (*Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.err
	}
}

// identify waits for the first byte, asks who sent it and puts it back.
func identify(c net.Conn) (*Conn, error) {
	if err := c.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return nil, err
	}
	first := make([]byte, 1)
	n, err := c.Read(first)
	if err != nil {
		return nil, err
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	id, err := clientOf(c)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: &peekedConn{Conn: c, first: first[:n]}, Peer: id}, nil
}

// clientOf reads the token of the pipe's client: its process ID would do only
// until that is used again.
func clientOf(c net.Conn) (Identity, error) {
	h, err := handleOf(c)
	if err != nil {
		return Identity{}, err
	}
	runtime.LockOSThread()
	if r, _, err := impersonateNamedPipeClient.Call(uintptr(h)); r == 0 {
		runtime.UnlockOSThread()
		return Identity{}, fmt.Errorf("see the pipe's client: %w", err)
	}
	var token windows.Token
	terr := windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
	if err := windows.RevertToSelf(); err != nil {
		// The thread stays locked and ends with its goroutine: nothing of ours
		// may run on it as someone else.
		if terr == nil {
			token.Close()
		}
		return Identity{}, fmt.Errorf("be ourselves again: %w", err)
	}
	runtime.UnlockOSThread()
	if terr != nil {
		return Identity{}, fmt.Errorf("open the client's token: %w", terr)
	}
	defer token.Close()
	return identityOf(token, h)
}

func identityOf(token windows.Token, pipe windows.Handle) (Identity, error) {
	u, err := token.GetTokenUser()
	if err != nil {
		return Identity{}, fmt.Errorf("read the client's user: %w", err)
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return Identity{}, fmt.Errorf("read the client's groups: %w", err)
	}
	id := Identity{
		UID:  u.User.Sid.String(),
		Root: u.User.Sid.IsWellKnown(windows.WinLocalSystemSid),
	}
	id.Admin = id.Root
	for _, g := range groups.AllGroups() {
		// Without elevation the group is there to deny alone.
		if g.Attributes&windows.SE_GROUP_ENABLED != 0 && g.Sid.IsWellKnown(windows.WinBuiltinAdministratorsSid) {
			id.Admin = true
		}
	}
	var pid uint32
	if windows.GetNamedPipeClientProcessId(pipe, &pid) == nil {
		id.PID = int(pid)
	}
	return id, nil
}

// peekedConn gives the byte back that was read to know the client.
type peekedConn struct {
	net.Conn
	mu    sync.Mutex
	first []byte
}

func (c *peekedConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if len(c.first) > 0 && len(b) > 0 {
		n := copy(b, c.first)
		c.first = c.first[n:]
		c.mu.Unlock()
		return n, nil
	}
	c.mu.Unlock()
	return c.Conn.Read(b)
}
