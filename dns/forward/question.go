package forward

import (
	"bytes"
	"encoding/binary"
	"strings"
)

const (
	headerLen = 12
	flagQR    = 0x80
	flagTC    = 0x02
)

// question is what a message asks. Messages are passed on as they are, so this
// is all of them that is read.
type question struct {
	name string  // lower case, without trailing dot; dots within labels show as 0xff
	tail [4]byte // type and class
	end  int     // where the question ends in the message
}

// parseQuestion reads a message's one question; its name may not be compressed,
// having nothing before it to refer to (RFC 1035 §4.1.4).
func parseQuestion(msg []byte) (question, bool) {
	if len(msg) < headerLen || binary.BigEndian.Uint16(msg[4:]) != 1 {
		return question{}, false
	}
	var name [255]byte
	n, i := 0, headerLen
	for {
		if i >= len(msg) || msg[i] > 63 {
			return question{}, false
		}
		size := int(msg[i])
		i++
		if size == 0 {
			break
		}
		if i+size > len(msg) || n+size+1 > len(name)-1 {
			return question{}, false
		}
		for _, c := range msg[i : i+size] {
			switch {
			case c >= 'A' && c <= 'Z':
				c |= 0x20
			case c == '.':
				c = 0xff
			}
			name[n] = c
			n++
		}
		name[n] = '.'
		n++
		i += size
	}
	if i+4 > len(msg) {
		return question{}, false
	}
	q := question{name: strings.TrimSuffix(string(name[:n]), "."), end: i + 4}
	copy(q.tail[:], msg[i:])
	return q, true
}

// verdict is what a message is to a query.
type verdict uint8

const (
	stray   verdict = iota // no reply to it
	mangled                // one, but the name is not spelled as it was asked
	broken                 // one whose records cannot be read
	proper
)

// reply judges whether msg is a reply to query, and returns a copy that is. A
// bare header with an error is one too, being how some servers refuse; it gets
// its question back.
func (q *question) reply(query, msg []byte) ([]byte, shape, verdict) {
	if len(msg) < headerLen || msg[0] != query[0] || msg[1] != query[1] || msg[2]&flagQR == 0 || msg[2]>>3&15 != 0 {
		return nil, shape{}, stray
	}
	if len(msg) == headerLen && msg[3]&15 != 0 && [8]byte(msg[4:]) == [8]byte{} {
		out := append(append([]byte(nil), msg...), query[headerLen:q.end]...)
		out[5] = 1
		return out, shape{}, proper
	}
	if got, ok := parseQuestion(msg); !ok || got.name != q.name || got.tail != q.tail || got.end != q.end {
		return nil, shape{}, stray
	}
	s, ok := readAnswer(msg, q)
	v := proper
	switch {
	case !ok && msg[2]&flagTC == 0:
		v = broken
	case !bytes.Equal(msg[headerLen:q.end], query[headerLen:q.end]):
		v = mangled
	}
	return append([]byte(nil), msg...), s, v
}

// makeQuery is a query for name's A record.
func makeQuery(name string) []byte {
	msg := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		msg = append(msg, byte(len(label)))
		msg = append(msg, label...)
	}
	return append(msg, 0, 0, 1, 0, 1)
}
