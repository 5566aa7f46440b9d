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
		c, ok := s.clientAt(src.Addr())
		if n > maxQuery || !ok {
			continue
		}
		out, foreign := sc.answer(c.zones, in[:n])
		switch {
		case foreign && c.refuse:
			out = refused(sc.over.failed)
		case foreign:
			out = s.forwardUDP(pc, src, c, in[:n], sc.over)
		}
		if len(out) > 0 {
			pc.WriteToUDPAddrPort(out, src)
		}
	}
}

// forwardUDP hands a query on, or says why not.
func (s *Server) forwardUDP(pc PacketConn, src netip.AddrPort, c client, query []byte, h handover) []byte {
	if c.forward == nil {
		return h.failed
	}
	select {
	case c.slots <- struct{}{}:
	default:
		s.cfg.Log.Debug("too many queries at upstreams", "limit", cap(c.slots))
		return h.failed
	}
	buf := packets.Get().(*[maxQuery]byte)
	n := copy(buf[:], query)
	s.work.Go(func() {
		defer func() { packets.Put(buf); <-c.slots }()
		if out := s.forward(s.ctx, c.forward, buf[:n], h); out != nil {
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
		who, ok := s.clientAt(ap.Addr())
		if err != nil || !ok {
			c.Close()
			continue
		}
		slots := s.conns
		if who.outside {
			slots = s.outside
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		s.work.Go(func() {
			defer func() { <-slots }()
			if err := s.serveConn(ctx, c, ap.Addr()); err != nil {
				s.cfg.Log.Debug("stub connection ended", "err", err)
			}
		})
	}
}

// serveConn answers one query after the other; an oversized one ends it.
func (s *Server) serveConn(ctx context.Context, c net.Conn, src netip.Addr) error {
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
		who, ok := s.clientAt(src)
		if !ok {
			return nil // not any more
		}
		out, foreign := sc.answer(who.zones, query)
		switch {
		case foreign && who.refuse:
			out = refused(sc.over.failed)
		case foreign:
			out = s.forwardTCP(ctx, who, query, sc.over)
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

func (s *Server) forwardTCP(ctx context.Context, c client, query []byte, h handover) []byte {
	if c.forward == nil {
		return h.failed
	}
	if !c.outside { // an outsider's connection holds its slot already
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		default:
			return h.failed
		}
	}
	return s.forward(ctx, c.forward, query, h)
}
