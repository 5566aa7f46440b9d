package forward

import (
	"encoding/binary"
	"math/rand/v2"
)

const (
	typeSOA = 6
	typeOPT = 41
	classIN = 1

	rcodeOK       = 0
	rcodeNXDomain = 3

	udpSize = 1232 // bytes of an answer over UDP (DNS flag day 2020)
)

// request is a query as servers are asked it.
type request struct {
	question
	msg []byte // its ID is that of no message yet
	key string // of the cache: what the answer depends on; "": not to be kept
}

// newRequest makes of a client's query one of our own: an OPT record is between
// neighbours (RFC 6891 §6.2.6), so that its options, which may tell who asks,
// stay here. A query with other additional records goes on as it is.
func newRequest(query []byte, q question) request {
	r := request{question: q}
	do, edns, ok := readOPT(query, q.end)
	if !ok {
		r.msg = append([]byte(nil), query...)
		return r
	}
	rd, bits := query[2]&1, query[3]&0x30 // AD and CD (RFC 4035 §4.1, RFC 6840 §5.7)
	r.msg = append(make([]byte, 0, q.end+11), 0, 0, rd, bits, 0, 1, 0, 0, 0, 0, 0, 0)
	r.msg = append(r.msg, query[headerLen:q.end]...)
	if edns {
		r.msg[11] = 1
		r.msg = append(r.msg, 0, 0, typeOPT, udpSize>>8, udpSize&255, 0, 0, do, 0, 0, 0)
	}
	kind := rd | bits
	if edns {
		kind |= 2
	}
	key := append(make([]byte, 0, q.end), query[headerLen:q.end]...)
	lower(key)
	r.key = string(append(key, kind, do))
	return r
}

// readOPT reads the OPT record after the question; ok is false if there is
// anything else.
func readOPT(msg []byte, end int) (do byte, edns, ok bool) {
	switch {
	case binary.BigEndian.Uint32(msg[6:]) != 0: // answers or authority
		return 0, false, false
	case binary.BigEndian.Uint16(msg[10:]) == 0:
		return 0, false, true
	case binary.BigEndian.Uint16(msg[10:]) != 1 || len(msg) < end+11 || msg[end] != 0 || binary.BigEndian.Uint16(msg[end+1:]) != typeOPT:
		return 0, false, false
	}
	return msg[end+7] & 0x80, true, true
}

// lower makes a name's letters small; lengths, being at most 63, stay.
func lower(name []byte) {
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			name[i] |= 0x20
		}
	}
}

// mixCase gives each letter of the question's name a random case, which a server
// repeats and somebody who guesses has to guess too.
// https://datatracker.ietf.org/doc/html/draft-vixie-dnsext-dns0x20-00
func mixCase(msg []byte, end int) {
	var bits uint64
	for i, n := headerLen, 0; i < end-4; i++ {
		c := msg[i] | 0x20
		if c < 'a' || c > 'z' {
			continue
		}
		if n%64 == 0 {
			bits = rand.Uint64()
		}
		msg[i] = c &^ byte(bits&1<<5)
		bits >>= 1
		n++
	}
}

// shape is what is read of an answer.
type shape struct {
	ttls     []uint16 // where the TTLs are, but for OPT's
	ttl      uint32   // seconds that all of it holds
	negative uint32   // seconds that its SOA lets its silence hold
	soa      bool
	matching bool // it has a record of the type that was asked for
}

// readAnswer walks over an answer's records; ok is false if they are not all
// there. What they say is the client's to judge.
func readAnswer(msg []byte, q *question) (s shape, ok bool) {
	i := q.end
	qtype := binary.BigEndian.Uint16(q.tail[:])
	for section := 1; section <= 3; section++ {
		for range binary.BigEndian.Uint16(msg[4+2*section:]) {
			if i = skipName(msg, i); i < 0 || i+10 > len(msg) {
				return s, false
			}
			rtype, size := binary.BigEndian.Uint16(msg[i:]), int(binary.BigEndian.Uint16(msg[i+8:]))
			data := i + 10
			if data+size > len(msg) {
				return s, false
			}
			if rtype != typeOPT {
				ttl := binary.BigEndian.Uint32(msg[i+4:])
				if ttl > 1<<31-1 {
					ttl = 0 // RFC 2181 §8
				}
				if len(s.ttls) == 0 || ttl < s.ttl {
					s.ttl = ttl
				}
				s.ttls = append(s.ttls, uint16(min(i+4, 1<<16-1)))
				if section == 2 && rtype == typeSOA && size >= 22 {
					s.soa, s.negative = true, min(ttl, binary.BigEndian.Uint32(msg[data+size-4:]))
				}
				s.matching = s.matching || section == 1 && (rtype == qtype || qtype == 255)
			}
			i = data + size
		}
	}
	return s, true
}

// skipName returns where a name ends, or -1.
func skipName(msg []byte, i int) int {
	for i < len(msg) {
		switch n := int(msg[i]); {
		case n == 0:
			return i + 1
		case n >= 0xc0:
			if i+2 > len(msg) {
				return -1
			}
			return i + 2
		case n > 63:
			return -1
		default:
			i += 1 + n
		}
	}
	return -1
}
