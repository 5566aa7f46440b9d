// Package udptest is a network in memory: hosts with interfaces on segments,
// routers with NATs and firewalls between these. A host's ports are udp.Conns,
// its multicast is discover.Multicast, and it has TCP. It is the fake of all
// three and the ground that simulations stand on. It uses mutexes only
// around what never waits, and channels and timers for the rest, so it runs
// inside synctest bubbles; it starts no goroutine.
package udptest

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Net is a network of hosts and segments. Its dice are seeded alike each time.
type Net struct {
	mu     sync.Mutex
	rng    *rand.Rand
	hosts  []*Host
	ifaces int    // handed out so far: an index names one interface in the whole net
	shape  uint64 // counts changes of what is plugged in where, and of routes
	queue  queue
	timer  *time.Timer
	// running tells that what is due is being delivered.
	running bool
	sent    uint64
	names   map[string][]netip.Addr
	tap     func(host string, d Datagram)
}

// NewNet is an empty network.
func NewNet() *Net {
	return &Net{rng: rand.New(rand.NewPCG(1, 2)), names: map[string][]netip.Addr{}}
}

// Seed throws the net's dice anew.
func (n *Net) Seed(seed uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rng = rand.New(rand.NewPCG(seed, 2))
}

// SetTap shows what each host sends, once, whatever becomes of it; nil ends
// that. It must not call the net.
func (n *Net) SetTap(see func(host string, d Datagram)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = see
}

// Datagram is one packet on a segment.
type Datagram struct {
	From, To netip.AddrPort // without zones
	Payload  []byte
	tcp      *segment // nil: UDP
	hops     int
}

// TCP tells whether it is a TCP segment, else it is a UDP datagram.
func (d Datagram) TCP() bool { return d.tcp != nil }

// size is that of the packet with its IP header.
func (d Datagram) size() int {
	size := len(d.Payload) + 8 + 20
	if d.tcp != nil {
		size += 12
	}
	if d.To.Addr().Is6() {
		size += 20
	}
	return size
}

// event is a datagram under way.
type event struct {
	at      time.Time
	seq     uint64
	deliver func()
}

// queue is a heap by time, then by order of sending.
type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

// after runs deliver, with the net locked, when delay has passed. Equal delays
// keep their order.
func (n *Net) after(delay time.Duration, deliver func()) {
	if delay <= 0 {
		deliver()
		return
	}
	n.sent++
	heap.Push(&n.queue, event{time.Now().Add(delay), n.sent, deliver})
	if !n.running && n.queue[0].seq == n.sent { // the others are later
		n.schedule()
	}
}

func (n *Net) schedule() {
	if len(n.queue) == 0 {
		return
	}
	wait := time.Until(n.queue[0].at)
	if n.timer == nil {
		n.timer = time.AfterFunc(wait, n.run)
	} else {
		n.timer.Reset(wait)
	}
}

func (n *Net) run() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running = true
	for now := time.Now(); len(n.queue) > 0 && !n.queue[0].at.After(now); {
		heap.Pop(&n.queue).(event).deliver()
	}
	n.running = false
	n.schedule()
}
