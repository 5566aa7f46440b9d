package relay

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func furthest(t *testing.T, err error) *Error {
	t.Helper()
	var d *DialError
	if !errors.As(err, &d) {
		t.Fatalf("%v is no DialError", err)
	}
	return d.Furthest()
}

// serve runs f for each connection of a listener.
func serve(t *testing.T, f func(net.Conn)) netip.AddrPort {
	l := listen(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return addrPort(l.Addr())
}

func drain(c net.Conn) { io.Copy(io.Discard, c) }

// proxy is an HTTP proxy that connects whoever is let to addr, whatever they ask.
func proxy(t *testing.T, addr netip.AddrPort, check func(*http.Request) string) netip.AddrPort {
	return serve(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if no := check(req); no != "" {
			io.WriteString(c, no)
			return
		}
		up, err := net.Dial("tcp", addr.String())
		if err != nil {
			return
		}
		defer up.Close()
		io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
		go func() { io.Copy(c, up); c.Close() }()
		io.Copy(up, r)
	})
}

func proxyAnyone(*http.Request) string { return "" }

const refused407 = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: %s\r\nContent-Length: 2\r\n\r\nno"

func TestDialSaysWhatFailed(t *testing.T) {
	r := newRelay(t, listen(t))
	other, _, _, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	speak := func(s string) func(net.Conn) {
		return func(c net.Conn) {
			tc := tls.Server(c, serverTLS(r.cert))
			if _, err := http.ReadRequest(bufio.NewReader(tc)); err != nil {
				return
			}
			io.WriteString(tc, s)
			drain(tc)
		}
	}
	for name, c := range map[string]struct {
		at    netip.AddrPort
		host  string
		step  Step
		is    error
		words string
	}{
		"nobody":       {at: netip.MustParseAddrPort("127.0.0.1:1"), step: StepTCP, words: "refused"},
		"no name":      {host: "relay.invalid:443", step: StepName, words: "relay.invalid"},
		"hangs up":     {at: serve(t, func(net.Conn) {}), step: StepTLS},
		"no TLS":       {at: serve(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); drain(c) }), step: StepTLS, words: "not speak TLS"},
		"other key":    {at: serve(t, func(c net.Conn) { tls.Server(c, serverTLS(other)).Handshake(); drain(c) }), step: StepKey, words: "another key"},
		"404":          {at: serve(t, speak("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")), step: StepUpgrade, is: ErrNotFound},
		"503":          {at: serve(t, speak("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")), step: StepUpgrade, is: ErrFull},
		"502":          {at: serve(t, speak("HTTP/1.1 502 Bad\x07Gateway\r\n\r\n")), step: StepUpgrade, words: "502 Bad.Gateway"},
		"another 101":  {at: serve(t, speak("HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n")), step: StepUpgrade, words: "101"},
		"random":       {at: serve(t, speak("\x00\x01\x02\x03\r\n\r\n")), step: StepUpgrade},
		"endless head": {at: serve(t, speak("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20))), step: StepUpgrade, words: "too long"},
		"no answer":    {at: serve(t, func(c net.Conn) { tls.Server(c, serverTLS(r.cert)).Handshake() }), step: StepUpgrade},
	} {
		t.Run(name, func(t *testing.T) {
			target := Target{Host: c.host, Pin: r.pin}
			if c.at.IsValid() {
				target.Addrs = []netip.AddrPort{c.at}
			}
			_, err := Dial(t.Context(), direct, target, tokenOf(client(1)))
			got := furthest(t, err)
			if got.Step != c.step || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got step %v, %v", got.Step, err)
			}
		})
	}
	t.Run("wrong token", func(t *testing.T) {
		_, err := Dial(t.Context(), direct, r.target(), func([]byte) ([]byte, error) { return []byte("no"), nil })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no token", func(t *testing.T) {
		_, err := Dial(t.Context(), direct, r.target(), func([]byte) ([]byte, error) { return nil, io.ErrNoProgress })
		if !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("got %v", err)
		}
	})
	for _, bad := range []Target{{}, {Host: "relay"}, {Addrs: make([]netip.AddrPort, 3)}} {
		if _, err := Dial(t.Context(), direct, bad, nil); err == nil {
			t.Errorf("%+v was dialled", bad)
		}
	}
}

func TestProxies(t *testing.T) {
	r := newRelay(t, listen(t))
	at := addrPort(r.Addr())
	open := proxy(t, at, proxyAnyone)
	auth := proxy(t, at, func(r *http.Request) string {
		if r.Header.Get("Proxy-Authorization") == "Basic dXNlcjpwQHNz" { // user:p@ss
			return ""
		}
		return fmt.Sprintf(refused407, "Basic realm=x")
	})
	ntlm := proxy(t, at, func(*http.Request) string { return fmt.Sprintf(refused407, "NTLM\r\nProxy-Authenticate: Negotiate") })
	names := proxy(t, at, func(r *http.Request) string {
		if r.Host == "relay.example:443" {
			return "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nno DNS"
		}
		return ""
	})
	never := proxy(t, at, func(*http.Request) string { return "HTTP/1.1 403 Forbidden\r\n\r\n" })
	opener, _, _, _ := NewCertificate() // a proxy that opens TLS
	mitm := proxy(t, serve(t, func(c net.Conn) { tls.Server(c, serverTLS(opener)).Handshake(); drain(c) }), proxyAnyone)
	for name, c := range map[string]struct {
		proxy string
		step  Step
		is    error
		words string
	}{
		"open":           {proxy: "http://" + open.String()},
		"password":       {proxy: "http://user:p%40ss@" + auth.String()},
		"no password":    {proxy: "http://" + auth.String(), step: StepProxy, is: ErrProxyAuth},
		"wrong password": {proxy: "http://user:no@" + auth.String(), step: StepProxy, is: ErrProxyAuth, words: "refused"},
		"NTLM":           {proxy: "http://user:p%40ss@" + ntlm.String(), step: StepProxy, is: ErrProxyAuth, words: "NTLM, Negotiate"},
		"addresses only": {proxy: "http://" + names.String()},
		"refuses":        {proxy: "http://" + never.String(), step: StepProxy, is: errRefused, words: "403 Forbidden"},
		"opens TLS":      {proxy: "http://" + mitm.String(), step: StepKey},
		"no proxy there": {proxy: "http://127.0.0.1:1", step: StepTCP},
		"another scheme": {proxy: "socks5://127.0.0.1:1", step: StepProxy, words: "socks5"},
		"no name":        {proxy: "http://proxy.invalid:3128", step: StepTCP, words: "name: dial tcp: lookup proxy.invalid: no such host"},
	} {
		t.Run(name, func(t *testing.T) {
			d := via(c.proxy)
			d.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr == at.String() || strings.HasPrefix(addr, "relay.example") {
					return nil, errors.New("filtered")
				}
				return direct.DialContext(ctx, network, addr)
			}
			target := Target{Addrs: []netip.AddrPort{at}, Host: "relay.example:443", Pin: r.pin}
			l, err := Dial(t.Context(), d, target, tokenOf(client(1)))
			if err == nil {
				defer shut(l)
				u, _ := url.Parse(c.proxy)
				if l.Proxy() != u.Host || c.step != StepNone {
					t.Errorf("a link by proxy %q", l.Proxy())
				}
				return
			}
			got := furthest(t, err)
			if got.Step != c.step || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got step %v, %v", got.Step, err)
			}
			if strings.Contains(err.Error(), "p@ss") || strings.Contains(err.Error(), "dXNlcjpwQHNz") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestBadProxySettingIsNotTheEnd(t *testing.T) {
	r := newRelay(t, listen(t))
	d := direct
	d.Proxy = func(string) (*url.URL, error) { return nil, errors.New("bad setting") }
	l, err := Dial(t.Context(), d, r.target(), tokenOf(client(1)))
	if err != nil {
		t.Fatal(err)
	}
	shut(l)
}

// What stalls is left behind; what comes second may win.
func TestDialRaces(t *testing.T) {
	a, b, c := netip.MustParseAddrPort("[2001:db8::1]:443"), netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("192.0.2.2:443")
	type at = time.Duration
	for name, tc := range map[string]struct {
		fails  map[string]string // refused, drop (no TCP), mute (TCP, then nothing)
		host   string
		proxy  bool
		within time.Duration // 0: fails
		fail   time.Duration
		dialed map[string]at
	}{
		"first":             {within: 1, dialed: map[string]at{a.String(): 0}},
		"first refused":     {fails: map[string]string{a.String(): "refused"}, within: 1, dialed: map[string]at{a.String(): 0, b.String(): 0}},
		"first drops":       {fails: map[string]string{a.String(): "drop"}, within: 251 * time.Millisecond, dialed: map[string]at{a.String(): 0, b.String(): stagger}},
		"first mute":        {fails: map[string]string{a.String(): "mute"}, within: 251 * time.Millisecond, dialed: map[string]at{a.String(): 0, b.String(): stagger}},
		"the proxy is next": {fails: map[string]string{a.String(): "drop", b.String(): "drop", c.String(): "drop"}, proxy: true, within: 501 * time.Millisecond, dialed: map[string]at{a.String(): 0, b.String(): stagger, "proxy:3128": 2 * stagger}},
		"mute proxy": {fails: map[string]string{a.String(): "drop", b.String(): "drop", "proxy:3128": "mute"}, proxy: true, within: 751 * time.Millisecond,
			dialed: map[string]at{a.String(): 0, b.String(): stagger, "proxy:3128": 2 * stagger, c.String(): 3 * stagger}},
		"the proxy holds all back": {fails: map[string]string{a.String(): "drop", b.String(): "drop", "proxy:3128": "hold"}, proxy: true, within: 751 * time.Millisecond,
			dialed: map[string]at{a.String(): 0, b.String(): stagger, "proxy:3128": 2 * stagger, c.String(): 3 * stagger}},
		"all drop": {fails: map[string]string{a.String(): "drop", b.String(): "mute", c.String(): "drop", "proxy:3128": "mute"}, proxy: true, fail: 4*stepWithin + time.Second,
			dialed: map[string]at{a.String(): 0, b.String(): stagger, "proxy:3128": 2 * stagger, c.String(): 3 * stagger}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				r := newRelay(t, p)
				start := time.Now()
				var mu sync.Mutex
				dialed := map[string]at{}
				d := Dialer{DialContext: func(ctx context.Context, n, addr string) (net.Conn, error) {
					mu.Lock()
					if _, ok := dialed[addr]; !ok {
						dialed[addr] = time.Since(start)
					}
					mu.Unlock()
					switch tc.fails[addr] {
					case "refused":
						return nil, errors.New("refused")
					case "drop":
						<-ctx.Done()
						return nil, ctx.Err()
					case "mute":
						c, s := net.Pipe()
						go func() { drain(s); s.Close() }()
						return c, nil
					case "hold":
						c, s := net.Pipe()
						go func() {
							http.ReadRequest(bufio.NewReader(s))
							io.WriteString(s, "HTTP/1.1 200 OK\r\n\r\n")
							drain(s)
							s.Close()
						}()
						return c, nil
					}
					c, err := p.DialContext(ctx, n, addr)
					if err == nil && addr == "proxy:3128" {
						far := c
						var near net.Conn
						c, near = net.Pipe()
						go func() {
							r := bufio.NewReader(near)
							http.ReadRequest(r)
							io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
							go func() { io.Copy(near, far); near.Close() }()
							io.Copy(far, r)
							far.Close()
						}()
					}
					return c, err
				}}
				if tc.proxy {
					d.Proxy = func(string) (*url.URL, error) { return url.Parse("http://proxy:3128") }
				}
				l, err := Dial(t.Context(), d, Target{Addrs: []netip.AddrPort{a, b, c}, Host: tc.host, Pin: r.pin}, tokenOf(client(1)))
				took := time.Since(start)
				if err == nil {
					defer shut(l)
					synctest.Wait()
					if n := r.Stats().Links; n != 1 {
						t.Errorf("%d links at the relay", n)
					}
				}
				if (err == nil) != (tc.within > 0) || err == nil && took > tc.within || took > tc.within+tc.fail {
					t.Errorf("after %v: %v", took, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if diff := cmp.Diff(tc.dialed, dialed); diff != "" {
					t.Errorf("dialled (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := Dialer{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			c, s := net.Pipe()
			go func() { drain(s); s.Close() }()
			return c, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := Dial(ctx, d, Target{Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:443")}}, tokenOf(client(1)))
		if took := time.Since(start); took != 3*time.Second || !errors.Is(err, context.DeadlineExceeded) || furthest(t, err).Step != StepTLS {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestInterleave(t *testing.T) {
	parse := func(s string) (out []netip.AddrPort) {
		for _, f := range strings.Fields(s) {
			out = append(out, netip.MustParseAddrPort(f))
		}
		return out
	}
	for in, want := range map[string]string{
		"":                                      "",
		"10.0.0.1:1 10.0.0.2:1 [2001:db8::1]:1": "10.0.0.1:1 [2001:db8::1]:1 10.0.0.2:1",
		"[2001:db8::1]:1 [::ffff:10.0.0.1]:1 10.0.0.1:1 10.0.0.2:0": "[2001:db8::1]:1 10.0.0.1:1",
	} {
		if d := cmp.Diff(fmt.Sprint(parse(want)), fmt.Sprint(interleave(parse(in)))); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
}

// A hello of two packets does not pass some middleboxes.
func TestHelloFitsAPacket(t *testing.T) {
	c, s := net.Pipe()
	go tls.Client(c, clientTLS("relay.example.org", [32]byte{})).Handshake()
	b := make([]byte, 4096)
	n, err := s.Read(b)
	if c.Close(); err != nil || n > 512 {
		t.Errorf("a hello of %d bytes, %v", n, err)
	}
}
