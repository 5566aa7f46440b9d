package relay

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what a proxy or a relay may say before the link begins.
const maxAnswer = 16 << 10

// errRefused is a proxy that may yet do as it is asked for another address.
var errRefused = errors.New("the proxy refused")

// proxyAddr is HOST:PORT of a proxy, without the user's name and password.
func proxyAddr(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := "80"
	if u.Scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// throughProxy has the proxy connect to the relay (RFC 9110 §9.3.6).
func (d Dialer) throughProxy(ctx context.Context, w way, e *Error) (net.Conn, error) {
	if s := w.proxy.Scheme; s != "http" && s != "https" {
		e.Step = StepProxy
		return nil, fmt.Errorf("proxies of scheme %q are not supported", clean(s))
	}
	var err error
	for _, target := range append([]string{w.addr}, w.more...) {
		var c net.Conn
		if c, err = d.askProxy(ctx, w.proxy, target, e); !errors.Is(err, errRefused) {
			return c, err
		}
	}
	return nil, err
}

// askProxy asks the proxy for one target.
func (d Dialer) askProxy(ctx context.Context, proxy *url.URL, target string, e *Error) (net.Conn, error) {
	e.Addr = target
	c, err := d.open(ctx, proxyAddr(proxy), e)
	if err != nil {
		return nil, err
	}
	e.Step = StepProxy
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	c.SetDeadline(time.Now().Add(stepWithin))
	if proxy.Scheme == "https" {
		t := tls.Client(c, &tls.Config{ServerName: proxy.Hostname(), NextProtos: []string{"http/1.1"}})
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, fmt.Errorf("TLS with the proxy: %w", err)
		}
		c = t
	}
	early, err := connect(c, proxy.User, target)
	if err != nil {
		c.Close()
		return nil, err
	}
	if len(early) > 0 {
		return &earlyConn{c, prefixed{early, c}}, nil
	}
	return c, nil
}

func connect(c net.Conn, user *url.Userinfo, target string) (early []byte, err error) {
	req := &http.Request{Method: http.MethodConnect, Host: target, URL: &url.URL{Opaque: target}, Header: http.Header{}}
	req.Header.Set("User-Agent", "") // none: it would name us
	if user != nil {
		password, _ := user.Password()
		b := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+b) // RFC 7617
	}
	res, early, err := ask(c, req)
	if err != nil {
		return nil, fmt.Errorf("ask the proxy: %w", err)
	}
	switch {
	case res.StatusCode/100 == 2: // RFC 9110 §9.3.6
		return early, nil
	case res.StatusCode != http.StatusProxyAuthRequired:
		return nil, fmt.Errorf("%w: it answered %s", errRefused, clean(res.Status))
	case user == nil:
		return nil, ErrProxyAuth
	case !offersBasic(res.Header):
		return nil, fmt.Errorf("%w, but not by Basic: it offers %s", ErrProxyAuth, clean(strings.Join(res.Header["Proxy-Authenticate"], ", ")))
	}
	return nil, fmt.Errorf("%w; what it was given it refused", ErrProxyAuth)
}

func offersBasic(h http.Header) bool {
	for _, v := range h["Proxy-Authenticate"] {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(v), " "); strings.EqualFold(scheme, "Basic") {
			return true
		}
	}
	return false
}

// ask sends a request and reads the answer's head; early is what came behind it.
func ask(c net.Conn, req *http.Request) (res *http.Response, early []byte, err error) {
	if err := req.Write(c); err != nil {
		return nil, nil, err
	}
	limit := &io.LimitedReader{R: c, N: maxAnswer}
	r := bufio.NewReader(limit)
	if res, err = http.ReadResponse(r, req); err != nil {
		if limit.N <= 0 {
			err = errors.New("the answer's head is too long")
		} else if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = errors.New("the connection was closed without an answer")
		}
		return nil, nil, err
	}
	if n := r.Buffered(); n > 0 {
		early, _ = r.Peek(n)
	}
	return res, early, nil
}

// earlyConn is a connection of which some was read already.
type earlyConn struct {
	net.Conn
	r prefixed
}

func (c *earlyConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// upgrade asks the relay for a link; early is what came behind its yes.
func upgrade(c *tls.Conn, host string, token func([]byte) ([]byte, error)) (early []byte, err error) {
	b, err := binding(c)
	if err != nil {
		return nil, err
	}
	tok, err := token(b)
	if err != nil {
		return nil, fmt.Errorf("make token: %w", err)
	}
	req := &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: "/"}, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {protocol}, tokenHeader: {encoding.EncodeToString(tok)},
		"User-Agent": {""},
	}}
	res, early, err := ask(c, req)
	if err != nil {
		return nil, fmt.Errorf("ask for a link: %w", err)
	}
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols && res.Header.Get("Upgrade") == protocol:
		return early, nil
	case res.StatusCode == http.StatusNotFound:
		return nil, ErrNotFound
	case res.StatusCode == http.StatusServiceUnavailable:
		return nil, ErrFull
	}
	return nil, fmt.Errorf("the relay answered %s", clean(res.Status))
}
