package relay

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

const (
	frameHead = 2 // big-endian length; 0 is a keep-alive
	chunkSize = 16 << 10
	maxChunks = 16 // a link's queue: 256 KiB
	maxAge    = time.Second

	// MaxFrame is the longest datagram that a link carries: with its length it
	// fits a TLS record (RFC 8446 §5.1).
	MaxFrame = chunkSize - frameHead
)

// chunk holds frames as they go out: one write, one TLS record.
type chunk struct {
	next   *chunk
	n      int
	shared bool // counted in the budget
	since  time.Time
	b      [chunkSize]byte
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// budget is how many chunks the links of a server hold in all, beyond the first
// of each.
type budget struct{ left atomic.Int64 }

func newBudget(n int64) *budget {
	b := &budget{}
	b.left.Store(n)
	return b
}

func (b *budget) take() bool {
	if b.left.Add(-1) >= 0 {
		return true
	}
	b.left.Add(1)
	return false
}

// queue is what a link has yet to send. When it is full the oldest goes, and so
// does on a slow link what is past its time while there is newer: it is the
// likeliest to be of no use any more. Callers hold Link.mu.
type queue struct {
	head, tail *chunk
	n          int
	budget     *budget
}

// push appends a frame. It says how many older ones were dropped for it.
func (q *queue) push(b []byte) (dropped int) {
	t := q.tail
	if t == nil || chunkSize-t.n < frameHead+len(b) {
		t, dropped = q.grow()
	}
	binary.BigEndian.PutUint16(t.b[t.n:], uint16(len(b)))
	copy(t.b[t.n+frameHead:], b)
	t.n += frameHead + len(b)
	return dropped
}

// grow appends an empty chunk: a new one, or the oldest if there may be no more.
func (q *queue) grow() (c *chunk, dropped int) {
	switch {
	case q.n == 0:
		c = chunks.Get().(*chunk)
	case q.n < maxChunks && q.budget.take():
		c = chunks.Get().(*chunk)
		c.shared = true
	default:
		c = q.pop()
		dropped = c.frames()
		c.n = 0
	}
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	q.tail = c
	q.n++
	c.since = time.Now()
	return c, dropped
}

// fresh drops what has waited for too long, and says how many.
func (q *queue) fresh() (dropped int) {
	for q.n > 1 && time.Since(q.head.since) > maxAge {
		c := q.pop()
		dropped += c.frames()
		q.free(c)
	}
	return dropped
}

// pop takes the oldest chunk, or nil. The caller gives it back by free.
func (q *queue) pop() *chunk {
	c := q.head
	if c == nil {
		return nil
	}
	q.head, c.next = c.next, nil
	if q.head == nil {
		q.tail = nil
	}
	q.n--
	return c
}

func (q *queue) free(c *chunk) {
	if c.shared {
		q.budget.left.Add(1)
	}
	c.n, c.shared = 0, false
	chunks.Put(c)
}

func (q *queue) clear() {
	for c := q.pop(); c != nil; c = q.pop() {
		q.free(c)
	}
}

func (c *chunk) frames() (n int) {
	for i := 0; i < c.n; n++ {
		i += frameHead + int(binary.BigEndian.Uint16(c.b[i:]))
	}
	return n
}
