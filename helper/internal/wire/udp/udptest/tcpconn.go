package udptest

import (
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

var _ net.Conn = (*tcpConn)(nil)

func (c *tcpConn) Read(b []byte) (int, error) {
	mu := &c.host.net.mu
	for {
		mu.Lock()
		switch {
		case c.closed:
			mu.Unlock()
			return 0, c.op("read", net.ErrClosed)
		case c.readBy.passed():
			mu.Unlock()
			return 0, c.op("read", os.ErrDeadlineExceeded)
		case len(c.in) > 0:
			full := len(c.in) > window-mss
			n := copy(b, c.in)
			if c.in = c.in[n:]; full && len(c.in) <= window-mss {
				c.send(segment{seq: c.nxt}, nil) // there is room again
			}
			mu.Unlock()
			return n, nil
		case len(b) == 0:
			mu.Unlock()
			return 0, nil
		case c.eof:
			mu.Unlock()
			return 0, io.EOF
		case c.state == gone:
			err := c.op("read", c.err)
			mu.Unlock()
			return 0, err
		}
		changed, late := c.changed, c.readBy.passes
		mu.Unlock()
		select {
		case <-changed:
		case <-late:
		}
	}
}

func (c *tcpConn) Write(b []byte) (n int, err error) {
	mu := &c.host.net.mu
	for {
		mu.Lock()
		switch {
		case c.closed || c.fin:
			err = c.op("write", net.ErrClosed)
		case c.writeBy.passed():
			err = c.op("write", os.ErrDeadlineExceeded)
		case c.state == gone:
			err = c.op("write", c.err)
		}
		if room := window - len(c.out); err == nil && room > 0 {
			k := min(room, len(b)-n)
			c.out = append(c.out, b[n:n+k]...)
			n += k
			c.pump()
		}
		changed, late := c.changed, c.writeBy.passes
		mu.Unlock()
		if err != nil || n == len(b) {
			return n, err
		}
		select {
		case <-changed:
		case <-late:
		}
	}
}

// CloseWrite ends what is sent.
func (c *tcpConn) CloseWrite() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	c.fin = true
	c.pump()
	return nil
}

// Close ends the connection as soon as all that was written has arrived, or
// after a minute. It does not wait for that.
func (c *tcpConn) Close() error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed, c.fin = true, true
	c.readBy.stop()
	c.writeBy.stop()
	if c.state == gone {
		return nil
	}
	if c.state != established {
		c.abort()
		return nil
	}
	c.pump()
	c.note()
	c.host.net.after(finWait, func() { c.fail(nil) })
	if c.una == c.end() && c.eof {
		c.fail(nil)
	}
	return nil
}

func (c *tcpConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *tcpConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *tcpConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *tcpConn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readBy, t) }
func (c *tcpConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

func (c *tcpConn) setDeadline(d *deadline, t time.Time) error {
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	if c.closed {
		return c.op("set", net.ErrClosed)
	}
	d.set(t)
	return nil
}

func (c *tcpConn) op(what string, err error) error {
	if err == nil {
		err = net.ErrClosed
	}
	return &net.OpError{Op: what, Net: network(c.remote.Addr()), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// deadline is a time that may be set anew while others wait for it. Its user
// guards it.
type deadline struct {
	timer  *time.Timer
	passes chan struct{} // closed when it has passed
}

func newDeadline() deadline { return deadline{passes: make(chan struct{})} }

func (d *deadline) set(t time.Time) {
	d.stop()
	if d.passed() {
		d.passes = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	passes := d.passes
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(passes) })
		return
	}
	close(passes)
}

func (d *deadline) stop() {
	if d.timer != nil && !d.timer.Stop() {
		<-d.passes // about to be closed
	}
	d.timer = nil
}

func (d *deadline) passed() bool {
	select {
	case <-d.passes:
		return true
	default:
		return false
	}
}
