package stub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	tcpIdle      = 10 * time.Second // between queries (RFC 7766 §6.2.3)
	tcpWrite     = 5 * time.Second
	tcpQueries   = 1000 // a connection, then it is closed
	maxTCPAnswer = 1<<16 - 1
	udpFaults    = 16 // errors in a row until the socket is opened anew
)

var packets = sync.Pool{New: func() any { return new([maxQuery]byte) }}

// serveUDP answers what memory can answer at once, in the reading goroutine:
// that costs less than handing it to another.
func (s *Server) serveUDP(pc PacketConn) error {
	sc := newScratch()
	sc.memo.on = true
	var in [maxQuery + 1]byte
	faults := 0
	for {
		n, src, err := pc.ReadFromUDPAddrPort(in[:])
		if err != nil {
			if faults++; errors.Is(err, net.ErrClosed) || faults >= udpFaults {
				return err
			}
			continue
		}
		faults = 0
		who := s.asker(src.Addr())
		if n > maxQuery || who == stranger {
			continue
		}
		out, foreign := sc.answer(s.zones.Load(), in[:n])
		switch {
		case foreign && who == member:
			out = refused(sc.over.failed)
		case foreign:
			out = s.forwardUDP(pc, src, in[:n], sc.over)
		}
		if len(out) > 0 {
			pc.WriteToUDPAddrPort(out, src)
		}
	}
}

// forwardUDP hands a query on, or says why not.
func (s *Server) forwardUDP(pc PacketConn, src netip.AddrPort, query []byte, h handover) []byte {
	if s.cfg.Forward == nil {
		return h.failed
	}
	select {
	case s.forwards <- struct{}{}:
	default:
		s.cfg.Log.Debug("too many queries at upstreams", "limit", maxForwards)
		return h.failed
	}
	buf := packets.Get().(*[maxQuery]byte)
	n := copy(buf[:], query)
	s.work.Go(func() {
		defer func() { packets.Put(buf); <-s.forwards }()
		if out := s.forward(s.ctx, buf[:n], h); out != nil {
			pc.WriteToUDPAddrPort(out, src)
		}
	})
	return nil
}

func (s *Server) serveTCP(ctx context.Context, ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
		who := s.asker(ap.Addr())
		if err != nil || who == stranger {
			c.Close()
			continue
		}
		select {
		case s.conns <- struct{}{}:
		default:
			c.Close()
			continue
		}
		s.work.Go(func() {
			defer func() { <-s.conns }()
			if err := s.serveConn(ctx, c, who); err != nil {
				s.cfg.Log.Debug("stub connection ended", "err", err)
			}
		})
	}
}

// serveConn answers one query after the other; an oversized one ends it.
func (s *Server) serveConn(ctx context.Context, c net.Conn, who asker) error {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	sc := newScratch()
	sc.stream = true
	var in [2 + maxQuery]byte
	for range tcpQueries {
		if err := c.SetReadDeadline(time.Now().Add(tcpIdle)); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, in[:2]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		n := int(binary.BigEndian.Uint16(in[:2]))
		if n < headerLen || n > maxQuery {
			return fmt.Errorf("query of %d bytes", n)
		}
		query := in[2 : 2+n]
		if _, err := io.ReadFull(c, query); err != nil {
			return err
		}
		out, foreign := sc.answer(s.zones.Load(), query)
		switch {
		case foreign && who == member:
			out = refused(sc.over.failed)
		case foreign:
			out = s.forwardTCP(ctx, query, sc.over)
		}
		if len(out) == 0 {
			continue
		}
		if err := c.SetWriteDeadline(time.Now().Add(tcpWrite)); err != nil {
			return err
		}
		head := [2]byte{byte(len(out) >> 8), byte(len(out))}
		if _, err := (&net.Buffers{head[:], out}).WriteTo(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) forwardTCP(ctx context.Context, query []byte, h handover) []byte {
	if s.cfg.Forward == nil {
		return h.failed
	}
	select {
	case s.forwards <- struct{}{}:
		defer func() { <-s.forwards }()
	default:
		return h.failed
	}
	return s.forward(ctx, query, h)
}
