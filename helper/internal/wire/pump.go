package wire

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"kith.internal/helper/internal/wire/udp"
)

// ownBatch and ownBuffer suffice for control datagrams, which are all that
// matters while wireguard-go does not run.
const (
	ownBatch  = 16
	ownBuffer = 2048
	growAfter = 256 // reads

	// readPause slows down after an error of a socket that may pass.
	readPause = 10 * time.Millisecond
)

// pump says who reads the sockets: wireguard-go's receive functions while its
// bind is open, else goroutines of ours. Each hand-over begins a new age, in
// which the readers of older ages may not read.
type pump struct {
	w       *Wire
	readers []*reader
	wg      sync.WaitGroup

	fed feed

	mu     sync.Mutex // one hand-over at a time
	age    uint64
	gone   chan struct{} // closed when the age ends
	isOpen bool          // wireguard-go reads
	closed bool

	nudged atomic.Bool // readers come back with nothing
}

// nudge has wireguard-go's receive functions return with nothing until the
// function it gives back is called; hand-overs wait for that.
func (u *pump) nudge() (end func()) {
	u.mu.Lock()
	if !u.isOpen || u.closed {
		return u.mu.Unlock
	}
	u.nudged.Store(true)
	u.w.conn.Interrupt()
	select {
	case u.fed.poke <- struct{}{}:
	default:
	}
	return func() {
		u.nudged.Store(false)
		u.w.conn.Resume()
		u.mu.Unlock()
	}
}

// reader is one socket.
type reader struct {
	pump *pump
	fn   func([]udp.Packet) (int, error)
	via  carrier // nil: a main socket

	mu   sync.Mutex
	age  uint64    // who may read
	busy bool      // someone does
	idle sync.Cond // no longer busy
}

func newReader(u *pump, fn func([]udp.Packet) (int, error), via carrier) *reader {
	r := &reader{pump: u, fn: fn, via: via}
	r.idle.L = &r.mu
	return r
}

// turn keeps readers of other ages away from now on.
func (r *reader) turn(age uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.age = age
}

// enter tells whether a reader of the age may read now.
func (r *reader) enter(age uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.age != age {
		return false
	}
	r.busy = true
	return true
}

func (r *reader) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	r.idle.Signal()
}

func (u *pump) start(w *Wire) {
	u.w = w
	u.gone = make(chan struct{})
	u.fed.start()
	for _, fn := range w.conn.Readers() {
		u.readers = append(u.readers, newReader(u, fn, nil))
	}
	u.run(u.age)
}

// run reads with goroutines of ours.
func (u *pump) run(age uint64) {
	for _, r := range u.readers {
		u.wg.Go(func() { r.run(age, ownBatch) })
	}
}

// turn begins a new age: when it returns, no reader of an older one reads.
func (u *pump) turn() uint64 {
	u.age++
	close(u.gone)
	u.gone = make(chan struct{})
	u.fed.open.Store(u.isOpen && !u.closed)
	for _, r := range u.readers {
		r.turn(u.age)
	}
	u.w.conn.Interrupt()
	for _, r := range u.readers {
		r.mu.Lock()
		for r.busy {
			r.idle.Wait()
		}
		r.mu.Unlock()
	}
	u.w.conn.Resume()
	return u.age
}

func (u *pump) open() ([]conn.ReceiveFunc, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, net.ErrClosed
	}
	if u.isOpen {
		return nil, conn.ErrBindAlreadyOpen
	}
	u.isOpen = true
	age := u.turn()
	var fns []conn.ReceiveFunc
	for _, r := range u.readers {
		fns = append(fns, newReceiver(r, age).receive)
	}
	return append(fns, u.fed.receiveFed(u.gone)), nil
}

func (u *pump) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.isOpen || u.closed {
		return
	}
	u.isOpen = false
	u.run(u.turn())
}

func (u *pump) stop() {
	u.mu.Lock()
	u.closed = true
	u.turn()
	u.mu.Unlock()
	u.wg.Wait()
}

// read reads a batch; net.ErrClosed once the age is over.
func (r *reader) read(age uint64, pkts []udp.Packet) (int, error) {
	for {
		if !r.enter(age) {
			return 0, net.ErrClosed
		}
		n, err := r.fn(pkts)
		r.leave()
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, net.ErrClosed):
			return 0, net.ErrClosed
		case r.pump.nudged.Load():
			return 0, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			// wireguard-go would give the socket up.
			r.pump.w.drops.readErrors.Add(1)
			select {
			case <-r.pump.w.done:
			case <-time.After(readPause):
			}
		}
	}
}

// run reads until the age is over. A small batch grows when there is traffic.
func (r *reader) run(age uint64, batch int) {
	var pkts []udp.Packet
	t := new(transit)
	for reads := 0; ; reads++ {
		if reads == growAfter {
			batch = ownBatch
		}
		for len(pkts) < batch {
			pkts = append(pkts, udp.Packet{Buf: make([]byte, ownBuffer)})
		}
		n, err := r.read(age, pkts)
		if err != nil {
			return
		}
		for i := range pkts[:n] {
			p := &pkts[i]
			r.pump.w.take(p.Buf[:p.N], place{addr: p.Addr, via: r.via}, p.Src, t)
		}
		t.flush(r.pump.w)
	}
}

// receiver is a receive function of wireguard-go with what it remembers of the
// last packet: most come from the same address as the one before.
type receiver struct {
	r      *reader
	age    uint64
	pkts   []udp.Packet
	addr   netip.AddrPort
	owners *owners // as they were when
	ep     conn.Endpoint
	owner  *owner // nil: unknown

	transit transit
}

func newReceiver(r *reader, age uint64) *receiver {
	return &receiver{r: r, age: age, pkts: make([]udp.Packet, r.pump.w.batch())}
}

func (v *receiver) receive(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	pkts := v.pkts[:min(len(bufs), len(v.pkts))]
	for i := range pkts {
		pkts[i].Buf = bufs[i]
	}
	n, err := v.r.read(v.age, pkts)
	if err != nil {
		return 0, err
	}
	w := v.r.pump.w
	var counted *owner
	var packets uint64 // from it
	for i := range pkts[:n] {
		p := &pkts[i]
		sizes[i] = 0
		switch classify(p.Buf[:p.N]) {
		case looksWireGuard:
			if owners := w.owners.Load(); p.Addr != v.addr || owners != v.owners {
				v.find(p, owners)
			}
			if v.owner != nil && p.Buf[0] == initiationType && !v.owner.p.takes() {
				continue
			}
			if v.owner != nil && p.Buf[0] != initiationType {
				if p.Buf[0] == responseType {
					v.owner.p.ends()
				}
				if v.owner != counted {
					counted.add(packets)
					counted, packets = v.owner, 0
				}
				packets++
			}
			sizes[i], eps[i] = p.N, v.ep
		case looksSTUN:
			w.takeSTUN(p.Buf[:p.N], at(p.Addr), p.Src)
		default:
			inner, from := w.receive(p.Buf[:p.N], at(p.Addr), p.Src, &v.transit)
			if len(inner) > 0 {
				if eps[i] = w.whose(inner, from, udp.Source{}); eps[i] != nil {
					sizes[i] = copy(bufs[i], inner)
				}
			}
		}
	}
	counted.add(packets)
	if v.transit.n > 0 {
		v.transit.flush(w)
	}
	return n, nil
}

// find looks up whose a packet's address is.
func (v *receiver) find(p *udp.Packet, o *owners) {
	w := v.r.pump.w
	v.addr, v.owners, v.owner = p.Addr, o, (*o)[at(p.Addr)]
	if v.owner != nil {
		v.ep = &v.owner.p.ep
		return
	}
	v.ep = w.raws.get(w, at(p.Addr), p.Src)
}
