package stun

import (
	"net/netip"
	"time"
)

const (
	maxOutstanding = 64
	// answerWithin is how long an answer is waited for: a request is repeated
	// by a new one, never the same again.
	answerWithin = 5 * time.Second
)

// Client remembers which requests are out. Its zero value is ready. It is not
// safe for concurrent use.
type Client struct {
	out map[TxID]request
}

type request struct {
	server netip.AddrPort
	sent   time.Time
}

// Request is a new binding request for server, to be sent at once. nil: too
// many are out.
func (c *Client) Request(server netip.AddrPort, now time.Time) []byte {
	if c.out == nil {
		c.out = make(map[TxID]request)
	}
	for id, r := range c.out {
		if now.Sub(r.sent) > answerWithin {
			delete(c.out, id)
		}
	}
	if len(c.out) >= maxOutstanding {
		return nil
	}
	id := NewTxID()
	c.out[id] = request{plain(server), now}
	return Request(id)
}

// Response takes a datagram that came from an address. It counts only if it
// answers a request that went there; an error that comes with ok is of the
// server's making and worth telling.
func (c *Client) Response(b []byte, from netip.AddrPort, now time.Time) (a Answer, ok bool, err error) {
	id, mapped, err := Parse(b)
	r, known := c.out[id]
	if !known || r.server != plain(from) {
		return Answer{}, false, nil
	}
	delete(c.out, id)
	if now.Sub(r.sent) > answerWithin {
		return Answer{}, false, nil
	}
	return Answer{Server: r.server, Mapped: mapped, RTT: now.Sub(r.sent)}, true, err
}

func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
