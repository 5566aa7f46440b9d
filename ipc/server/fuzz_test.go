package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

// pipes is a listener whose clients are in this process.
type pipes struct {
	conns chan *transport.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) { return p.AcceptConn() }

func (p *pipes) AcceptConn() (*transport.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func newPipes() *pipes {
	return &pipes{conns: make(chan *transport.Conn), done: make(chan struct{})}
}

// servePipes runs a server until the test ends, in its bubble if it has one.
func servePipes(t *testing.T, s *Server) *pipes {
	t.Helper()
	p := newPipes()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, p) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return p
}

// dial connects as user 1.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- &transport.Conn{Conn: theirs, Peer: transport.Identity{UID: "1"}}
	return ours
}

// talk writes what it can, then reads to the end.
func (p *pipes) talk(in []byte) []byte {
	c := p.dial()
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	go func() {
		c.Write(in)
		// A half-closed pipe does not exist; this makes any request end.
		c.Write([]byte("\r\n\r\n\x00\r\n\r\n"))
	}()
	out, _ := io.ReadAll(c)
	return out
}

// FuzzSocket sends bytes to a server. Whatever they are, it goes on answering,
// and no verb that the authorizer forbids is reached.
func FuzzSocket(f *testing.F) {
	head := "Host: kith\r\nKith-Protocol: 1\r\nContent-Type: application/json\r\n"
	f.Add([]byte(request("GET /v1/status", head, "")))
	f.Add([]byte(request("POST /v1/up", head, `{"network":"home"}`)))
	f.Add([]byte(request("POST /v1/down", head, `{"network":"home"}`)))
	f.Add([]byte(request("POST /v1/up", head, `{"network":1}`) + request("GET /v1/version", head, "")))
	f.Add([]byte("POST /v1/up HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.0"))
	f.Add([]byte("\x16\x03\x01\x00"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := New(Config{
				Source: NewBoard(&ipc.Status{}),
				Authorizer: policy{authorize: func(_ transport.Identity, v ipc.Verb) error {
					if v == ipc.VerbDown || v == ipc.VerbWatch {
						return ipc.Errorf(ipc.CodePermission, "no")
					}
					return nil
				}},
				Limits: Limits{Read: 200 * time.Millisecond, Idle: 200 * time.Millisecond},
			})
			Handle(s, ipc.VerbUp, func(_ context.Context, _ Caller, r ipc.NetworkRequest) (ipc.Status, error) { return ipc.Status{}, nil })
			Handle(s, ipc.VerbDown, func(context.Context, Caller, ipc.NetworkRequest) (ipc.Status, error) {
				t.Error("a forbidden verb was reached")
				return ipc.Status{}, nil
			})
			p := servePipes(t, s)
			out := p.talk(in)
			if len(out) > 0 && !bytes.HasPrefix(out, []byte("HTTP/1.")) {
				t.Errorf("an answer that is none: %q", out)
			}
			out = p.talk([]byte(request("GET /v1/version", "Host: kith\r\nConnection: close\r\n", "")))
			if !bytes.HasPrefix(out, []byte("HTTP/1.1 200 ")) {
				t.Errorf("afterwards a good request got %q", out)
			}
		})
	})
}

// FuzzDecode: what is taken for a request is one JSON object in UTF-8 that
// means the same when it is read again.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"network":"a","host":"b","count":3,"until_direct":true}`, `{"count":1e3}`, `{"count":1}{}`, `[]`, `null`, "{\"network\":\"\xff\"}", `{"Network":"a"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r ipc.PingRequest
		if decode(in, &r) != nil {
			return
		}
		if !json.Valid(in) {
			t.Errorf("accepted what is not JSON: %q", in)
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var r2 ipc.PingRequest
		if err := decode(again, &r2); err != nil || r2 != r {
			t.Errorf("%q read as %+v, then as %+v, %v", in, r, r2, err)
		}
	})
}
