package server

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

// counter bounds how many of something there are, in all and a user. Root has
// its own share, so that no other user can lock it out.
type counter struct {
	max, userMax int

	mu    sync.Mutex
	total int // without root's
	users map[string]int
}

func (c *counter) take(id transport.Identity) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users[id.UID] >= c.userMax || !id.Root && c.total >= c.max {
		return false
	}
	if c.users == nil {
		c.users = map[string]int{}
	}
	c.users[id.UID]++
	if !id.Root {
		c.total++
	}
	return true
}

func (c *counter) give(id transport.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users[id.UID]--; c.users[id.UID] == 0 {
		delete(c.users, id.UID)
	}
	if !id.Root {
		c.total--
	}
}

// limitListener bounds the connections and tells those above that it is busy.
type limitListener struct {
	transport.Listener
	log     *slog.Logger
	conns   counter
	refused counter // connections that linger after their refusal
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptConn()
		if err != nil {
			return nil, err
		}
		if l.conns.take(c.Peer) {
			return &limitConn{Conn: c, counter: &l.conns}, nil
		}
		l.log.Debug("too many connections", "uid", c.Peer.UID)
		l.refuse(c)
	}
}

// busy is a whole HTTP answer, since there is no request to answer to.
var busy = func() []byte {
	body, err := json.Marshal(ipc.Failure{Error: ipc.Errorf(ipc.CodeBusy, "too many programs talk to the helper at once")})
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d Busy\r\nContent-Type: application/json\r\n%s: %d\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusServiceUnavailable, ipc.ProtocolHeader, ipc.Version, len(body), body)
}()

const refusedFor = 2 * time.Second

// refuse does not wait: a fresh connection's buffer holds the answer. Closed at
// once, a client that is still writing its request would get a broken pipe and
// never read the answer, so as many as may linger are closed a little later.
func (l *limitListener) refuse(c *transport.Conn) {
	c.SetWriteDeadline(time.Now().Add(refusedFor))
	c.Write(busy)
	if !l.refused.take(c.Peer) {
		c.Close()
		return
	}
	go func() {
		defer l.refused.give(c.Peer)
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(refusedFor))
		io.Copy(io.Discard, io.LimitReader(c, 64<<10))
	}()
}

type limitConn struct {
	*transport.Conn
	counter *counter
	once    sync.Once
}

func (c *limitConn) Close() error {
	c.once.Do(func() { c.counter.give(c.Peer) })
	return c.Conn.Close()
}
