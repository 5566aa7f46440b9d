package filter

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
)

// Bounds of the flow table. An entry is about 100 bytes: the whole of it is under
// 16 MiB.
const (
	flowsMost = 100_000
	shareMost = flowsMost / 4 // of one device on the other side
	first     = 256           // cells of an empty table
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

// flowKey is a flow by its ends, the tunnel's side being far: two words of
// address each, then the ports and the protocol. IPv4 is mapped (RFC 4291
// §2.5.5.2).
type flowKey struct{ farHi, farLo, nearHi, nearLo, rest uint64 }

// mapped is the upper half of the lower word of an IPv4 address.
const mapped = 0xffff << 32

func keyOf(e *ends, proto uint8, sport, dport uint16, kd kind, in bool) flowKey {
	if (proto == ICMP || proto == ICMPv6) && in == (kd == kindBegin) {
		proto |= echoIn
	}
	if !in {
		return flowKey{e.dstHi, e.dstLo, e.srcHi, e.srcLo, uint64(dport)<<32 | uint64(sport)<<16 | uint64(proto)}
	}
	return flowKey{e.srcHi, e.srcLo, e.dstHi, e.dstLo, uint64(sport)<<32 | uint64(dport)<<16 | uint64(proto)}
}

func addr(hi, lo uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return netip.AddrFrom16(b).Unmap()
}

func (k *flowKey) far() netip.Addr  { return addr(k.farHi, k.farLo) }
func (k *flowKey) near() netip.Addr { return addr(k.nearHi, k.nearLo) }
func (k *flowKey) farPort() uint16  { return uint16(k.rest >> 32) }
func (k *flowKey) nearPort() uint16 { return uint16(k.rest >> 16) }
func (k *flowKey) proto() uint8     { return uint8(k.rest) &^ echoIn }

// hash multiplies words with secrets, as wyhash does.
func (t *table) hash(k *flowKey) uint32 {
	a, b := bits.Mul64(k.farHi^t.seed[0], k.farLo^t.seed[1])
	c, d := bits.Mul64(k.nearHi^t.seed[2], k.nearLo^t.seed[3])
	e, f := bits.Mul64(a^b^c^d^k.rest, t.seed[4])
	h := e ^ f
	return uint32(h>>32 ^ h)
}

// flow is one entry. Indexes are into the slab.
type flow struct {
	key      flowKey
	seen     int64
	gen      uint64 // of the rules that judged it last
	hash     uint32
	newer    uint32 // in its owner's order; next of the free
	older    uint32
	owner    uint32 // none: free
	in       bool   // the other side opened it
	dead     bool   // the rules have ended it
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

// table is the flows: a hash table with linear probing over a slab that grows, so
// that a packet allocates nothing and a quiet device holds little.
type table struct {
	seed   [5]uint64
	cells  []uint64 // a flow's hash, then its index + 1; 0 is free; at most a quarter of them are not
	slab   []flow
	free   uint32
	count  int
	owners []owner
	spare  []uint32 // owners without flows
	last   uint32   // owner
	byAddr map[netip.Addr]uint32
	known  known
}

func (t *table) init() {
	for i := range t.seed {
		t.seed[i] = rand.Uint64() | 1
	}
	t.free = none
	t.byAddr = map[netip.Addr]uint32{}
	t.cells = make([]uint64, first)
}

// grow doubles the cells.
func (t *table) grow() {
	old := t.cells
	t.cells = make([]uint64, 2*len(old))
	for _, c := range old {
		if c != 0 {
			t.place(c)
		}
	}
}

func (t *table) place(c uint64) { t.cells[t.gap(uint32(c>>32))] = c }

// gap is the first free cell for a hash.
func (t *table) gap(hash uint32) uint32 {
	mask := uint32(len(t.cells) - 1)
	i := hash & mask
	for t.cells[i] != 0 {
		i = (i + 1) & mask
	}
	return i
}

// displace frees a cell, and moves those behind it that would not be found any
// more (Knuth, The Art of Computer Programming 3, 6.4, algorithm R).
func (t *table) displace(c uint64) {
	cells, mask := t.cells, uint32(len(t.cells)-1)
	i := uint32(c>>32) & mask
	for cells[i] != c {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; cells[j] != 0; j = (j + 1) & mask {
		if home := uint32(cells[j]>>32) & mask; (j-home)&mask >= (j-i)&mask {
			cells[i], i = cells[j], j
		}
	}
	cells[i] = 0
}

func cell(hash, i uint32) uint64 { return uint64(hash)<<32 | uint64(i+1) }

// find looks a flow up, and forgets it if its time is over. Where there is none,
// gap may be the cell for it, until the table changes.
func (t *table) find(k *flowKey, hash uint32, now int64) (i, gap uint32) {
	mask := uint32(len(t.cells) - 1)
	at := hash & mask
	for ; t.cells[at] != 0; at = (at + 1) & mask {
		c := t.cells[at]
		if uint32(c>>32) != hash {
			continue
		}
		i := uint32(c) - 1
		e := &t.slab[i]
		if e.key != *k {
			continue
		}
		if now-e.seen >= e.idle() {
			t.remove(i)
			return none, none
		}
		return i, none
	}
	return none, at
}

func (e *flow) idle() int64 {
	switch p := e.key.proto(); {
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
	if e.key.proto() == TCP {
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
// oldest flow, and when the table is full, who has the most does. The gap is
// find's, or none.
func (t *table) insert(k *flowKey, hash, gap uint32, in bool, by netip.Addr, gen uint64, flags uint8, middle bool, now int64) {
	o := t.ownerOf(by)
	t.owners[o].count++ // before any is removed, so that it stays
	i := none
	if by.IsValid() && t.owners[o].count > shareMost {
		i = t.owners[o].oldest
	} else if t.count >= flowsMost {
		i = t.owners[t.greediest()].oldest
	}
	if i == none {
		if t.count++; 4*t.count > len(t.cells) {
			t.grow()
			gap = none
		}
	}
	if gap == none {
		gap = t.gap(hash)
	}
	switch {
	case i != none: // its place in the slab, once the new one's cell is taken
		t.cells[gap] = cell(hash, i)
		t.drop(i)
	case t.free != none:
		i, t.free = t.free, t.slab[t.free].newer
		t.cells[gap] = cell(hash, i)
	default:
		t.slab = append(t.slab, flow{})
		i = uint32(len(t.slab) - 1)
		t.cells[gap] = cell(hash, i)
	}
	e := &t.slab[i]
	*e = flow{key: *k, seen: now, gen: gen, hash: hash, owner: o, in: in, middle: middle, answered: middle}
	if k.proto() == TCP {
		e.close(flags, in)
	}
	t.link(i)
}

// ownerOf remembers the last: flows begin in bursts.
func (t *table) ownerOf(a netip.Addr) uint32 {
	if n := t.last; int(n) < len(t.owners) && t.owners[n].count > 0 && t.owners[n].addr == a {
		return n
	}
	if o, ok := t.byAddr[a]; ok {
		t.last = o
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
	t.byAddr[a], t.last = o, o
	return o
}

func (t *table) greediest() (most uint32) {
	count := 0
	for i := range t.owners {
		if o := &t.owners[i]; o.oldest != none && o.count > count {
			most, count = uint32(i), o.count
		}
	}
	return most
}

func (t *table) remove(i uint32) {
	t.drop(i)
	t.slab[i] = flow{owner: none, newer: t.free}
	t.free = i
	if t.count--; t.count == 0 && len(t.cells) > first {
		t.slab, t.free = nil, none
		t.cells = make([]uint64, first)
	}
}

// drop takes a flow out of all but the slab.
func (t *table) drop(i uint32) {
	e := &t.slab[i]
	if e.answered { // no other is known
		t.known.forget(&e.key, e.hash)
	}
	t.displace(cell(e.hash, i))
	t.unlink(i)
	o := &t.owners[e.owner]
	if o.count--; o.count == 0 {
		delete(t.byAddr, o.addr)
		t.spare = append(t.spare, e.owner)
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
