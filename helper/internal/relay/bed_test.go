package relay

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kith.internal/helper/internal/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret stands for what a wire shares with its peers: a token is the key and
// the binding sealed with it.
var secret = []byte("shared")

func tokenOf(id key.Public) func([]byte) ([]byte, error) {
	return func(binding []byte) ([]byte, error) {
		m := hmac.New(sha256.New, secret)
		m.Write(id[:])
		m.Write(binding)
		return m.Sum(id[:]), nil
	}
}

func openToken(token, binding []byte) (key.Public, bool) {
	if len(token) != 64 {
		return key.Public{}, false
	}
	id := key.Public(token[:32])
	want, _ := tokenOf(id)(binding)
	return id, bytes.Equal(want, token)
}

// testRelay is a relay that passes on what it gets: the first byte of a datagram
// names the client that it is for, and becomes the one that it is from.
type testRelay struct {
	*Server
	pin  [32]byte
	cert tls.Certificate
	wg   sync.WaitGroup

	mu       sync.Mutex
	attached *sync.Cond
	links    map[byte]*Link
}

func newRelay(tb testing.TB, l net.Listener) *testRelay {
	tb.Helper()
	cert, _, pin, err := NewCertificate()
	if err != nil {
		tb.Fatal(err)
	}
	r := &testRelay{pin: pin, cert: cert, links: map[byte]*Link{}}
	r.attached = sync.NewCond(&r.mu)
	if r.Server, err = Serve(ServerConfig{Listener: l, Cert: cert, Open: openToken, Attach: r.attach}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close(); r.wg.Wait() })
	return r
}

func (r *testRelay) attach(id key.Public, l *Link) {
	r.mu.Lock()
	r.links[id[0]] = l
	r.attached.Broadcast()
	r.mu.Unlock()
	r.wg.Go(func() {
		defer l.Close()
		b := make([]byte, MaxFrame)
		one := make([][]byte, 1)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			r.mu.Lock()
			to := r.links[b[0]]
			r.mu.Unlock()
			if b[0] = id[0]; to != nil {
				one[0] = b[:n]
				to.Write(one)
			}
		}
	})
}

func (r *testRelay) target() Target {
	return Target{Addrs: []netip.AddrPort{addrPort(r.Addr())}, Pin: r.pin}
}

func addrPort(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

func client(i byte) key.Public { return key.Public{i, 1, 2, 3} }

// direct dials without proxies. No name is looked up.
var direct = Dialer{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, _, _ := net.SplitHostPort(addr); strings.HasSuffix(host, ".invalid") {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}}

func via(proxy string) Dialer {
	d := direct
	d.Proxy = func(string) (*url.URL, error) { return url.Parse(proxy) }
	return d
}

func mustDial(tb testing.TB, r *testRelay, i byte) *Link {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	l, err := Dial(ctx, direct, r.target(), tokenOf(client(i)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { shut(l) })
	r.link(i)
	return l
}

// link waits for the relay's end of a client's link.
func (r *testRelay) link(i byte) *Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.links[i] == nil {
		r.attached.Wait()
	}
	return r.links[i]
}

// shut closes a link and waits for its end.
func shut(l *Link) {
	l.Close()
	<-l.gone
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// pipes is a listener in memory, with a dialer.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

func (p *pipes) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- b:
		return a, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
