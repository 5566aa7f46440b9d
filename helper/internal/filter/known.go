package filter

import "sync/atomic"

const (
	knownMost = 1024
	knownFor  = 1000 // milliseconds: a flow's entry is that much behind at most
)

// known is flows that go on, so that their packets take no lock. It holds no
// more than the table does: what is noted is forgotten before its flow ends.
type known struct {
	slots [knownMost]atomic.Pointer[lively]
}

// lively is a flow that both sides have spoken in and that rules open.
type lively struct {
	key   flowKey
	gen   uint64
	until atomic.Int64
}

func (c *known) passes(k *flowKey, hash uint32, gen uint64, now int64) bool {
	l := c.slots[hash%knownMost].Load()
	return l != nil && l.key == *k && l.gen == gen && now < l.until.Load()
}

// note takes a slot that no other flow is lively in: two that share one take no
// turns. It is called with the table locked, as forget is.
func (c *known) note(k *flowKey, hash uint32, gen uint64, now int64) {
	at := &c.slots[hash%knownMost]
	l := at.Load()
	switch {
	case l != nil && l.key == *k && l.gen == gen:
		l.until.Store(now + knownFor)
		return
	case l != nil && l.key != *k && now < l.until.Load():
		return
	}
	l = &lively{key: *k, gen: gen}
	l.until.Store(now + knownFor)
	at.Store(l)
}

func (c *known) forget(k *flowKey, hash uint32) {
	at := &c.slots[hash%knownMost]
	if l := at.Load(); l != nil && l.key == *k {
		at.Store(nil)
	}
}
