package forward

import (
	"encoding/binary"
	"sync"
	"time"
)

const (
	maxCached   = 2 << 20          // bytes in all
	maxEntry    = 8 << 10          // bytes of an answer
	entryCost   = 160              // bytes beside the answer and its key, roughly
	maxTTL      = time.Hour        // hosts move, and what is right elsewhere may not be here
	maxNegative = 5 * time.Minute  // RFC 2308 §5 allows three hours
	staleFor    = 24 * time.Hour   // RFC 8767 §5: one to three days
	staleTTL    = 30               // seconds, RFC 8767 §5.11
	staleRetry  = 30 * time.Second // between vain tries to learn anew, RFC 8767 §5
)

// entry is an answer that is kept. It is not changed but for the last line.
type entry struct {
	msg     []byte
	ttls    []uint16
	stored  time.Time // wall clock: a host's sleep counts
	expires time.Time
	end     int // of the question

	used    bool      // since it was stored
	renewed bool      // it is being asked for anew
	retry   time.Time // when stale: not asked for again before
}

// cache keeps answers in two halves: what is used is moved to the young one,
// and when that is full the old one is forgotten.
type cache struct {
	mu         sync.Mutex
	young, old map[string]*entry
	size       int // bytes of the young half
}

// lifetime is how long an answer may be kept, 0 for not at all.
func lifetime(msg []byte, s *shape) time.Duration {
	switch rcode := msg[3] & 15; {
	case msg[2]&flagTC != 0 || len(msg) > maxEntry:
		return 0
	case rcode == rcodeOK && s.matching:
		return min(time.Duration(s.ttl)*time.Second, maxTTL)
	case (rcode == rcodeOK || rcode == rcodeNXDomain) && s.soa: // RFC 2308 §5
		return min(time.Duration(min(s.ttl, s.negative))*time.Second, maxNegative)
	}
	return 0
}

func (c *cache) put(key string, msg []byte, s *shape, end int) {
	life := lifetime(msg, s)
	if key == "" || life == 0 {
		return
	}
	now := time.Now().Round(0)
	e := &entry{msg: append([]byte(nil), msg...), ttls: s.ttls, stored: now, expires: now.Add(life), end: end}
	e.msg[2] &^= 0x04 // from here on it is nobody's own word
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(key, e)
}

// add puts an entry into the young half; the caller holds mu.
func (c *cache) add(key string, e *entry) {
	cost := len(key) + len(e.msg) + 2*len(e.ttls) + entryCost
	if c.young == nil || c.size+cost > maxCached/2 {
		c.young, c.old, c.size = make(map[string]*entry), c.young, 0
	}
	c.young[key] = e
	c.size += cost
}

func (c *cache) find(key string) *entry {
	if e := c.young[key]; e != nil {
		return e
	}
	e := c.old[key]
	if e != nil {
		delete(c.old, key)
		c.add(key, e)
	}
	return e
}

// hit is what the cache says to a query.
type hit struct {
	answer []byte // nil: nothing that may be given now
	stale  *entry // may be given if nothing better can be had
	renew  bool   // it will be asked for again soon after it has expired
}

func (c *cache) get(key string, query []byte) (h hit) {
	if key == "" {
		return h
	}
	now := time.Now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.find(key)
	switch {
	case e == nil:
		return h
	case now.Before(e.stored) || now.Sub(e.expires) > staleFor: // the clock was set back, or too old
		delete(c.young, key)
		return h
	case now.Before(e.expires):
		h.answer = e.fresh(query, now)
		left, life := e.expires.Sub(now), e.expires.Sub(e.stored)
		if e.used && !e.renewed && left < life/10 {
			e.renewed, h.renew = true, true
		}
		e.used = true
		return h
	case now.Before(e.retry):
		h.answer = e.late(query)
	}
	h.stale = e
	return h
}

// fresh is the answer with the client's ID and spelling, its TTLs aged.
func (e *entry) fresh(query []byte, now time.Time) []byte {
	out := e.copyFor(query)
	age := uint32(now.Sub(e.stored) / time.Second)
	for _, at := range e.ttls {
		ttl := binary.BigEndian.Uint32(out[at:])
		binary.BigEndian.PutUint32(out[at:], ttl-min(age, ttl))
	}
	return out
}

// late is the answer after its time (RFC 8767 §4).
func (e *entry) late(query []byte) []byte {
	out := e.copyFor(query)
	for _, at := range e.ttls {
		binary.BigEndian.PutUint32(out[at:], min(binary.BigEndian.Uint32(out[at:]), staleTTL))
	}
	return out
}

func (e *entry) copyFor(query []byte) []byte {
	out := append([]byte(nil), e.msg...)
	copy(out[:2], query[:2])
	copy(out[headerLen:e.end], query[headerLen:e.end])
	return out
}

// inVain notes that nothing newer than e could be had.
func (c *cache) inVain(e *entry) {
	c.mu.Lock()
	e.retry = time.Now().Round(0).Add(staleRetry)
	c.mu.Unlock()
}

// flush forgets all: what was right on one network may not be on the next.
func (c *cache) flush() {
	c.mu.Lock()
	c.young, c.old, c.size = nil, nil, 0
	c.mu.Unlock()
}
