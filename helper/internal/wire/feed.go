package wire

import (
	"net"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"kith.internal/helper/internal/wire/udp"
)

// feedQueue is how many packets wait for wireguard-go at most.
const feedQueue = 1024

// feed hands wireguard-go the WireGuard packets that have not come by the main
// sockets.
type feed struct {
	queue chan *fed
	poke  chan struct{} // has receiveFed come back with nothing
	pool  sync.Pool
	open  atomic.Bool // wireguard-go reads
}

// fed is a packet that waits.
type fed struct {
	data []byte
	ep   conn.Endpoint
}

func (f *feed) start() {
	f.queue = make(chan *fed, feedQueue)
	f.poke = make(chan struct{}, 1)
	f.pool.New = func() any { return &fed{data: make([]byte, 0, ownBuffer)} }
}

// feed queues a copy of a packet, if wireguard-go is there to take it.
func (u *pump) feed(b []byte, from place, src udp.Source) {
	f := &u.fed
	if u.w.local.Load().forbids(from) {
		return
	}
	ep := u.w.whose(b, from, src)
	if ep == nil || !f.open.Load() {
		return
	}
	m := f.pool.Get().(*fed)
	m.data, m.ep = append(m.data[:0], b...), ep
	select {
	case f.queue <- m:
	default:
		f.pool.Put(m)
		u.w.drops.feed.Add(1)
	}
}

// whose counts a WireGuard packet and gives the endpoint that it comes from,
// nil for an initiation that is not to count.
func (w *Wire) whose(b []byte, from place, src udp.Source) conn.Endpoint {
	o := (*w.owners.Load())[from]
	if o == nil {
		return w.raws.get(w, from, src)
	}
	switch b[0] {
	case initiationType:
		if !o.p.takes() {
			return nil
		}
		return &o.p.ep
	case responseType:
		o.p.ends()
	}
	o.count.n.Add(1)
	return &o.p.ep
}

// receiveFed is one more receive function of wireguard-go; gone is closed when
// its age ends.
func (f *feed) receiveFed(gone <-chan struct{}) conn.ReceiveFunc {
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (n int, err error) {
		var m *fed
		select {
		case <-gone:
			return 0, net.ErrClosed
		case <-f.poke:
			return 0, nil
		case m = <-f.queue:
		}
		for {
			sizes[n], eps[n] = copy(bufs[n], m.data), m.ep
			m.ep = nil
			f.pool.Put(m)
			if n++; n == len(bufs) {
				return n, nil
			}
			select {
			case m = <-f.queue:
			default:
				return n, nil
			}
		}
	}
}
