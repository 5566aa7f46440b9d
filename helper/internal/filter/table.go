package filter

import (
	"hash/maphash"
	"net/netip"
)

// Bounds of the flow table. An entry is about 128 bytes: the whole of it is under
// 16 MiB.
const (
	flowsMost = 100_000
	shareMost = flowsMost / 4 // of one device on the other side
	first     = 256           // entries of an empty table
	none      = ^uint32(0)
)

// How long a flow is kept in silence, in milliseconds. TCP's is over RFC 5382's
// two hours and four minutes, UDP's RFC 4787's two minutes.
const (
	idleTCP     = 24 * 3600_000
	idleOpening = 60_000 // no answer yet
	idleClosed  = 10_000
	idleUDP     = 180_000
	idleEcho    = 60_000
)

// echoIn tells echoes that the other side asks from ours: both may use one
// identifier.
const echoIn = 0x80

// flowKey is a flow by its ends: the tunnel's side is far.
type flowKey struct {
	farIP, nearIP     [16]byte
	farPort, nearPort uint16
	proto             uint8
	v4                bool
}

func keyOf(src, dst netip.Addr, proto uint8, sport, dport uint16, kd kind, in bool) flowKey {
	k := flowKey{proto: proto, v4: src.Is4()}
	if in {
		k.farIP, k.nearIP, k.farPort, k.nearPort = src.As16(), dst.As16(), sport, dport
	} else {
		k.farIP, k.nearIP, k.farPort, k.nearPort = dst.As16(), src.As16(), dport, sport
	}
	if (proto == ICMP || proto == ICMPv6) && in == (kd == kindBegin) {
		k.proto |= echoIn
	}
	return k
}

func (k *flowKey) far() netip.Addr  { return k.addr(k.farIP) }
func (k *flowKey) near() netip.Addr { return k.addr(k.nearIP) }
func (k *flowKey) addr(b [16]byte) netip.Addr {
	a := netip.AddrFrom16(b)
	if k.v4 {
		return a.Unmap()
	}
	return a
}

// flow is one entry. Indexes are into the slab.
type flow struct {
	key      flowKey
	seen     int64
	gen      uint64 // of the rules that judged it last
	hash     uint32
	chain    uint32 // next in its bucket, or free
	newer    uint32 // in its owner's order
	older    uint32
	owner    uint32
	in       bool // the other side opened it
	dead     bool // the rules have ended it
	answered bool
	middle   bool // its beginning was not seen
	fins     uint8
}

// owner is who fills a share of the table.
type owner struct {
	addr           netip.Addr
	count          int
	newest, oldest uint32
}

// table is the flows: a chained hash table over slabs that grow, so that a packet
// allocates nothing and a quiet device holds little.
type table struct {
	seed    maphash.Seed
	buckets []uint32
	slab    []flow
	free    uint32
	count   int
	owners  []owner
	spare   []uint32 // owners without flows
	byAddr  map[netip.Addr]uint32
}

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	t.free = none
	t.byAddr = map[netip.Addr]uint32{}
	t.rehash(first)
}

func (t *table) hash(k *flowKey) uint32 { return uint32(maphash.Comparable(t.seed, *k)) }

func (t *table) rehash(n int) {
	t.buckets = make([]uint32, n)
	for i := range t.buckets {
		t.buckets[i] = none
	}
	for i := range t.slab {
		if e := &t.slab[i]; e.owner != none {
			b := &t.buckets[e.hash&uint32(n-1)]
			e.chain, *b = *b, uint32(i)
		}
	}
}

// find looks a flow up, and forgets it if its time is over.
func (t *table) find(k *flowKey, hash uint32, now int64) uint32 {
	for i := t.buckets[hash&uint32(len(t.buckets)-1)]; i != none; i = t.slab[i].chain {
		e := &t.slab[i]
		if e.hash != hash || e.key != *k {
			continue
		}
		if now-e.seen >= e.idle() {
			t.remove(i)
			return none
		}
		return i
	}
	return none
}

func (e *flow) idle() int64 {
	switch p := e.key.proto &^ echoIn; {
	case p == TCP && (e.fins == 3 || e.dead):
		return idleClosed
	case p == TCP && !e.answered:
		return idleOpening
	case p == TCP:
		return idleTCP
	case p == ICMP || p == ICMPv6:
		return idleEcho
	}
	return idleUDP
}

// touch notes a packet of a flow.
func (t *table) touch(i uint32, flags uint8, in bool, now int64) {
	e := &t.slab[i]
	e.seen = now
	if in != e.in {
		e.answered = true
	}
	if e.key.proto == TCP {
		e.close(flags, in)
	}
	if o := &t.owners[e.owner]; o.newest != i {
		t.unlink(i)
		t.link(i)
	}
}

func (e *flow) close(flags uint8, in bool) {
	switch {
	case flags&tcpRST != 0:
		e.fins = 3
	case flags&tcpFIN != 0 && in:
		e.fins |= 1
	case flags&tcpFIN != 0:
		e.fins |= 2
	}
}

// insert makes room where it must: an owner at the end of its share loses its own
// oldest flow, and when the table is full, who has the most does.
func (t *table) insert(k flowKey, hash uint32, in bool, by netip.Addr, gen uint64, flags uint8, middle bool, now int64) {
	o := t.ownerOf(by)
	if by.IsValid() && t.owners[o].count >= shareMost {
		t.remove(t.owners[o].oldest)
	} else if t.count >= flowsMost {
		t.remove(t.owners[t.greediest()].oldest)
	}
	o = t.ownerOf(by) // removing may have ended it
	i := t.free
	if i != none {
		t.free = t.slab[i].chain
	} else {
		t.slab = append(t.slab, flow{})
		i = uint32(len(t.slab) - 1)
	}
	t.slab[i] = flow{key: k, seen: now, gen: gen, hash: hash, owner: o, in: in, middle: middle, answered: middle}
	if k.proto == TCP {
		t.slab[i].close(flags, in)
	}
	if t.count++; t.count > len(t.buckets) {
		t.rehash(2 * len(t.buckets))
	} else {
		b := &t.buckets[hash&uint32(len(t.buckets)-1)]
		t.slab[i].chain, *b = *b, i
	}
	t.owners[o].count++
	t.link(i)
}

func (t *table) ownerOf(a netip.Addr) uint32 {
	if o, ok := t.byAddr[a]; ok {
		return o
	}
	var o uint32
	if n := len(t.spare); n > 0 {
		o, t.spare = t.spare[n-1], t.spare[:n-1]
	} else {
		o = uint32(len(t.owners))
		t.owners = append(t.owners, owner{})
	}
	t.owners[o] = owner{addr: a, newest: none, oldest: none}
	t.byAddr[a] = o
	return o
}

func (t *table) greediest() (most uint32) {
	for i := range t.owners {
		if t.owners[i].count > t.owners[most].count {
			most = uint32(i)
		}
	}
	return most
}

func (t *table) remove(i uint32) {
	e := &t.slab[i]
	at := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
	for *at != i {
		at = &t.slab[*at].chain
	}
	*at = e.chain
	t.unlink(i)
	o := &t.owners[e.owner]
	if o.count--; o.count == 0 {
		delete(t.byAddr, o.addr)
		t.spare = append(t.spare, e.owner)
	}
	*e = flow{owner: none, chain: t.free}
	t.free = i
	if t.count--; t.count == 0 && len(t.buckets) > first {
		t.slab, t.free = nil, none
		t.rehash(first)
	}
}

// link puts a flow at the new end of its owner's order.
func (t *table) link(i uint32) {
	e := &t.slab[i]
	o := &t.owners[e.owner]
	e.newer, e.older = none, o.newest
	if o.newest != none {
		t.slab[o.newest].newer = i
	} else {
		o.oldest = i
	}
	o.newest = i
}

func (t *table) unlink(i uint32) {
	e := &t.slab[i]
	o := &t.owners[e.owner]
	if e.newer != none {
		t.slab[e.newer].older = e.older
	} else {
		o.newest = e.older
	}
	if e.older != none {
		t.slab[e.older].newer = e.newer
	} else {
		o.oldest = e.newer
	}
}
