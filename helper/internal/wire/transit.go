package wire

import (
	"errors"
	"sync"

	"kith.internal/helper/internal/wire/udp"
)

var errNoHop = errors.New("no path to the first hop")

// transit is what one goroutine that reads or sends works on, so that nothing
// need be allocated a datagram. It seals frames and collects them: those of one
// batch that go the same way leave together.
type transit struct {
	// What has become of the datagram at hand, under Wire.mu.
	out   outbox
	frame frame
	next  *peer // whom the frame goes to; nil: nobody
	route *route
	inner []byte // what was in the frame, for us; nil: nothing
	whole []byte // a frame that has come in pieces

	n       int
	bufs    [udp.MaxBatch][]byte
	whom    [udp.MaxBatch]*peer // the bufs are for
	traffic [udp.MaxBatch]bool  // see isTraffic
	body    []byte
	same    [][]byte
}

var transits = sync.Pool{New: func() any { return new(transit) }}

// isTraffic tells whether a frame with the data, or a piece of one, counts as
// traffic with the next node. Pings do not, or those of one peer would call for
// others'.
func isTraffic(k kind, data []byte) bool { return k == kindPiece || classify(data) == looksWireGuard }

// add takes a frame to pass on to the peer, its position being the peer's.
func (t *transit) add(w *Wire, q *peer, r *route, f *frame) {
	if headLen(f.count)+len(f.data) <= r.mtu {
		t.seal(w, q, r, kindForward, f, f.data)
		return
	}
	t.body = append(f.appendHead(t.body[:0]), f.data...)
	id := uint32(q.pieces.Add(1))
	half := (len(t.body) + 1) / 2
	var head [fragmentHeader]byte
	for i, part := range [][]byte{t.body[:half], t.body[half:]} {
		t.put(w, q, r, kindPiece, appendPiece(head[:0], piece{id: id, index: uint8(i), count: 2}), part)
	}
}

func (t *transit) seal(w *Wire, q *peer, r *route, k kind, f *frame, data []byte) {
	var head [frameHead + maxNodes*tagLen]byte
	t.put(w, q, r, k, f.appendHead(head[:0]), data)
}

// put seals a datagram whose body is in two parts.
func (t *transit) put(w *Wire, q *peer, r *route, k kind, head, data []byte) {
	s, err := q.sealer()
	if err != nil {
		return
	}
	if t.n == len(t.bufs) {
		t.flush(w)
	}
	h := header{kind: k, from: w.boot, to: r.boot, counter: q.frames.Add(1)}
	b := append(t.bufs[t.n][:0], make([]byte, outerLen)...)
	b = appendHeader(b, h, len(head)+len(data))
	b = append(append(b, head...), data...)
	t.bufs[t.n], t.whom[t.n], t.traffic[t.n] = s.close(b, 0), q, isTraffic(k, data)
	t.n++
}

// flush sends what was collected. Callers may hold Wire.mu: it takes no lock.
func (t *transit) flush(w *Wire) (err error) {
	for i := range t.n {
		q := t.whom[i]
		if q == nil {
			continue
		}
		t.same = t.same[:0]
		traffic := uint64(0)
		for j := i; j < t.n; j++ {
			if t.whom[j] == q {
				t.whom[j] = nil
				t.same = append(t.same, t.bufs[j])
				if t.traffic[j] {
					traffic++
				}
			}
		}
		if traffic > 0 {
			q.sent.n.Add(traffic)
			q.framed.n.Add(traffic)
			if !q.watched.Load() {
				q.watch()
			}
		}
		r := q.near.Load()
		if r == nil || q.cut.Load() {
			err = errNoHop
			continue
		}
		if e := q.sendOn(t.same, r); e != nil {
			q.failed.Store(true)
			err = e
		}
	}
	t.n = 0
	return err
}

// sendChain sends datagrams over others.
func (w *Wire) sendChain(bufs [][]byte, c *chain) error {
	q := w.dir.Load().byTag[c[0]]
	if q == nil {
		return errNoHop
	}
	r := q.near.Load()
	if r == nil || r.boot == 0 {
		return errNoHop
	}
	t := transits.Get().(*transit)
	defer transits.Put(t)
	f := c.frame(w.tag)
	for _, b := range bufs {
		f.data = b
		t.add(w, q, r, &f)
	}
	return t.flush(w)
}
