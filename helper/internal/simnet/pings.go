package simnet

import (
	"context"
	"sync"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// pingEvery is the beat of Pings: what Gap gives is coarser by as much.
const pingEvery = 100 * time.Millisecond

// Pings is ten pings a second from a host to a device.
type Pings struct {
	h      *Host
	cancel func()
	tasks  sync.WaitGroup

	mu    sync.Mutex
	last  time.Time // the last answer, or the mark
	gap   time.Duration
	paths []ipc.PathKind // each that differs from the one before
	sent  int
	heard int
}

// Pings begins to ping; the caller ends it before the engine of h ends.
func (h *Host) Pings(name string) *Pings {
	ctx, cancel := context.WithCancel(h.tb.Context())
	p := &Pings{h: h, cancel: cancel, last: time.Now()}
	e := h.Engine
	answered := func(r ipc.PingReply) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.RTTMS != nil {
			p.heard++
			p.gap = max(p.gap, time.Since(p.last))
			p.last = time.Now()
		}
		if n := len(p.paths); n == 0 || p.paths[n-1] != r.Path {
			p.paths = append(p.paths, r.Path)
		}
		return nil
	}
	p.tasks.Go(func() {
		t := time.NewTicker(pingEvery)
		defer t.Stop()
		for {
			p.mu.Lock()
			p.sent++
			p.mu.Unlock()
			p.tasks.Go(func() {
				e.Ping(ctx, server.Caller{}, ipc.PingRequest{Host: name, Count: 1}, answered)
			})
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
	return p
}

// Mark has what follows count alone.
func (p *Pings) Mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.gap, p.paths, p.sent, p.heard = time.Now(), 0, nil, 0, 0
}

// Gap is the longest time without an answer.
func (p *Pings) Gap() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.gap, time.Since(p.last))
}

// Paths is the kinds of path that there were, in their order.
func (p *Pings) Paths() []ipc.PathKind {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]ipc.PathKind(nil), p.paths...)
}

// Answered is the share of pings that were answered, of 1.
func (p *Pings) Answered() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.heard) / float64(max(p.sent, 1))
}

// Stop ends it.
func (p *Pings) Stop() {
	p.cancel()
	p.tasks.Wait()
}
