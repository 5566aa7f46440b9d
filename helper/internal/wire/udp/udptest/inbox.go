package udptest

import (
	"net/netip"
	"sync"

	"kith.internal/helper/internal/wire/udp"
)

// backlog is how many datagrams a socket holds; what comes beyond is lost.
const backlog = 4096

// arrival is a datagram in a socket's buffer.
type arrival struct {
	from    netip.AddrPort
	to      udp.Source
	payload []byte
}

// inbox is a socket's buffer. It takes memory as it fills.
type inbox struct {
	some chan struct{} // has something to receive when there may be arrivals

	mu    sync.Mutex
	queue []arrival
}

func newInbox() *inbox { return &inbox{some: make(chan struct{}, 1)} }

// put adds an arrival, or loses it; a nil inbox loses all.
func (b *inbox) put(a arrival) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) < backlog {
		b.queue = append(b.queue, a)
		b.wake()
	}
}

func (b *inbox) wake() {
	select {
	case b.some <- struct{}{}:
	default:
	}
}

// take gives up to most arrivals to each, in their order, and says how many.
func (b *inbox) take(most int, each func(i int, a arrival)) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(most, len(b.queue))
	for i, a := range b.queue[:n] {
		each(i, a)
		b.queue[i] = arrival{}
	}
	if b.queue = b.queue[n:]; len(b.queue) == 0 {
		b.queue = nil
	} else {
		b.wake()
	}
	return n
}
