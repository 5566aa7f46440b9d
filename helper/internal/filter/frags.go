package filter

import "net/netip"

// Bounds of what is kept of datagrams in fragments.
const (
	fragsMost  = 256
	fragsShare = 64 // of one sender
	piecesMost = 48 // of one datagram: 64 KiB over a path of 1,400 bytes
	fragIdle   = 5_000
)

type fragKey struct {
	src, dst netip.Addr
	id       uint32
	in       bool
}

// datagram is what was seen of one.
type datagram struct {
	key    fragKey
	seen   int64 // when its first fragment came
	order  uint64
	gen    uint64
	ok     bool
	pieces []piece
	got    int
	total  int // 0: the last fragment was not seen
}

type piece struct{ from, to uint16 }

// frags is the datagrams under way. A fragment that comes before the first is
// dropped, and one that overlaps another ends its datagram (RFC 5722).
type frags struct {
	list  []datagram
	begun uint64
}

func (t *frags) find(k *fragKey, now int64) *datagram {
	for i := range t.list {
		if d := &t.list[i]; d.key == *k && now-d.seen < fragIdle && d.key.src.IsValid() {
			return d
		}
	}
	return nil
}

func (t *frags) begin(k fragKey, f *frag, ok bool, gen uint64, now int64) bool {
	if d := t.find(&k, now); d != nil {
		if !d.complete() {
			return d.add(f) && ok
		}
		d.reset(k, ok, gen, now)
		return d.add(f) && ok
	}
	d := t.place(&k, now)
	d.reset(k, ok, gen, now)
	t.begun++
	d.order = t.begun
	return d.add(f) && ok
}

func (t *frags) follow(k fragKey, f *frag, gen uint64, now int64) bool {
	d := t.find(&k, now)
	return d != nil && d.gen == gen && d.add(f) && d.ok
}

// place is a free one, a sender's own oldest when it has many, or the oldest.
func (t *frags) place(k *fragKey, now int64) *datagram {
	mine, own, oldest := 0, -1, -1
	for i := range t.list {
		d := &t.list[i]
		if now-d.seen >= fragIdle || d.complete() {
			return d
		}
		if oldest < 0 || d.order < t.list[oldest].order {
			oldest = i
		}
		if d.key.src == k.src {
			if mine++; own < 0 || d.order < t.list[own].order {
				own = i
			}
		}
	}
	switch {
	case mine >= fragsShare:
		return &t.list[own]
	case len(t.list) < fragsMost:
		t.list = append(t.list, datagram{})
		return &t.list[len(t.list)-1]
	}
	return &t.list[oldest]
}

func (d *datagram) reset(k fragKey, ok bool, gen uint64, now int64) {
	if d.pieces == nil {
		d.pieces = make([]piece, 0, piecesMost)
	}
	*d = datagram{key: k, seen: now, gen: gen, ok: ok, pieces: d.pieces[:0]}
}

func (d *datagram) complete() bool { return d.total > 0 && d.got == d.total }

// add notes a fragment; false where it does not fit the others. The very same
// once more is dropped alone.
func (d *datagram) add(f *frag) bool {
	n := piece{uint16(f.at), uint16(f.at + f.size)}
	for _, p := range d.pieces {
		if p == n {
			return false
		}
		if n.from < p.to && p.from < n.to {
			d.ok = false
			return false
		}
	}
	switch {
	case len(d.pieces) == piecesMost, d.total > 0 && (!f.more || int(n.to) > d.total):
		d.ok = false
		return false
	case !f.more:
		for _, p := range d.pieces {
			if p.to > n.to {
				d.ok = false
				return false
			}
		}
		d.total = int(n.to)
	}
	d.pieces = append(d.pieces, n)
	d.got += f.size
	return true
}
