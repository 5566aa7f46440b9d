package udptest

import (
	"net/netip"
	"syscall"
	"time"

	"kith.internal/helper/internal/wire/udp"
)

// The TCP here has what programs notice of it: order, loss made good by
// retransmission (RFC 6298 and RFC 6582 in outline), flow control, half-close,
// resets, and connections that stall while nothing passes. It has no congestion
// control. Sequence numbers begin at 0 and never wrap.
const (
	mss        = 1200 // fits any path
	window     = 256 << 10
	minRTO     = 200 * time.Millisecond
	firstRTO   = time.Second
	maxRTO     = time.Minute
	synRetries = 6
	retries    = 15
	finWait    = time.Minute
)

// segment is the TCP header.
type segment struct {
	syn, ack, fin, rst bool
	seq, next          uint64 // next is what the sender waits for
	window             int
}

type tcpState uint8

const (
	synSent tcpState = iota
	synReceived
	established
	gone
)

// tcpConn is one end of a connection. The net's mutex guards all of it.
type tcpConn struct {
	host          *Host
	local, remote netip.AddrPort
	listener      *listener // that it came by; nil: it was dialled
	state         tcpState
	err           error         // why it is gone
	changed       chan struct{} // closed and made anew at each change
	closed        bool          // by its user

	out       []byte // what was written and is not acknowledged
	base      uint64 // the number of out[0]
	fin       bool   // comes after out
	una, nxt  uint64 // the first not acknowledged, the next to send
	peer      int    // the other side's window
	rto, srtt time.Duration
	timed     uint64 // when this is acknowledged a round is measured; 0: none
	timedAt   time.Time
	due       time.Time // of a retransmission; zero: nothing is under way
	armed     bool
	tries     int
	dups      int
	recover   uint64 // up to here what is missing goes again at each answer

	in    []byte
	rcv   uint64
	early map[uint64][]byte // not in order
	last  uint64            // the number of the other side's FIN; 0: none came
	eof   bool

	readBy, writeBy deadline
}

func (h *Host) newConn(local, remote netip.AddrPort, state tcpState) *tcpConn {
	c := &tcpConn{
		host: h, local: local, remote: remote, state: state, changed: make(chan struct{}),
		base: 1, rto: firstRTO, peer: window, early: map[uint64][]byte{},
		readBy: newDeadline(), writeBy: newDeadline(),
	}
	h.flows[[2]netip.AddrPort{local, remote}] = c
	return c
}

func (c *tcpConn) note() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// sendSegment sends from one address to another, as long as the host has the
// first. What cannot be sent is lost.
func (h *Host) sendSegment(from, to netip.AddrPort, s segment, data []byte) {
	w, err := h.route(to.Addr(), udp.Source{})
	if err == nil && h.owns(from.Addr()) {
		h.emit(w, Datagram{From: from, To: to, Payload: data, tcp: &s})
	}
}

func (c *tcpConn) send(s segment, data []byte) {
	s.ack = c.state != synSent
	s.next, s.window = c.rcv, max(0, window-len(c.in))
	c.host.sendSegment(c.local, c.remote, s, data)
}

// end is the number after the last that there is to send.
func (c *tcpConn) end() uint64 {
	n := c.base + uint64(len(c.out))
	if c.fin {
		n++
	}
	return n
}

// cut is the segment that begins at a number, and the number after it.
func (c *tcpConn) cut(seq uint64) (s segment, data []byte, next uint64) {
	if seq == 0 {
		return segment{syn: true}, nil, 1
	}
	rest := c.out[min(seq-c.base, uint64(len(c.out))):]
	data = rest[:min(len(rest), mss)]
	next = seq + uint64(len(data))
	if c.fin && len(data) == len(rest) {
		return segment{seq: seq, fin: true}, data, next + 1
	}
	return segment{seq: seq}, data, next
}

// sendAt sends the segment that begins at a number. Where links have no delay,
// answers to it are dealt with before it returns.
func (c *tcpConn) sendAt(seq uint64) {
	s, data, next := c.cut(seq)
	c.nxt = max(c.nxt, next)
	c.send(s, append([]byte(nil), data...))
}

// pump sends what the window allows.
func (c *tcpConn) pump() {
	switch c.state {
	case gone:
		return
	case synSent, synReceived:
		if c.nxt == 0 {
			c.sendAt(0)
		}
	case established:
		for c.state == established && c.nxt < c.end() && c.nxt-c.una < uint64(min(c.peer, window)) {
			if c.timed == 0 {
				c.timed, c.timedAt = c.nxt+1, time.Now()
			}
			c.sendAt(c.nxt)
		}
	}
	if c.state != gone && c.due.IsZero() && c.una < c.unsent() {
		c.arm()
	}
}

// unsent is the number before which all waits for an answer, or for a window.
func (c *tcpConn) unsent() uint64 {
	if c.state == established {
		return c.end()
	}
	return c.nxt
}

// arm sets the time of the next retransmission.
func (c *tcpConn) arm() {
	c.due = time.Now().Add(c.rto)
	if !c.armed {
		c.armed = true
		c.host.net.after(c.rto, c.fire)
	}
}

func (c *tcpConn) fire() {
	c.armed = false
	switch wait := time.Until(c.due); {
	case c.state == gone || c.due.IsZero():
	case wait > 0:
		c.armed = true
		c.host.net.after(wait, c.fire)
	default:
		c.timeout()
	}
}

func (c *tcpConn) timeout() {
	c.tries++
	most := retries
	if c.state != established {
		most = synRetries
	}
	if c.tries > most {
		c.fail(syscall.ETIMEDOUT)
		return
	}
	c.rto = min(2*c.rto, maxRTO)
	c.timed, c.dups = 0, 0
	c.recover = max(c.recover, c.nxt)
	c.arm()
	c.sendAt(c.una)
}

// fail ends the connection without another word; nil: in good order.
func (c *tcpConn) fail(err error) {
	if c.state == gone {
		return
	}
	c.state, c.err, c.due = gone, err, time.Time{}
	delete(c.host.flows, [2]netip.AddrPort{c.local, c.remote})
	c.note()
}

// abort resets it.
func (c *tcpConn) abort() {
	if c.state != gone {
		c.host.sendSegment(c.local, c.remote, segment{rst: true, ack: true, seq: c.nxt, next: c.rcv}, nil)
		c.fail(syscall.ECONNABORTED)
	}
}
