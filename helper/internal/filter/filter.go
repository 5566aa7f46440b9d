package filter

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Filter judges packets. It is safe for concurrent use.
type Filter struct {
	rules atomic.Pointer[Rules]
	gens  atomic.Uint64
	start time.Time

	mu    sync.Mutex
	flows table
	frags frags
}

// New makes a filter that lets nothing pass until Set.
func New() *Filter {
	f := &Filter{start: time.Now()}
	f.flows.init()
	f.rules.Store(&Rules{self: &beyond{}})
	return f
}

// Set puts rules in force. Flows that they do not open end with their next packet.
func (f *Filter) Set(r *Rules) {
	next := *r
	next.gen = f.gens.Add(1)
	f.rules.Store(&next)
}

// In tells whether a packet may pass from the tunnel to this host.
func (f *Filter) In(b []byte) bool { return f.judge(b, true, f.now()) }

// Out tells whether a packet may pass from this host into the tunnel.
func (f *Filter) Out(b []byte) bool { return f.judge(b, false, f.now()) }

// Flows is how many there are.
func (f *Filter) Flows() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flows.count
}

// now is in milliseconds.
func (f *Filter) now() int64 { return int64(time.Since(f.start) / time.Millisecond) }

func (f *Filter) judge(b []byte, in bool, now int64) bool {
	var p packet
	if !parse(b, &p) || p.kind == kindNever {
		return false
	}
	r := f.rules.Load()
	if p.frag.is {
		return f.fragment(r, &p, in, now)
	}
	return f.whole(r, &p, in, now)
}

// fragment lets the first of a datagram's fragments decide for those that follow.
func (f *Filter) fragment(r *Rules, p *packet, in bool, now int64) bool {
	k := fragKey{p.src, p.dst, p.frag.id, in}
	if !p.frag.first {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.frags.follow(k, &p.frag, r.gen, now)
	}
	ok := f.whole(r, p, in, now)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frags.begin(k, &p.frag, ok, r.gen, now)
}

func (f *Filter) whole(r *Rules, p *packet, in bool, now int64) bool {
	if p.kind == kindError {
		return f.errorPasses(r, p, in, now)
	}
	syn := p.kind == kindBegin && p.proto == TCP
	if syn && !f.begins(r, p, in) {
		return false // nor would the flow that it may repeat be open
	}
	k := keyOf(&p.ends, p.proto, p.sport, p.dport, p.kind, in)
	hash := f.flows.hash(&k)
	quiet := !syn && p.flags&(tcpFIN|tcpRST) == 0
	if quiet && f.flows.known.passes(&k, hash, r.gen, now) {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	i, gap := f.flows.find(&k, hash, now)
	if i != none {
		e := &f.flows.slab[i]
		f.freshen(r, e, now)
		// Who did not open the flow begins one of its own.
		if !syn || e.in == in && !e.dead && e.fins != 3 {
			if e.dead {
				e.seen = now
				return false
			}
			f.flows.touch(i, p.flags, in, now)
			if e.fins != 0 {
				f.flows.known.forget(&k, hash)
			} else if e.answered {
				f.flows.known.note(&k, hash, r.gen, now)
			}
			return true
		}
		f.flows.remove(i)
	}
	if !syn && !f.begins(r, p, in) {
		return false
	}
	f.flows.insert(&k, hash, gap, in, f.owner(p, in), r.gen, p.flags, p.kind == kindLater, now)
	return true
}

// freshen judges a flow again that older rules have opened.
func (f *Filter) freshen(r *Rules, e *flow, now int64) {
	if e.gen == r.gen {
		return
	}
	e.gen = r.gen
	to, back := e.key.farPort(), e.key.nearPort()
	if e.in {
		to, back = back, to
	}
	far, near, proto := e.key.far(), e.key.near(), e.key.proto()
	e.dead = !r.opens(e.in, far, near, proto, to) || e.middle && !r.opens(!e.in, far, near, proto, back)
}

// begins judges a packet that is in no flow. A TCP segment from the middle of a
// connection whose beginning nobody saw here passes where either side may have
// begun it.
func (f *Filter) begins(r *Rules, p *packet, in bool) bool {
	far, near := p.dst, p.src
	if in {
		far, near = p.src, p.dst
	}
	switch p.kind {
	case kindGo:
		return false
	case kindLater:
		return p.flags&tcpRST == 0 && r.opens(in, far, near, p.proto, p.dport) && r.opens(!in, far, near, p.proto, p.sport)
	}
	return r.opens(in, far, near, p.proto, p.dport)
}

// owner is whose share of the table a flow counts for: of who opened it.
func (f *Filter) owner(p *packet, in bool) netip.Addr {
	if in {
		return p.src
	}
	return netip.Addr{}
}

// errorPasses ties an ICMP error to the flow that it is about, which went the
// other way. Within the overlay it comes from that flow's other end alone.
func (f *Filter) errorPasses(r *Rules, p *packet, in bool, now int64) bool {
	a := &p.about
	if a.src != p.dst || a.src.Is4() != p.src.Is4() {
		return false
	}
	if within(r.networks, a.dst) && p.src != a.dst {
		return false
	}
	k := keyOf(&a.ends, a.proto, a.sport, a.dport, a.kind, !in)
	hash := f.flows.hash(&k)
	f.mu.Lock()
	defer f.mu.Unlock()
	i, _ := f.flows.find(&k, hash, now)
	if i == none {
		return false
	}
	e := &f.flows.slab[i]
	f.freshen(r, e, now)
	return !e.dead
}
