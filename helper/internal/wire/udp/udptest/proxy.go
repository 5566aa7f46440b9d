package udptest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// Proxy is an HTTP proxy on a host that knows CONNECT alone (RFC 9110 §9.3.6).
type Proxy struct {
	host    *Host
	auth    string // the Proxy-Authorization that it wants, "" for none
	l       net.Listener
	ctx     context.Context
	cancel  func()
	running sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	asked []string
}

// Proxy opens a proxy at "IP:PORT" or ":PORT". auth is the value of the header
// Proxy-Authorization without which it answers 407; "" lets all in.
func (h *Host) Proxy(addr, auth string) (*Proxy, error) {
	l, err := h.ListenTCP(addr)
	if err != nil {
		return nil, err
	}
	p := &Proxy{host: h, auth: auth, l: l, conns: map[net.Conn]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if p.hold(c) {
				p.running.Go(func() { p.serve(c) })
			}
		}
	})
	return p, nil
}

// Asked is where its clients wanted to go, "HOST:PORT" each.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// Close ends the proxy and all that goes through it.
func (p *Proxy) Close() {
	p.cancel()
	p.l.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.running.Wait()
}

// hold has Close end c; false: it is too late.
func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	in := bufio.NewReader(client)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	answer := func(code int) { fmt.Fprintf(client, "HTTP/1.1 %d %s\r\n\r\n", code, http.StatusText(code)) }
	switch {
	case r.Method != http.MethodConnect:
		answer(http.StatusMethodNotAllowed)
		return
	case p.auth != "" && r.Header.Get("Proxy-Authorization") != p.auth:
		answer(http.StatusProxyAuthRequired)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Host)
	p.mu.Unlock()
	far, err := p.host.DialTCP(p.ctx, "tcp", r.Host)
	if err != nil {
		answer(http.StatusBadGateway)
		return
	}
	if !p.hold(far) {
		return
	}
	defer p.drop(far)
	answer(http.StatusOK)
	var both sync.WaitGroup
	both.Go(func() { pass(far, in, client) })
	both.Go(func() { pass(client, far, far) })
	both.Wait()
}

// pass copies until from ends, and ends to then; where that fails it ends both.
func pass(to net.Conn, from io.Reader, source net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		source.Close()
		to.Close()
		return
	}
	to.(*tcpConn).CloseWrite()
}
