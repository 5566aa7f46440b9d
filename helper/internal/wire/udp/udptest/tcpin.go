package udptest

import (
	"net/netip"
	"syscall"
	"time"
)

// receiveTCP hands a segment to its connection. The net is locked.
func (h *Host) receiveTCP(d Datagram) {
	s := *d.tcp
	if c := h.flows[[2]netip.AddrPort{d.To, d.From}]; c != nil {
		c.receive(s, d.Payload)
		return
	}
	if l := h.listeners[d.To.Port()]; l != nil && s.syn && !s.ack && l.takes(d.To.Addr()) {
		c := h.newConn(d.To, d.From, synReceived)
		c.listener, c.rcv = l, 1
		c.pump()
		return
	}
	if !s.rst {
		h.sendSegment(d.To, d.From, segment{rst: true, ack: true, seq: s.next, next: s.seq + 1}, nil)
	}
}

func (c *tcpConn) receive(s segment, data []byte) {
	switch {
	case s.rst && c.state == synSent:
		c.fail(syscall.ECONNREFUSED)
		return
	case s.rst:
		c.fail(syscall.ECONNRESET)
		return
	case c.state == synSent:
		if !s.syn || !s.ack {
			return
		}
		c.state, c.rcv = established, 1
	case s.syn && !s.ack: // our answer was lost
		c.sendAt(0)
		return
	case c.state == synReceived:
		if s.syn || s.next == 0 {
			return
		}
		c.state = established
		if !c.listener.offer(c) {
			c.abort()
			return
		}
	}
	c.acked(s, len(data))
	if s.syn || s.fin || len(data) > 0 {
		c.take(s, data)
	}
	c.pump()
	if c.state == gone {
		return
	}
	if c.closed && c.una == c.end() && c.eof {
		c.fail(nil)
		return
	}
	c.note()
}

// acked takes what the other side says that it has.
func (c *tcpConn) acked(s segment, data int) {
	c.peer = s.window
	switch {
	case s.next > c.una && s.next <= c.nxt:
		got := min(s.next, c.base+uint64(len(c.out))) - c.base
		c.out, c.base = c.out[got:], c.base+got
		c.una = s.next
		c.tries, c.dups, c.due = 0, 0, time.Time{}
		if c.timed != 0 && s.next >= c.timed {
			c.measure(time.Since(c.timedAt))
		} else if c.srtt > 0 {
			c.rto = minRTO + 2*c.srtt
		}
		if c.una < c.recover && c.una < c.nxt {
			c.sendAt(c.una)
		}
	case s.next == c.una && c.nxt > c.una && data == 0 && !s.fin && !s.syn:
		if c.dups++; c.dups == 3 && c.una >= c.recover {
			c.recover, c.timed = c.nxt, 0
			c.sendAt(c.una)
		}
	}
}

func (c *tcpConn) measure(rtt time.Duration) {
	if c.timed = 0; c.srtt == 0 {
		c.srtt = rtt
	}
	c.srtt += (rtt - c.srtt) / 8
	c.rto = minRTO + 2*c.srtt
}

// take keeps what came, puts it in order, and answers.
func (c *tcpConn) take(s segment, data []byte) {
	end := s.seq + uint64(len(data))
	if c.closed && len(data) > 0 && end > c.rcv {
		c.abort() // nobody will read it
		return
	}
	if len(data) > len(c.early[s.seq]) && end > c.rcv {
		c.early[s.seq] = data
	}
	if s.fin {
		c.last = end
	}
	for moved := true; moved; {
		moved = false
		for seq, b := range c.early {
			if seq > c.rcv {
				continue
			}
			delete(c.early, seq)
			if n := seq + uint64(len(b)); n > c.rcv {
				c.in = append(c.in, b[c.rcv-seq:]...)
				c.rcv, moved = n, true
			}
		}
	}
	if c.last != 0 && c.rcv == c.last && !c.eof {
		c.rcv++
		c.eof = true
	}
	c.send(segment{seq: c.nxt}, nil)
}
