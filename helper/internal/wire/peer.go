package wire

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

const (
	maxGiven     = 32 // candidates that we were given or that have answered
	maxTold      = 16 // that the peer itself names
	maxProbes    = 48 // addresses pinged at once
	maxPings     = 96 // outstanding
	maxInstances = 64 // devices that hold one shared key

	pingLives     = 5 * time.Second
	instanceLives = time.Minute // idle
	instanceGrace = time.Second // idle, where others wait for a place
)

// counter counts packets on the packet path. Its size keeps two of them off
// one cache line.
type counter struct {
	n atomic.Uint64
	_ [56]byte
}

// peer is one peer. An idle one costs little more than its keys.
type peer struct {
	id      key.Public
	tag     tag // as a node
	shared  bool
	guest   bool // guarded by Wire.mu, as are
	removed bool
	only    []key.Public
	relay   *Relay
	chains  []chain
	wire    *Wire
	ep      Endpoint

	// What follows is used on the packet path, without a lock.
	sent     counter
	framed   counter               // of these, frames for others: they go by near alone
	route    atomic.Pointer[route] // nil: no path
	near     atomic.Pointer[route] // without hops
	watched  atomic.Bool           // the schedule looks at what is sent
	failed   atomic.Bool           // the system refused to send
	cut      atomic.Bool
	crossing crossing
	keys     atomic.Pointer[theirs]
	speaks   atomic.Pointer[ownKey] // the key of ours that it has last used; nil: not yet
	counter  *atomic.Uint64         // of the last datagram sealed; holders of a shared key have one with it
	frames   atomic.Uint64          // of the last frame
	pieces   atomic.Uint64          // frames cut

	// What follows is guarded by Wire.mu.
	given []netip.AddrPort // newest first
	due   due
	c     *contact // nil until there was something to say
}

// contact is what there is to know about a peer that we deal with.
type contact struct {
	base *peer // of an instance of a shared key, else nil

	boot      boot // 0: not known
	window    window
	passing   *passing // made on first use
	word      flags    // the peer's
	wordAt    uint64
	wantTold  time.Time // when the handler last heard that it wants us
	lastHeard time.Time // authenticated

	told       []told
	toldAny    bool   // it has named them in its present life
	toldLimit  bucket // of its messages
	tells      bucket // of ours
	pings      []outstanding
	links      []*wireLink
	birthday   *birthday
	distrusted []distrust
	relaying   *relaying // nil: not a relay that we deal with
	paths      paths
	notified   Path
	since      time.Time // of the best path

	answers    bucket // to pings that prove nothing
	challenges bucket

	wasActive  bool
	want       bool
	configured bool
	soughtTill time.Time
	hopTill    time.Time // as the first hop to others
	sessions   map[*session]struct{}
	dialing    map[*dialing]struct{}
	handshakes bucket
	gossip     bucket        // session packets that are no sign of activity
	packets    uint32        // QUIC packets sent
	ready      chan struct{} // closed when there is a path, nil if nobody waits

	round     int
	nextRound time.Time
	sentSeen  uint64
	lastSent  time.Time // WireGuard or session packets
	spoken    time.Time // of them, those that call for an answer
	talking   time.Time // the first of these since the best path was heard
	active    time.Time // the last sign of traffic that matters
	failedAt  time.Time
	held      *held // the last initiation
	response  *held
	answered  time.Time // when wireguard-go last answered an initiation of the peer's
	frags     reassembly

	instances map[boot]*peer
	addr      *peerAddr
}

// outstanding is a ping that waits for its pong.
type outstanding struct {
	txid uint64
	to   place
	at   time.Time
	size int    // of the datagram, if padded
	sent uint64 // packets sent to the peer before
}

// route is where to send to, as the packet path reads it.
type route struct {
	to, to2   place
	src, src2 udp.Source
	both      bool // while in doubt
	plain     bool // over the main sockets alone, as most are
	boot      boot // the peer's
	mtu       int  // bytes of a datagram
}

func newPeer(w *Wire, q Peer) *peer {
	p := &peer{id: q.ID, tag: nodeTag(q.ID), shared: q.Shared, wire: w, counter: new(atomic.Uint64)}
	p.keys.Store(newTheirs(q.Control))
	p.ep.p = p
	p.due.at = -1
	return p
}

// contact gives the peer's state, made on first use.
func (p *peer) contact() *contact {
	if p.c == nil {
		p.c = &contact{
			answers:    bucket{rate: 5, burst: 10},
			challenges: bucket{rate: 5, burst: 10},
			toldLimit:  bucket{rate: 2, burst: 4},
			tells:      bucket{rate: 1, burst: 3},
			handshakes: bucket{rate: 1, burst: 8},
			gossip:     bucket{rate: 1, burst: 6},
			addr:       newPeerAddr(p),
		}
		if p.shared { // many strangers who hold the key may come at once
			p.c.answers, p.c.challenges = bucket{rate: 50, burst: 200}, bucket{rate: 50, burst: 200}
		}
	}
	return p.c
}

// instance gives the peer that is the life b of a shared key, nil if there is
// none.
func (p *peer) instance(b boot) *peer {
	if p.c == nil {
		return nil
	}
	return p.c.instances[b]
}

// addInstance makes a peer for a life of a shared key that has proved itself.
func (p *peer) addInstance(b boot, now time.Time) *peer {
	c := p.contact()
	if c.instances == nil {
		c.instances = map[boot]*peer{}
	}
	var idle boot // the longest
	for b, q := range c.instances {
		if len(q.c.sessions) > 0 {
			continue
		}
		if now.Sub(q.c.lastHeard) > instanceLives {
			p.wire.cutPeer(q)
			delete(c.instances, b)
		} else if idle == 0 || q.c.lastHeard.Before(c.instances[idle].c.lastHeard) {
			idle = b
		}
	}
	if len(c.instances) >= maxInstances {
		if idle == 0 || now.Sub(c.instances[idle].c.lastHeard) < instanceGrace {
			return nil
		}
		p.wire.cutPeer(c.instances[idle])
		delete(c.instances, idle)
	}
	q := newPeer(p.wire, Peer{ID: p.id})
	// To the holder our pings to all who hold the key are of one sender with what
	// is for it alone: counted apart, these would look replayed.
	q.counter = p.counter
	q.keys.Store(p.keys.Load())
	q.speaks.Store(p.speaks.Load())
	q.contact().base = p
	c.instances[b] = q
	return q
}

// addGiven puts addresses before the known ones and tells whether any is new.
func (p *peer) addGiven(addrs []netip.AddrPort) (fresh bool) {
	for _, a := range slices.Backward(addrs) {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		i := slices.Index(p.given, a)
		if i < 0 {
			fresh = true
			p.given = append(p.given, a)
			i = len(p.given) - 1
		}
		copy(p.given[1:i+1], p.given[:i])
		p.given[0] = a
	}
	p.given = p.given[:min(len(p.given), maxGiven)]
	return fresh
}

// takePing tells whether a pong answers a ping that we sent there, and how
// long it took. It is answered once.
func (c *contact) takePing(txid uint64, from place, now time.Time) (o outstanding, ok bool) {
	for i, o := range c.pings {
		if o.txid == txid && o.to == from {
			c.pings = slices.Delete(c.pings, i, i+1)
			return o, now.Sub(o.at) <= pingLives
		}
	}
	return outstanding{}, false
}

func (c *contact) notePing(o outstanding) {
	if old := slices.IndexFunc(c.pings, func(q outstanding) bool { return o.at.Sub(q.at) <= pingLives }); old != 0 {
		if old < 0 {
			old = len(c.pings)
		}
		c.pings = slices.Delete(c.pings, 0, old)
	}
	if len(c.pings) >= maxPings {
		c.pings = slices.Delete(c.pings, 0, 1)
	}
	c.pings = append(c.pings, o)
}
