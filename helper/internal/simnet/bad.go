package simnet

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"kith.internal/helper/internal/relay"
	"kith.internal/helper/internal/wire/udp"
)

// bad is what a host does that it should not. Its engine knows nothing of it:
// it happens between the engine and the world. The zero one does nothing.
type bad struct {
	stun []netip.AddrPort // servers that its engine is to ask

	// out and in see each datagram; they may change it, and where it goes or
	// comes from, and lose it by false.
	out, in atomic.Pointer[func(b []byte, peer netip.AddrPort) (netip.AddrPort, bool)]
	// allowance is how many bytes more each TCP connection sends before what it
	// sends is swallowed; 0 for all.
	allowance atomic.Int64
	// impostor answers TCP connections instead of the host; nil: it does itself.
	impostor atomic.Pointer[func(net.Conn)]
	// portal answers, for the whole world, the TCP connections that the host
	// makes; nil: the world does.
	portal atomic.Pointer[func(addr string) (net.Conn, error)]
}

// badConn is a UDP port of a bad host.
type badConn struct {
	udp.Conn
	bad *bad
}

// smallBatch suffices where nothing is fast.
const smallBatch = 4

func (c badConn) BatchSize() int { return smallBatch }

func (c badConn) WriteBatch(bufs [][]byte, to netip.AddrPort, src udp.Source) error {
	see := c.bad.out.Load()
	if see == nil {
		return c.Conn.WriteBatch(bufs, to, src)
	}
	for _, b := range bufs {
		b = slices.Clone(b)
		if at, ok := (*see)(b, to); ok {
			if at != to {
				src = udp.Source{}
			}
			if err := c.Conn.WriteBatch([][]byte{b}, at, src); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c badConn) Readers() (out []func([]udp.Packet) (int, error)) {
	for _, read := range c.Conn.Readers() {
		out = append(out, func(pkts []udp.Packet) (int, error) {
			for {
				n, err := read(pkts)
				see := c.bad.in.Load()
				if see == nil || err != nil {
					return n, err
				}
				kept := 0
				for i := range n {
					p := pkts[i]
					from, ok := (*see)(p.Buf[:p.N], p.Addr)
					if ok {
						p.Addr = from
						pkts[i], pkts[kept] = pkts[kept], p
						kept++
					}
				}
				if kept > 0 {
					return kept, nil
				}
			}
		})
	}
	return out
}

// badListener is a TCP port of a bad host.
type badListener struct {
	net.Listener
	bad *bad
}

func (l badListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if other := l.bad.impostor.Load(); other != nil {
			go (*other)(c)
			continue
		}
		return &stallingConn{Conn: c, bad: l.bad}, nil
	}
}

// stallingConn swallows what is sent beyond an allowance.
type stallingConn struct {
	net.Conn
	bad *bad

	mu   sync.Mutex
	sent int64 // since there is an allowance
}

func (c *stallingConn) Write(b []byte) (int, error) {
	most := c.bad.allowance.Load()
	c.mu.Lock()
	if most == 0 {
		c.sent = 0
	} else {
		c.sent += int64(len(b))
	}
	stalls := most > 0 && c.sent > most
	c.mu.Unlock()
	if stalls {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// otherKey answers as a relay with a key of its own.
func otherKey(tb testing.TB) func(net.Conn) {
	cert, _, _, err := relay.NewCertificate()
	if err != nil {
		tb.Fatal(err)
	}
	return func(c net.Conn) {
		defer c.Close()
		if err := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake(); err != nil {
			tb.Logf("the impostor's handshake: %v", err)
		}
	}
}
