// Package wall keeps friends apart in the TUN path: a guest reaches what its
// share names on this device and nothing behind it, and nothing reaches a guest
// but answers. What passes between members is none of its concern. It knows
// packets and addresses alone, and imports nothing of ours.
package wall

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

// Port is a range of ports of one protocol, TCP (6) or UDP (17).
type Port struct {
	Proto       uint8
	First, Last uint16
}

// Ports are what may be opened.
type Ports struct {
	All bool
	Few []Port
	// Echo lets echo requests pass, whichever the ports.
	Echo bool
}

func (p *Ports) equal(o *Ports) bool {
	return p.All == o.All && p.Echo == o.Echo && slices.Equal(p.Few, o.Few)
}

// Rule is what may be opened between this device and one on the other side: by
// that one here, and by this one there.
type Rule struct{ In, Out Ports }

// opens tells whether a packet may begin something.
func (r *Rule) opens(p *packet, in bool) bool {
	may := &r.Out
	if in {
		may = &r.In
	}
	switch p.proto {
	case protoEcho:
		return p.request && may.Echo
	case protoTCP, protoUDP:
		return may.All || slices.ContainsFunc(may.Few, func(q Port) bool {
			return q.Proto == p.proto && q.First <= p.to && p.to <= q.Last
		})
	}
	return false
}

// Wall is a TUN with the wall in it.
type Wall struct {
	tun.Device
	rules atomic.Pointer[rules]
	now   func() time.Time
}

// rules are replaced whole.
type rules struct {
	self   netip.Addr // this device's address: guests know no other
	closed bool       // who has no rule does not pass
	by     map[netip.Addr]*neighbour
}

// neighbour is a device with a rule, and what is open with it.
type neighbour struct {
	rule  Rule
	mu    sync.Mutex
	flows map[flow]time.Time
}

// flow is named as this device sees it.
type flow struct {
	proto       uint8
	here, there uint16 // an echo's identifier is both
}

// Bounds.
const (
	flowsMost  = 4096 // with one neighbour; the oldest go first
	flowsSwept = flowsMost / 4
	idleUDP    = 3 * time.Minute
	idleTCP    = 2 * time.Hour
)

// New puts a wall into a TUN. Until Set, all passes; with closed nothing does
// that has no rule.
func New(dev tun.Device, closed bool) *Wall {
	w := &Wall{Device: dev, now: time.Now}
	w.rules.Store(&rules{closed: closed})
	return w
}

// Set says what may be opened with whom, by address. What is open with who keeps
// the same rule stays open.
func (w *Wall) Set(self netip.Addr, by map[netip.Addr]Rule) {
	old := w.rules.Load()
	next := &rules{self: self, closed: old.closed, by: make(map[netip.Addr]*neighbour, len(by))}
	for a, r := range by {
		if n := old.by[a]; n != nil && n.rule.In.equal(&r.In) && n.rule.Out.equal(&r.Out) && old.self == self {
			next.by[a] = n
		} else {
			next.by[a] = &neighbour{rule: r, flows: map[flow]time.Time{}}
		}
	}
	w.rules.Store(next)
}

// Keep passes a peer on to a TUN of a simulation, see tunnel.Keeper.
func (w *Wall) Keep(peer any) {
	if k, ok := w.Device.(interface{ Keep(peer any) }); ok {
		k.Keep(peer)
	}
}

// idle tells whether there is nothing to look at.
func (r *rules) idle() bool { return !r.closed && len(r.by) == 0 }

// Read takes out what may not leave: its size becomes 0.
func (w *Wall) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := w.Device.Read(bufs, sizes, offset)
	r := w.rules.Load()
	if r.idle() {
		return n, err
	}
	for i := range n {
		if !w.passes(r, bufs[i][offset:offset+sizes[i]], false) {
			sizes[i] = 0
		}
	}
	return n, err
}

// Write leaves out what may not come in.
func (w *Wall) Write(bufs [][]byte, offset int) (int, error) {
	r := w.rules.Load()
	if r.idle() {
		return w.Device.Write(bufs, offset)
	}
	kept := bufs
	for i, b := range bufs {
		ok := w.passes(r, b[offset:], true)
		switch {
		case ok && len(kept) != len(bufs):
			kept = append(kept, b)
		case !ok && len(kept) == len(bufs):
			kept = append(make([][]byte, 0, len(bufs)), bufs[:i]...)
		}
	}
	if len(kept) == 0 {
		return len(bufs), nil
	}
	if _, err := w.Device.Write(kept, offset); err != nil {
		return 0, err
	}
	return len(bufs), nil
}

// passes judges one packet.
func (w *Wall) passes(r *rules, b []byte, in bool) bool {
	p, ok := parse(b)
	if !ok {
		// What is no whole IPv6 packet is of no guest's, or a forgery.
		there, known := neighbourOf(b, in)
		return !r.closed && (!known || r.by[there] == nil)
	}
	here, there := p.dst, p.src
	if !in {
		here, there = p.src, p.dst
	}
	n := r.by[there]
	switch {
	case n == nil:
		return !r.closed
	case here != r.self:
		return false
	}
	return n.passes(&p, in, w.now())
}

func (n *neighbour) passes(p *packet, in bool, now time.Time) bool {
	f := flow{p.proto, p.from, p.to}
	if in {
		f = flow{p.proto, p.to, p.from}
	}
	if p.proto == protoError {
		// What it is about went the other way.
		if f = p.about; !in {
			f.here, f.there = f.there, f.here
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		return f.proto != 0 && n.open(f, now)
	}
	may := n.rule.opens(p, in)
	n.mu.Lock()
	defer n.mu.Unlock()
	if !may && (p.begins || p.request || p.proto == protoNone || !n.open(f, now)) {
		return false
	}
	if _, there := n.flows[f]; !there && len(n.flows) >= flowsMost {
		n.sweep()
	}
	n.flows[f] = now
	return true
}

func (n *neighbour) open(f flow, now time.Time) bool {
	at, ok := n.flows[f]
	idle := idleUDP
	if f.proto == protoTCP {
		idle = idleTCP
	}
	return ok && now.Sub(at) < idle
}

// sweep makes room.
func (n *neighbour) sweep() {
	ages := make([]time.Time, 0, len(n.flows))
	for _, at := range n.flows {
		ages = append(ages, at)
	}
	slices.SortFunc(ages, time.Time.Compare)
	limit := ages[min(flowsSwept, len(ages)-1)]
	for f, at := range n.flows {
		if !at.After(limit) {
			delete(n.flows, f)
		}
	}
}
