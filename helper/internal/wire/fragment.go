package wire

import (
	"encoding/binary"
	"sync"
	"time"
)

// A QUIC packet of 1,200 bytes with our headers does not pass a path of 1,280
// bytes, so it travels in two pieces of like length.
const (
	fragmentHeader = 6
	maxPiece       = maxBody - fragmentHeader
	maxPieces      = 2
	maxPacket      = maxPieces * maxPiece

	maxPending = 8 // packets of one peer that wait for their other piece
	pieceLives = 2 * time.Second
)

// piece is one fragment.
type piece struct {
	id           uint32
	index, count uint8
	data         []byte
}

func appendPiece(b []byte, p piece) []byte {
	b = binary.BigEndian.AppendUint32(b, p.id)
	b = append(b, p.index, p.count)
	return append(b, p.data...)
}

func parsePiece(b []byte) (p piece, err error) {
	if len(b) <= fragmentHeader {
		return p, errMalformed
	}
	p = piece{id: binary.BigEndian.Uint32(b), index: b[4], count: b[5], data: b[fragmentHeader:]}
	if p.count == 0 || p.count > maxPieces || p.index >= p.count {
		return p, errMalformed
	}
	return p, nil
}

// split cuts a packet into pieces, none if it is too long.
func split(id uint32, packet []byte) []piece {
	switch n := len(packet); {
	case n > maxPacket:
		return nil
	case n > maxPiece:
		half := (n + 1) / 2
		return []piece{{id, 0, 2, packet[:half]}, {id, 1, 2, packet[half:]}}
	}
	return []piece{{id, 0, 1, packet}}
}

// reassembly puts one peer's packets together again. What waits is in buffers
// from a pool.
type reassembly struct {
	pending [maxPending]*waitingPiece
	next    int // to be replaced
}

type waitingPiece struct {
	piece
	at time.Time
}

var waitingPieces = sync.Pool{New: func() any { return new(waitingPiece) }}

// add takes a piece and appends the packet that it completes, if any, to b.
func (r *reassembly) add(b []byte, p piece, now time.Time) []byte {
	if p.count == 1 {
		return append(b, p.data...)
	}
	for i, q := range r.pending {
		switch {
		case q == nil:
		case now.Sub(q.at) > pieceLives:
			r.drop(i)
		case q.id != p.id:
		case q.index == p.index:
			return b
		default:
			first, second := p.data, q.data
			if q.index == 0 {
				first, second = second, first
			}
			b = append(append(b, first...), second...)
			r.drop(i)
			return b
		}
	}
	r.drop(r.next)
	q := waitingPieces.Get().(*waitingPiece)
	p.data = append(q.data[:0], p.data...)
	q.piece, q.at = p, now
	r.pending[r.next] = q
	r.next = (r.next + 1) % maxPending
	return b
}

func (r *reassembly) drop(i int) {
	if q := r.pending[i]; q != nil {
		waitingPieces.Put(q)
		r.pending[i] = nil
	}
}

// takeFragment hands a QUIC packet that is complete to QUIC.
func (p *peer) takeFragment(body []byte, now time.Time) {
	piece, err := parsePiece(body)
	if err != nil {
		p.wire.drops.malformed.Add(1)
		return
	}
	packet := p.c.frags.add(nil, piece, now)
	if packet == nil {
		return
	}
	if len(packet) >= busyPacket {
		p.c.works(now)
	}
	if !p.wire.quic.conn.put(packet, p.c.addr) {
		p.wire.drops.queue.Add(1)
	}
}
