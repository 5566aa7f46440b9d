package forward

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	maxDatagram = 4096
	tcpPatience = 1500 * time.Millisecond // for the rest of a truncated answer, where TCP may be blocked
	maxForged   = 32                      // wrong answers on one socket; past it somebody is guessing
)

var errForged = errors.New("too many answers to other questions")

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// ask puts one query to one server over network and returns an answer to it.
// A truncated one over UDP is asked for again over TCP.
func (f *Forwarder) ask(ctx context.Context, network string, server netip.AddrPort, query []byte, q question) ([]byte, error) {
	query = append([]byte(nil), query...)
	// The runtime's generator is seeded and reseeded by the OS (ChaCha8).
	binary.BigEndian.PutUint16(query, uint16(rand.Uint32()))
	if network == "tcp" {
		return f.askTCP(ctx, server, query, q)
	}
	answer, err := f.askUDP(ctx, server, query, q)
	if err != nil && !errors.Is(err, errForged) {
		return nil, err
	}
	if err == nil && answer[2]&flagTC == 0 {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tcpPatience)
	defer cancel()
	whole, tcpErr := f.askTCP(ctx, server, query, q)
	switch {
	case tcpErr == nil:
		return whole, nil
	case err == nil:
		return answer, nil // the part is better than nothing, and says that it is one
	}
	return nil, errors.Join(err, tcpErr)
}

// dial connects, and has the connection end with ctx.
func (f *Forwarder) dial(ctx context.Context, network string, server netip.AddrPort) (c net.Conn, closer func(), err error) {
	if c, err = f.cfg.Dial(ctx, network, server); err != nil {
		return nil, nil, fmt.Errorf("dial %s %v: %w", network, server, err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	return c, func() { stop(); c.Close() }, nil
}

func (f *Forwarder) askUDP(ctx context.Context, server netip.AddrPort, query []byte, q question) ([]byte, error) {
	c, done, err := f.dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := c.Write(query); err != nil {
		return nil, fmt.Errorf("ask %v: %w", server, err)
	}
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	for range maxForged {
		n, err := c.Read(buf[:])
		if err != nil {
			return nil, fmt.Errorf("wait for %v: %w", server, err)
		}
		if answer := q.reply(query, buf[:n]); answer != nil {
			if n == maxDatagram {
				answer[2] |= flagTC // there may have been more
			}
			return answer, nil
		}
	}
	return nil, fmt.Errorf("ask %v: %w", server, errForged)
}

func (f *Forwarder) askTCP(ctx context.Context, server netip.AddrPort, query []byte, q question) ([]byte, error) {
	c, done, err := f.dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer done()
	msg := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(query)), uint16(len(query)))
	if _, err := c.Write(append(msg, query...)); err != nil {
		return nil, fmt.Errorf("ask %v over TCP: %w", server, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, fmt.Errorf("wait for %v over TCP: %w", server, err)
	}
	msg = make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, msg); err != nil {
		return nil, fmt.Errorf("wait for %v over TCP: %w", server, err)
	}
	answer := q.reply(query, msg)
	if answer == nil {
		return nil, fmt.Errorf("%v answers another question over TCP", server)
	}
	return answer, nil
}
