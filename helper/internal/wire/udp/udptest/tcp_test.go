package udptest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// dialled is a connection from h to a listener on s, whose end is given too.
func (w *world) dialled(h, s *Host, addr string) (client, server net.Conn) {
	w.t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	l, err := s.ListenTCP(":" + port)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	if client, err = h.DialTCP(w.t.Context(), "tcp", addr); err != nil {
		w.t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// TestTCPCarries: all bytes arrive in order, over a NAT, whatever is lost.
func TestTCPCarries(t *testing.T) {
	for _, loss := range []float64{0, 0.05, 0.2} {
		for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
			t.Run(fmt.Sprint(loss, delay), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					h, r, outer := w.home(1, &Masquerade)
					s, ats := w.public("s")
					r.outside.segment.SetDelay(delay)
					client, server := w.dialled(h, s, ats.String()+":443")
					if got := server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != outer {
						t.Errorf("the server sees %v, want %v", got, outer)
					}
					r.outside.segment.SetLoss(loss)
					dice := rand.New(rand.NewPCG(1, 1))
					for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
						sent := make([]byte, 300_000)
						for i := range sent {
							sent[i] = byte(dice.Uint32())
						}
						began := time.Now()
						go func() {
							for b := sent; len(b) > 0; {
								n := min(len(b), 7000)
								if _, err := from.Write(b[:n]); err != nil {
									t.Error(err)
								}
								b = b[n:]
							}
							from.(*tcpConn).CloseWrite()
						}()
						got, err := io.ReadAll(to)
						if err != nil || !bytes.Equal(got, sent) {
							t.Errorf("%d bytes arrived of %d, alike %v: %v", len(got), len(sent), bytes.Equal(got, sent), err)
						}
						t.Logf("%d bytes in %v", len(got), time.Since(began))
					}
				})
			})
		}
	}
}

func TestTCPFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h, r, _ := w.home(1, &Masquerade)
		s, ats := w.public("s")
		dial := func(addr string, d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			c, err := h.DialTCP(ctx, "tcp", addr)
			if err == nil {
				c.Close()
			}
			return err
		}
		l, err := s.ListenTCP(":443")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ListenTCP(ats.String() + ":443"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a port twice: %v", err)
		}
		if err := dial(ats.String()+":443", time.Second); err != nil {
			t.Errorf("an open port: %v", err)
		}
		if err := dial(ats.String()+":80", time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a closed port: %v", err)
		}
		s.SetFirewall(true, 443)
		if err := dial(ats.String()+":80", time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a walled port: %v", err)
		}
		if err := dial(ats.String()+":443", time.Second); err != nil {
			t.Errorf("a port that the wall has open: %v", err)
		}
		r.SetFilter(OnlyTCP(80))
		if err := dial(ats.String()+":443", time.Hour); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("a filtered port: %v", err)
		}
		r.SetFilter(nil)
		l.Close()
		if err := dial(ats.String()+":443", time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a listener that is closed: %v", err)
		}
		if err := dial("[2001:db8::9]:443", time.Second); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("no route: %v", err)
		}
		if err := dial("relay.test:443", time.Second); err == nil {
			t.Error("a name that is nobody's resolves")
		}
	})
}

// TestTCPStalls: a connection waits while nothing passes, and goes on; what
// changes under it resets it.
func TestTCPStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h, r, _ := w.home(1, &Symmetric)
		s, ats := w.public("s")
		client, server := w.dialled(h, s, ats.String()+":443")
		buf := make([]byte, 10)
		r.outside.segment.SetDown(true)
		if _, err := client.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		server.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := server.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read while the link is down: %v", err)
		}
		r.outside.segment.SetDown(false)
		server.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := server.Read(buf); err != nil || string(buf[:n]) != "late" {
			t.Fatalf("read after that: %q, %v", buf[:n], err)
		}
		server.SetReadDeadline(time.Time{})
		r.Rebind(p("203.0.1.9/24"))
		client.Write([]byte("x"))
		if _, err := client.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after a rebind: %v", err)
		}
	})
}

// TestTCPSlowReader: a writer waits for a reader, and nobody's memory grows.
func TestTCPSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h, _, _ := w.home(1, &Masquerade)
		s, ats := w.public("s")
		client, server := w.dialled(h, s, ats.String()+":443")
		client.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := client.Write(make([]byte, 10<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n > 3*window {
			t.Fatalf("wrote %d bytes that nobody reads: %v", n, err)
		}
		client.Close()
		got, err := io.Copy(io.Discard, server)
		if err != nil || got != int64(n) {
			t.Errorf("read %d bytes of %d: %v", got, n, err)
		}
	})
}

func TestProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h, r, _ := w.home(1, &Masquerade)
		ph, atp := w.public("proxy")
		s, ats := w.public("s")
		w.net.SetName("s.test", ats)
		r.SetFilter(func(d Datagram) bool { return d.To.Addr() == atp })
		proxy, err := ph.Proxy(":3128", "Basic eDp5")
		if err != nil {
			t.Fatal(err)
		}
		defer proxy.Close()
		l, err := s.ListenTCP(":443")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ask := func(head string) (*http.Response, net.Conn, *bufio.Reader) {
			t.Helper()
			c, err := h.DialTCP(t.Context(), "tcp4", atp.String()+":3128")
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, head+"\r\n\r\n")
			in := bufio.NewReader(c)
			a, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
			if err != nil {
				t.Fatal(err)
			}
			return a, c, in
		}
		const auth = "\r\nProxy-Authorization: Basic eDp5"
		for head, code := range map[string]int{
			"GET http://s.test/ HTTP/1.1\r\nHost: s.test" + auth:           405,
			"CONNECT s.test:443 HTTP/1.1\r\nHost: s.test:443":              407,
			"CONNECT nobody.test:443 HTTP/1.1\r\nHost: nobody.test" + auth: 502,
		} {
			a, c, _ := ask(head)
			if c.Close(); a.StatusCode != code {
				t.Errorf("%s: %d, want %d", strings.Fields(head), a.StatusCode, code)
			}
		}
		a, c, in := ask("CONNECT s.test:443 HTTP/1.1\r\nHost: s.test:443" + auth)
		defer c.Close()
		if a.StatusCode != 200 {
			t.Fatalf("connect: %d", a.StatusCode)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "there\n")
		if got, _ := bufio.NewReader(far).ReadString('\n'); got != "there\n" {
			t.Errorf("through the proxy: %q", got)
		}
		io.WriteString(far, "back\n")
		far.Close()
		if got, err := io.ReadAll(in); string(got) != "back\n" || err != nil {
			t.Errorf("back through the proxy: %q, %v", got, err)
		}
	})
}
