package forward

import (
	"bytes"
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

var (
	errForged  = errors.New("too many answers to other questions")
	errMangled = errors.New("the answer spells the name otherwise")
	errBroken  = errors.New("malformed answer")
)

// plainFor is how long a server that does not keep a name's spelling is asked in
// plain small letters.
const plainFor = time.Hour

var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// response is an answer that passed the checks.
type response struct {
	msg []byte
	shape
}

// ask puts one query to one server over network. An answer over UDP that is cut,
// or that somebody may have forged, is asked for again over TCP.
func (f *Forwarder) ask(ctx context.Context, network string, s *server, r *request) (response, error) {
	if s.secure != nil {
		return s.secure.ask(ctx, r)
	}
	query := append([]byte(nil), r.msg...)
	// The runtime's generator is seeded and reseeded by the OS (ChaCha8).
	binary.BigEndian.PutUint16(query, uint16(rand.Uint32()))
	if !f.asksPlain(s) {
		mixCase(query, r.end)
	}
	if network == "tcp" {
		return f.askTCP(ctx, s.addr, query, r)
	}
	got, err := f.askUDP(ctx, s.addr, query, r)
	switch {
	case err == nil && got.msg[2]&flagTC == 0:
		return got, nil
	case err != nil && !errors.Is(err, errForged) && !errors.Is(err, errMangled):
		return response{}, err
	}
	if errors.Is(err, errMangled) {
		f.askPlain(s)
	}
	tcp, cancel := context.WithTimeout(ctx, tcpPatience)
	defer cancel()
	whole, tcpErr := f.askTCP(tcp, s.addr, query, r)
	if tcpErr != nil && errors.Is(err, errMangled) {
		return f.again(ctx, s, r)
	}
	switch {
	case tcpErr == nil:
		return whole, nil
	case err == nil:
		return got, nil // the part is better than nothing, and says that it is one
	}
	return response{}, errors.Join(err, tcpErr)
}

// again asks a server in plain letters that answers over UDP alone.
func (f *Forwarder) again(ctx context.Context, s *server, r *request) (response, error) {
	query := append([]byte(nil), r.msg...)
	binary.BigEndian.PutUint16(query, uint16(rand.Uint32()))
	return f.askUDP(ctx, s.addr, query, r)
}

func (f *Forwarder) asksPlain(s *server) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.plain.After(time.Now())
}

func (f *Forwarder) askPlain(s *server) {
	f.mu.Lock()
	s.plain = time.Now().Add(plainFor)
	f.mu.Unlock()
	f.cfg.Log.Debug("upstream resolver does not keep the spelling of names", "server", s.addr)
}

// dial connects, and has the connection end with ctx.
func (f *Forwarder) dial(ctx context.Context, network string, server netip.AddrPort) (c net.Conn, closer func(), err error) {
	if c, err = f.cfg.Dial(ctx, network, server); err != nil {
		return nil, nil, fmt.Errorf("dial %s %v: %w", network, server, err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	return c, func() { stop(); c.Close() }, nil
}

func (f *Forwarder) askUDP(ctx context.Context, server netip.AddrPort, query []byte, r *request) (response, error) {
	c, done, err := f.dial(ctx, "udp", server)
	if err != nil {
		return response{}, err
	}
	defer done()
	if _, err := c.Write(query); err != nil {
		return response{}, fmt.Errorf("ask %v: %w", server, err)
	}
	buf := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buf)
	for range maxForged {
		n, err := c.Read(buf[:])
		if err != nil {
			return response{}, fmt.Errorf("wait for %v: %w", server, err)
		}
		answer, s, v := r.reply(query, buf[:n])
		switch {
		case v == mangled && !bytes.Equal(query[headerLen:r.end], r.msg[headerLen:r.end]):
			return response{}, fmt.Errorf("ask %v: %w", server, errMangled)
		case v == broken:
			return response{}, fmt.Errorf("ask %v: %w", server, errBroken)
		case v != stray:
			if n == maxDatagram {
				answer[2] |= flagTC // there may have been more
			}
			return response{answer, s}, nil
		}
	}
	return response{}, fmt.Errorf("ask %v: %w", server, errForged)
}

func (f *Forwarder) askTCP(ctx context.Context, server netip.AddrPort, query []byte, r *request) (response, error) {
	c, done, err := f.dial(ctx, "tcp", server)
	if err != nil {
		return response{}, err
	}
	defer done()
	msg := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(query)), uint16(len(query)))
	if _, err := c.Write(append(msg, query...)); err != nil {
		return response{}, fmt.Errorf("ask %v over TCP: %w", server, err)
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return response{}, fmt.Errorf("wait for %v over TCP: %w", server, err)
	}
	msg = make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, msg); err != nil {
		return response{}, fmt.Errorf("wait for %v over TCP: %w", server, err)
	}
	switch answer, s, v := r.reply(query, msg); v {
	case stray:
		return response{}, fmt.Errorf("%v answers another question over TCP", server)
	case broken:
		return response{}, fmt.Errorf("ask %v over TCP: %w", server, errBroken)
	default: // nobody forges a stream, so the spelling does not matter
		return response{answer, s}, nil
	}
}
