package relay

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bare is a web server without pages, with the relay's TLS: what a relay looks
// like to strangers.
func bare(t *testing.T, cert tls.Certificate) string {
	l := listen(t)
	s := &http.Server{Handler: http.NewServeMux(), ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(tls.NewListener(l, serverTLS(cert))) }()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String()
}

func dialTLS(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

var date = regexp.MustCompile(`Date: [^\r]*`)

// answer is all that comes back for what a stranger sends.
func answer(t *testing.T, c net.Conn, b []byte) string {
	c.Write(b) // may be cut short
	if t, ok := c.(*tls.Conn); ok {
		t.CloseWrite()
	} else {
		c.(*net.TCPConn).CloseWrite()
	}
	got, _ := io.ReadAll(c)
	return date.ReplaceAllString(string(got), "Date: D")
}

func request(header ...string) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n" + strings.Join(header, "") + "\r\n")
}

func tokenLine(b []byte) string { return tokenHeader + ": " + encoding.EncodeToString(b) + "\r\n" }

// replay is a request that was good in a TLS session of its own.
func replay(t *testing.T, r *testRelay) []byte {
	c := dialTLS(t, r.Addr().String())
	s := c.ConnectionState()
	b, err := s.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
	if err != nil {
		t.Fatal(err)
	}
	tok, _ := tokenOf(client(9))(b)
	req := request(tokenLine(tok))
	if got := answer(t, c, req); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		t.Fatalf("a good token got %q", got)
	}
	return req
}

func TestStrangersSeeABareServer(t *testing.T) {
	r := newRelay(t, listen(t))
	plain := bare(t, r.cert)
	random := make([]byte, 2000)
	rand.Read(random)
	good, _ := tokenOf(client(9))(make([]byte, bindingSize))
	for name, b := range map[string][]byte{
		"nothing":            {},
		"a page":             []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"another page":       []byte("GET /../x//y HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a HEAD":             []byte("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a POST":             []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
		"OPTIONS":            []byte("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
		"CONNECT":            []byte("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n"),
		"HTTP/1.0":           []byte("GET / HTTP/1.0\r\n\r\n"),
		"no host":            []byte("GET / HTTP/1.1\r\n\r\n"),
		"two requests":       []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"no token":           request(),
		"an empty token":     request(tokenHeader + ": \r\n"),
		"a wrong token":      request(tokenLine(good)),
		"a replayed token":   replay(t, r),
		"a random token":     request(tokenLine(random[:64])),
		"a long token":       request(tokenLine(random[:maxToken+1])),
		"no base64":          request(tokenHeader + ": %%%%\r\n"),
		"two tokens":         request(tokenLine(good), tokenLine(good)),
		"a websocket":        []byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"),
		"random bytes":       random,
		"an HTTP/2 preface":  []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
		"huge headers":       []byte("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n"),
		"many headers":       []byte("GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 1<<20) + "\r\n"),
		"a bad header":       []byte("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"),
		"smuggled lengths":   []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"half a request":     []byte("GET / HTTP/1.1\r\nHo"),
		"frames at once":     append(keepAlive[:], 0, 1, 7),
		"a WireGuard packet": append([]byte{1, 0, 0, 0}, random[:144]...),
	} {
		t.Run(name, func(t *testing.T) {
			got, want := answer(t, dialTLS(t, r.Addr().String()), b), answer(t, dialTLS(t, plain), b)
			// What is left unread may cost the answer, on either.
			if len(b) > 1<<20 && (got == "" || want == "") {
				t.Skip("the kernel dropped an answer")
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("a bare server answers otherwise (-bare +relay):\n%s", d)
			}
		})
	}
	if n := r.Stats().Refused; n < 10 {
		t.Errorf("%d strangers counted", n)
	}
	mustDial(t, r, 1) // and members still come in
}

func TestRequestsAreBounded(t *testing.T) {
	r := newRelay(t, listen(t))
	c := dialTLS(t, r.Addr().String())
	got := answer(t, c, bytes.Repeat([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 100))
	if n := strings.Count(got, "HTTP/1.1 404 Not Found"); n > maxRequests {
		t.Errorf("%d requests of one connection were answered", n)
	}
}

func TestStrangersWithoutTLS(t *testing.T) {
	r := newRelay(t, listen(t))
	plain := bare(t, r.cert)
	for _, b := range []string{"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "SSH-2.0-x\r\n", strings.Repeat("\x16\x03\x01", 20000)} {
		var got [2]string
		for i, addr := range []string{r.Addr().String(), plain} {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
			got[i] = answer(t, c, []byte(b))
			c.Close()
		}
		if got[0] != got[1] {
			t.Errorf("%.20q: relay %q, bare %q", b, got[0], got[1])
		}
	}
	if _, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was spoken")
	}
}

// Each goes on as long as it can; none lasts past ten seconds.
func TestSlowStrangersAreBounded(t *testing.T) {
	trickle := func(c net.Conn, b string) {
		for i := 0; ; i++ {
			if _, err := c.Write([]byte{b[i%len(b)]}); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	for name, f := range map[string]func(net.Conn){
		"silence before TLS": func(c net.Conn) { io.Copy(io.Discard, c) },
		"a slow hello":       func(c net.Conn) { trickle(c, "\x16\x03\x01\x40\x00\x01\x00") },
		"silence after TLS":  func(c net.Conn) { io.Copy(io.Discard, hello(c)) },
		"slow headers":       func(c net.Conn) { c = hello(c); io.WriteString(c, "GET / HTTP/1.1\r\nX: "); trickle(c, "x") },
		"a slow body": func(c net.Conn) {
			c = hello(c)
			go io.Copy(io.Discard, c)
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n")
			trickle(c, "x")
		},
		"request upon request": func(c net.Conn) {
			c = hello(c)
			go io.Copy(io.Discard, c)
			trickle(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		},
		"no reading": func(c net.Conn) {
			c = hello(c)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			time.Sleep(time.Minute)
			io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				r := newRelay(t, p)
				start := time.Now()
				c, err := p.DialContext(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan struct{})
				go func() { defer close(done); f(c); c.Close() }()
				time.Sleep(pendingFor + 6*time.Second) // and five to say goodbye to who does not read
				synctest.Wait()
				r.gate.mu.Lock()
				n := r.gate.pending.Len()
				r.gate.mu.Unlock()
				if n != 0 {
					t.Errorf("%d connections after %v", n, time.Since(start))
				}
				<-done
			})
		})
	}
}

func hello(c net.Conn) *tls.Conn {
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	t.Handshake()
	return t
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from   netip.AddrPort
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr        { return net.TCPAddrFromAddrPort(c.from) }
func (c *fakeConn) SetDeadline(time.Time) error { return nil }
func (c *fakeConn) Close() error                { c.closed = true; return nil }

func TestGateIsBounded(t *testing.T) {
	now := time.Now()
	from := func(s string) *fakeConn { return &fakeConn{from: netip.MustParseAddrPort(s)} }
	t.Run("a source", func(t *testing.T) {
		g := newGate(nil)
		n := 0
		for i := range 1000 { // one /64
			if g.admit(from(fmt.Sprintf("[2001:db8::%x]:9", i+1)), now) != nil {
				n++
			}
		}
		if n != maxPendingSource {
			t.Errorf("%d of one source let in, not %d", n, maxPendingSource)
		}
		if g.admit(from("[2001:db8:0:1::1]:9"), now) == nil {
			t.Error("another source was refused")
		}
	})
	t.Run("in all", func(t *testing.T) {
		g := newGate(nil)
		first := from("192.0.2.1:9")
		g.admit(first, now)
		n := 0
		for i := range 20000 {
			now = now.Add(3 * time.Millisecond) // within the rate
			if g.admit(from(fmt.Sprintf("10.%d.%d.1:9", i>>8, i&255)), now) != nil {
				n++
			}
		}
		if g.pending.Len() != maxPending || len(g.sources) > maxSources {
			t.Errorf("%d pending, %d sources", g.pending.Len(), len(g.sources))
		}
		if n != 20000 || !first.closed {
			t.Errorf("%d let in; the oldest was ended: %v", n, first.closed)
		}
		n = 0
		for i := range 20000 {
			if g.admit(from(fmt.Sprintf("11.%d.%d.1:9", i>>8, i&255)), now) != nil {
				n++
			}
		}
		if n > totalBurst {
			t.Errorf("%d let in at once", n)
		}
	})
}

func TestKeyHasSixteenLinks(t *testing.T) {
	r := newRelay(t, listen(t))
	var links []*Link
	for range maxLinksKey {
		links = append(links, mustDial(t, r, 1))
	}
	mustDial(t, r, 2)
	last := mustDial(t, r, 1)
	if _, err := links[0].Read(make([]byte, 10)); err == nil {
		t.Error("the oldest link of the key lives")
	}
	for _, l := range append(links[1:], last) {
		if l.isClosed() {
			t.Error("another link of the key ended")
		}
	}
}

func TestFullRelaySaysSoToMembers(t *testing.T) {
	r := newRelay(t, listen(t))
	r.mu.Lock()
	r.n = maxLinks
	r.mu.Unlock()
	_, err := Dial(t.Context(), direct, r.target(), tokenOf(client(1)))
	if cause := furthest(t, err); cause.Err == nil || !strings.Contains(err.Error(), ErrFull.Error()) {
		t.Errorf("a full relay: %v", err)
	}
	r.mu.Lock()
	r.n = 0
	r.mu.Unlock()
}

func TestFramesBehindTheRequest(t *testing.T) {
	r := newRelay(t, listen(t))
	b := mustDial(t, r, 2)
	c := dialTLS(t, r.Addr().String())
	s := c.ConnectionState()
	bind, _ := s.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
	tok, _ := tokenOf(client(1))(bind)
	c.Write(append(request(tokenLine(tok)), 0, 2, 2, 77))
	got := make([]byte, 10)
	if n, err := b.Read(got); err != nil || !bytes.Equal(got[:n], []byte{1, 77}) {
		t.Errorf("got %v, %v", got[:n], err)
	}
}

func TestServeWantsWhatItNeeds(t *testing.T) {
	cert, keyDER, pin, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := Certificate(keyDER)
	if err != nil || same != pin || len(again.Certificate) != 1 {
		t.Errorf("the kept key gives another pin: %v", err)
	}
	if _, _, err := Certificate([]byte("x")); err == nil {
		t.Error("nonsense was read as a key")
	}
	if _, err := Serve(ServerConfig{Cert: cert}); err == nil {
		t.Error("served without a listener")
	}
}
