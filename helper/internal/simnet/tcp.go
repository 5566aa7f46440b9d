package simnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync"
)

// dies closes c with the process, or earlier by what it returns.
func (b *boot) dies(c func() error) func() error {
	var once sync.Once
	var err error
	end := func() error { once.Do(func() { err = c() }); return err }
	forget := b.hold(end)
	return func() error { forget(); return end() }
}

// tcpListener and tcpConn end with their process, as the system sees to it.
type tcpListener struct {
	net.Listener
	b     *boot
	close func() error
}

func (l tcpListener) Close() error { return l.close() }

func (l tcpListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tcpConn{c, l.b.dies(c.Close)}, nil
}

type tcpConn struct {
	net.Conn
	close func() error
}

func (c tcpConn) Close() error { return c.close() }

func (b *boot) ListenTCP(_ context.Context, addr string) (net.Listener, error) {
	if b.isDead() {
		return nil, net.ErrClosed
	}
	l, err := b.h.udp.ListenTCP(addr)
	if err != nil {
		return nil, err
	}
	return badListener{tcpListener{l, b, b.dies(l.Close)}, &b.h.bad}, nil
}

func (b *boot) DialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	if b.isDead() {
		return nil, net.ErrClosed
	}
	if answer := b.h.bad.portal.Load(); answer != nil {
		return (*answer)(addr)
	}
	c, err := b.h.udp.DialTCP(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return tcpConn{c, b.dies(c.Close)}, nil
}

func (b *boot) Proxy(string) (*url.URL, error) {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	if b.h.proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(b.h.proxy)
	if err != nil {
		return nil, fmt.Errorf("read the proxy's settings: %w", err)
	}
	return u, nil
}

func (b *boot) LookupHost(_ context.Context, name string) ([]netip.Addr, error) {
	return b.h.net.udp.Lookup(name)
}
