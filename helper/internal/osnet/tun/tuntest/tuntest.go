// Package tuntest is a TUN in memory, for tests. It behaves as package tun's
// does: batches, no events, packets lost where the host does not take them. It
// imports nothing of ours, and works inside a testing/synctest bubble.
package tuntest

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"
)

// queue is as long as the kernel's for a TUN.
const queue = 500

// TUN is a tun.Device whose host is the test.
type TUN struct {
	// Inject takes what the host's programs send: the device reads it. A
	// packet belongs to the TUN from then on. It is never closed.
	Inject chan<- []byte
	// Outbound gives what the device hands to the host's programs, as copies.
	// When it is full, packets are lost and counted. It is never closed.
	Outbound <-chan []byte

	name     string
	mtu      int
	in, out  chan []byte
	events   chan tun.Event
	closed   chan struct{}
	closing  sync.Once
	lost     atomic.Uint64
	reading  sync.Mutex
	toolarge atomic.Uint64
}

var _ tun.Device = (*TUN)(nil)

// New makes a TUN. Call it inside the bubble that uses it.
func New(name string, mtu int) *TUN {
	t := &TUN{
		name: name, mtu: mtu,
		in: make(chan []byte, queue), out: make(chan []byte, queue),
		events: make(chan tun.Event), closed: make(chan struct{}),
	}
	t.Inject, t.Outbound = t.in, t.out
	return t
}

// Lost is how many packets found Outbound full.
func (t *TUN) Lost() uint64 { return t.lost.Load() }

// TooLarge is how many injected packets were over the MTU.
func (t *TUN) TooLarge() uint64 { return t.toolarge.Load() }

// Closed ends when the device is closed.
func (t *TUN) Closed() <-chan struct{} { return t.closed }

func (t *TUN) File() *os.File           { return nil }
func (t *TUN) Name() (string, error)    { return t.name, nil }
func (t *TUN) MTU() (int, error)        { return t.mtu, nil }
func (t *TUN) BatchSize() int           { return conn.IdealBatchSize }
func (t *TUN) Events() <-chan tun.Event { return t.events }

// Read waits for one packet, then takes what else is there.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	n := 0
	for n == 0 {
		select {
		case <-t.closed:
			return 0, os.ErrClosed
		case p := <-t.in:
			n = t.take(p, bufs, sizes, offset, n)
		}
	}
	for n < min(len(bufs), len(sizes), t.BatchSize()) {
		select {
		case p := <-t.in:
			n = t.take(p, bufs, sizes, offset, n)
		default:
			return n, nil
		}
	}
	return n, nil
}

func (t *TUN) take(p []byte, bufs [][]byte, sizes []int, offset, n int) int {
	if len(p) > t.mtu {
		t.toolarge.Add(1)
		return n
	}
	sizes[n] = copy(bufs[n][offset:], p)
	return n + 1
}

// Write hands packets to the host.
func (t *TUN) Write(bufs [][]byte, offset int) (int, error) {
	for i, b := range bufs {
		if offset > len(b) {
			return i, fmt.Errorf("write to %s: offset %d in a buffer of %d", t.name, offset, len(b))
		}
		select {
		case <-t.closed:
			return i, os.ErrClosed
		default:
		}
		select {
		case t.out <- append([]byte(nil), b[offset:]...):
		default:
			t.lost.Add(1)
		}
	}
	return len(bufs), nil
}

// Close may be called more than once.
func (t *TUN) Close() error {
	t.closing.Do(func() {
		close(t.closed)
		close(t.events)
	})
	return nil
}
