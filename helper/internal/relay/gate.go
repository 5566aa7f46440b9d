package relay

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Who has not proved to be a member holds little and not for long. A network
// behind one address may come all at once, after the relay's restart.
const (
	maxPending       = 1024 // connections in all; a further one ends the oldest
	maxPendingSource = 256
	pendingFor       = 10 * time.Second // from accept to upgrade
	maxRequests      = 16               // a connection

	sourceRate, sourceBurst = 50, 256 // connections a second; and at once
	totalRate, totalBurst   = 400, 1024
)

// gate is the listener that strangers and members come in by.
type gate struct {
	net.Listener
	refused atomic.Uint64

	mu      sync.Mutex
	total   bucket
	pending list.List // of *guest, oldest first
	sources map[netip.Addr]*origin
}

type origin struct {
	bucket
	pending int
}

func newGate(l net.Listener) *gate {
	return &gate{Listener: l, sources: map[netip.Addr]*origin{}}
}

func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if guest := g.admit(c, time.Now()); guest != nil {
			return guest, nil
		}
		g.refused.Add(1)
		c.Close()
	}
}

// admit lets a connection in, or not.
func (g *gate) admit(c net.Conn, now time.Time) *guest {
	src := source(addrOf(c).Addr())
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.sources[src]
	if o == nil {
		if len(g.sources) >= maxSources {
			forget(g.sources,
				func(o *origin) bool { return o.pending == 0 && now.Sub(o.at) > sourceBurst/sourceRate*time.Second },
				func(o *origin) bool { return o.pending > 0 })
		}
		o = &origin{}
		g.sources[src] = o
	}
	if o.pending >= maxPendingSource || !o.take(now, sourceRate, sourceBurst) || !g.total.take(now, totalRate, totalBurst) {
		return nil
	}
	if g.pending.Len() >= maxPending {
		// A member is through in a second; who has been here longest is none.
		g.refused.Add(1)
		g.leave(g.pending.Front().Value.(*guest))
	}
	tuneTCP(c)
	guest := &guest{Conn: c, gate: g, source: src, until: now.Add(pendingFor)}
	c.SetDeadline(guest.until)
	guest.place = g.pending.PushBack(guest)
	o.pending++
	return guest
}

// leave ends a guest's connection and forgets it. Callers hold mu.
func (g *gate) leave(c *guest) {
	g.remove(c)
	c.Conn.Close()
}

// remove takes a connection out of those who wait. Callers hold mu.
func (g *gate) remove(c *guest) {
	if c.place == nil {
		return
	}
	g.pending.Remove(c.place)
	c.place = nil
	if o := g.sources[c.source]; o != nil {
		o.pending--
	}
}

// guest is a connection of who has not proved anything yet. Its deadlines end
// where its time ends, whatever net/http sets.
type guest struct {
	net.Conn
	gate   *gate
	source netip.Addr
	place  *list.Element // guarded by gate.mu; nil: no longer waiting
	until  time.Time
	asked  int // requests so far
	member atomic.Bool
}

// enough counts a request and tells whether it is to be the last.
func (c *guest) enough() bool {
	c.asked++
	return c.asked >= maxRequests
}

func (c *guest) Close() error {
	c.gate.mu.Lock()
	c.gate.remove(c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// admitted ends the guest's bounds.
func (c *guest) admitted() {
	c.gate.mu.Lock()
	c.gate.remove(c)
	c.gate.mu.Unlock()
	c.member.Store(true)
	c.Conn.SetDeadline(time.Time{})
}

func (c *guest) clip(t time.Time) time.Time {
	if !c.member.Load() && (t.IsZero() || t.After(c.until)) {
		return c.until
	}
	return t
}

func (c *guest) SetDeadline(t time.Time) error      { return c.Conn.SetDeadline(c.clip(t)) }
func (c *guest) SetReadDeadline(t time.Time) error  { return c.Conn.SetReadDeadline(c.clip(t)) }
func (c *guest) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(c.clip(t)) }
