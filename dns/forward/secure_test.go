package forward

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// authority is a certificate for "dns.example" and who vouches for it.
func authority(t *testing.T) (cert tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"dns.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, roots
}

// upstreams is resolvers over TLS and HTTPS on this host, and what came to them.
type upstreams struct {
	overTLS, overHTTPS netip.AddrPort
	roots              *x509.CertPool
	conns, queries     atomic.Int32
	mu                 sync.Mutex
	open               []net.Conn
	web                atomic.Pointer[http.HandlerFunc] // instead of the resolver
}

func (u *upstreams) drop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.open {
		c.Close()
	}
	u.open = nil
}

// counted counts connections.
type counted struct {
	net.Listener
	u *upstreams
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.u.conns.Add(1)
		l.u.mu.Lock()
		l.u.open = append(l.u.open, c)
		l.u.mu.Unlock()
	}
	return c, err
}

func serveSecure(t *testing.T) *upstreams {
	t.Helper()
	u := &upstreams{}
	var cert tls.Certificate
	cert, u.roots = authority(t)
	listen := func() (net.Listener, netip.AddrPort) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return counted{l, u}, netip.MustParseAddrPort(l.Addr().String())
	}
	answer := func(q []byte) []byte {
		u.queries.Add(1)
		return reply(q, mdns.RcodeSuccess, nil)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	var l net.Listener
	l, u.overTLS = listen()
	dot := &mdns.Server{Listener: tls.NewListener(l, config), Net: "tcp-tls", Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		b, _ := q.Pack()
		w.Write(answer(b))
	})}
	ready := make(chan struct{})
	dot.NotifyStartedFunc = func() { close(ready) }
	go dot.ActivateAndServe()
	<-ready
	t.Cleanup(func() { u.drop(); dot.Shutdown() })
	l, u.overHTTPS = listen()
	doh := &http.Server{TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if other := u.web.Load(); other != nil {
			(*other)(w, r)
			return
		}
		q, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/dns-query" || r.Host != "dns.example" || q[0] != 0 || q[1] != 0 || r.Header.Get("Content-Type") != dnsType {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", dnsType)
		w.Write(answer(q))
	})}
	go doh.ServeTLS(l, "", "")
	t.Cleanup(func() { doh.Close() })
	return u
}

// secureForwarder asks one server over TLS, and tells of what goes out in clear.
func (u *upstreams) forwarder(t *testing.T, at netip.AddrPort, how Secure) *Forwarder {
	t.Helper()
	f := New(Config{Roots: u.roots, Dial: func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
		if network != "tcp" {
			t.Errorf("%v is asked over %s", to, network)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, to.String())
	}})
	t.Cleanup(func() { f.Close() })
	f.Set(Table{Default: []netip.AddrPort{at}, Secure: map[netip.AddrPort]Secure{at: how}})
	return f
}

func TestSecure(t *testing.T) {
	u := serveSecure(t)
	for _, tt := range []struct {
		name string
		at   netip.AddrPort
		how  Secure
		ok   bool
	}{
		{"TLS", u.overTLS, Secure{Name: "dns.example"}, true},
		{"TLS, another's name", u.overTLS, Secure{Name: "other.example"}, false},
		{"HTTPS", u.overHTTPS, Secure{"dns.example", "/dns-query"}, true},
		{"HTTPS, another's name", u.overHTTPS, Secure{"other.example", "/dns-query"}, false},
		{"HTTPS, no such page", u.overHTTPS, Secure{"dns.example", "/other"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := u.forwarder(t, tt.at, tt.how)
			conns, queries := u.conns.Load(), u.queries.Load()
			for i := range 3 {
				q := query([]string{"a.test.", "b.test.", "c.test."}[i])
				got, err := f.Forward(t.Context(), q)
				if !tt.ok {
					if err == nil {
						t.Errorf("answered: %x", got)
					}
					continue
				}
				var m mdns.Msg
				if err != nil || m.Unpack(got) != nil || m.Id != 4711 || len(m.Answer) != 1 {
					t.Fatalf("%v, %v", &m, err)
				}
			}
			if tt.ok && (u.conns.Load()-conns != 1 || u.queries.Load()-queries != 3) {
				t.Errorf("%d connections for %d queries", u.conns.Load()-conns, u.queries.Load()-queries)
			}
			if !tt.ok && u.queries.Load() != queries {
				t.Error("the wrong one was told a question")
			}
		})
	}
}

// TestSecureConnectionEnds: a kept connection that the server has ended costs no
// query.
func TestSecureConnectionEnds(t *testing.T) {
	u := serveSecure(t)
	for name, at := range map[string]netip.AddrPort{"TLS": u.overTLS, "HTTPS": u.overHTTPS} {
		t.Run(name, func(t *testing.T) {
			how := Secure{Name: "dns.example"}
			if at == u.overHTTPS {
				how.Path = "/dns-query"
			}
			f := u.forwarder(t, at, how)
			for _, q := range []string{"a.test.", "b.test.", "c.test."} {
				if _, err := f.Forward(t.Context(), query(q)); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
				u.drop()
			}
		})
	}
}

// TestSecureBadAnswers: what a server over HTTPS may answer instead.
func TestSecureBadAnswers(t *testing.T) {
	u := serveSecure(t)
	elsewhere := serveSecure(t)
	send := func(kind string, b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Type", kind); w.Write(b) }
	}
	for name, h := range map[string]http.HandlerFunc{
		"a page":   send("text/html", []byte("<html>")),
		"nothing":  send(dnsType, nil),
		"garbage":  send(dnsType, make([]byte, 300)),
		"too much": send(dnsType, make([]byte, 70000)),
		"another question": func(w http.ResponseWriter, r *http.Request) {
			q := query("other.test.")
			q[0], q[1] = 0, 0
			send(dnsType, reply(q, mdns.RcodeSuccess, nil))(w, r)
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+elsewhere.overHTTPS.String()+"/dns-query", http.StatusTemporaryRedirect)
		},
	} {
		t.Run(name, func(t *testing.T) {
			u.web.Store(&h)
			f := u.forwarder(t, u.overHTTPS, Secure{"dns.example", "/dns-query"})
			if got, err := f.Forward(t.Context(), query("a.test.")); err == nil {
				t.Errorf("answered: %x", got)
			}
		})
	}
	if elsewhere.conns.Load() > 0 {
		t.Error("a redirect was followed")
	}
}
