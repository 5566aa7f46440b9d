package wire

import (
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

// Link carries whole datagrams over a stream, to or from a relay.
type Link interface {
	// Read reads one datagram; what does not fit into b is an error.
	Read(b []byte) (int, error)
	// Write never blocks: it queues, and drops what does not fit.
	Write(bufs [][]byte) error
	Close() error
}

// Attach takes over a link that the peer has opened, as OpenToken has found:
// the wire reads it until it ends, and closes it.
func (w *Wire) Attach(id key.Public, l Link) { l.Close() }

// OpenToken tells whose token it is that a stream was opened with; binding is
// what both ends of the stream alone know.
func (w *Wire) OpenToken(token, binding []byte) (key.Public, bool) { return key.Public{}, false }

// AddConn has the wire read a further UDP port, of which pongs leave too. The
// port stays the caller's; remove gives it back.
func (w *Wire) AddConn(c udp.Conn) (remove func()) { return func() {} }
