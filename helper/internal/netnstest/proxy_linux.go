package netnstest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy is an HTTP proxy that knows CONNECT alone.
type Proxy struct {
	host    *Host
	Tunnels atomic.Int64 // opened so far

	mu    sync.Mutex
	conns map[net.Conn]bool
	over  bool
}

// Proxy starts an HTTP proxy on h; it ends with the test. It passes nothing on
// to a port but 443.
func (h *Host) Proxy(at netip.AddrPort) *Proxy {
	h.bed.t.Helper()
	p := &Proxy{host: h, conns: map[net.Conn]bool{}}
	var l net.Listener
	var err error
	h.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		h.bed.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(c) })
		}
	})
	h.bed.t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.over = true
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		running.Wait()
	})
	return p
}

// keep is false when the proxy has ended.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.over
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	c.Close()
}

func (p *Proxy) serve(c net.Conn) {
	defer p.forget(c)
	if !p.keep(c) {
		return
	}
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if _, port, _ := net.SplitHostPort(r.Host); r.Method != http.MethodConnect || port != "443" {
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	var far net.Conn
	// A goroutine of net's own would dial outside: Host must be an address.
	entered := p.host.inside(func() { far, err = net.DialTimeout("tcp", r.Host, 5*time.Second) })
	if err != nil || entered != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer p.forget(far)
	if !p.keep(far) {
		return
	}
	p.Tunnels.Add(1)
	io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	done := make(chan bool, 2)
	pass := func(to, from net.Conn, r io.Reader) {
		io.Copy(to, r)
		to.Close()
		from.Close()
		done <- true
	}
	go pass(far, c, in)
	pass(c, far, far)
	<-done
	<-done
}
