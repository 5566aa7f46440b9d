package wire

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// Config is what a wire needs. The fields after Handler may be left out.
type Config struct {
	Conn    udp.Conn            // stays the caller's: Close leaves it open
	Device  key.Private         // who we are in control sessions; a joiner: the invite's key
	Control key.ExchangePrivate // seals control datagrams; a joiner: Device.Exchange()
	Handler Handler
	Log     *slog.Logger

	// Former is the control key before Control, which who has not heard of that
	// may still use; nil if there was none.
	Former *key.ExchangePrivate
	// DialLink connects to a relay by a stream; token proves to it who asks, given
	// what binds the proof to the stream. Without it there are no links.
	DialLink func(ctx context.Context, r Relay, token func(binding []byte) ([]byte, error)) (Link, error)
	// Listen opens further UDP ports, as udp.Listen does.
	Listen func(port uint16) (udp.Conn, error)
	// STUN are servers that someone has configured: usually none.
	STUN []netip.AddrPort
	// AnswerSTUN gives the answer to a STUN request, in buf if it fits, nil to
	// refuse: who has the relay role answers.
	AnswerSTUN func(request []byte, from netip.AddrPort, buf []byte) []byte
}

// Handler is told what happens. Its methods are called from one goroutine, in
// order, and must not block; but Accept has a goroutine of its own.
type Handler interface {
	// PeerWants tells that the peer has begun to want a WireGuard session.
	PeerWants(id key.Public)
	// PeerRestarted tells that the peer has forgotten all: its WireGuard peer
	// must be configured afresh, or a clock set back would lock it out. Until
	// then, and SetConfigured, the peer hears that it is not.
	PeerRestarted(id key.Public)
	// PathChanged tells of a new best path, that it is silent or no longer so, or
	// that there is none.
	PathChanged(id key.Public, p Path)
	// NeighboursChanged tells that Wire.Neighbours has changed: at once for the
	// first and for a loss, else a second later.
	NeighboursChanged()
	// Accept hands over a control session that the peer has opened.
	Accept(id key.Public, s Session)
}

// Peer is who may talk to us.
type Peer struct {
	ID      key.Public
	Control key.Exchange
	// Shared is set for an invite's key: several devices may hold it at once,
	// each of which is then a peer of its own with the same ID.
	Shared     bool
	Candidates []netip.AddrPort
	Relay      *Relay // it has the relay role
	// Guest is set for a device that is no member. Like the holders of a shared
	// key it passes nothing on, and reaches through us those in Only alone.
	Guest bool
	Only  []key.Public
	// Removed is set for a device that may still be told that it is no member. It
	// is answered and may open a session: it reaches nobody through us, is not told
	// where we are, and what it says of addresses counts for nothing.
	Removed bool
}

// Relay is how to reach a peer that passes frames on for everyone.
type Relay struct {
	Addrs []netip.AddrPort // one port number for UDP and TCP
	Host  string           // HOST:PORT, or nothing
	Pin   [32]byte         // SHA-256 of its TLS key's SubjectPublicKeyInfo
}

// Wire is one network's share of the host's network. Its methods may be called
// from any goroutine.
type Wire struct {
	conn    udp.Conn
	device  key.Private
	tag     tag // ours, as a node
	boot    boot
	born    time.Time
	handler Handler
	log     *slog.Logger

	// The packet path reads these without a lock.
	keys   atomic.Pointer[ownKeys]
	dir    atomic.Pointer[directory]
	owners atomic.Pointer[owners]
	local  atomic.Pointer[local]

	drops  drops
	limits limits
	raws   rawCache
	events events
	pump   pump

	ctx        context.Context // ends with Close
	stop       context.CancelFunc
	dialLink   func(context.Context, Relay, func([]byte) ([]byte, error)) (Link, error)
	listen     func(port uint16) (udp.Conn, error)
	servers    []netip.AddrPort // STUN's
	answerSTUN func(request []byte, from netip.AddrPort, buf []byte) []byte

	quic quicEnd

	wake      chan struct{} // the schedule has an earlier time
	watchq    chan *peer    // has begun to send
	strangers chan place    // unknown, that WireGuard sends to
	turns     atomic.Uint64 // of the loop
	done      chan struct{}
	wg        sync.WaitGroup

	mu         sync.Mutex
	schedule   schedule
	birthdays  int // attempts under way
	sprays     int
	relays     relays
	neighbours neighbours
	outside    outside
	mapped     []netip.AddrPort
	carriers   carriers
	forwarder  forwarder
	grievances []Complaint
	observed   observed
	closed     bool
}

// limits bound the work that strangers and replays can cause.
type limits struct {
	unknown limiter // datagrams opened that come from no known path
	derive  limiter // keys derived because of a datagram
	answers limiter // sent to who has not proved to be there
	meet    limiter // unknown addresses asked who they are
	stun    limiter // STUN datagrams looked at
}

// New starts a wire on the sockets. It has no peers.
func New(cfg Config) (*Wire, error) {
	w := &Wire{
		born: time.Now(),
		conn: cfg.Conn, device: cfg.Device, handler: cfg.Handler, log: cfg.Log,
		wake:      make(chan struct{}, 1),
		watchq:    make(chan *peer, 64),
		strangers: make(chan place, 16),
		done:      make(chan struct{}),
		carriers:  carriers{ports: map[*port]struct{}{}, links: map[*wireLink]struct{}{}},
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.dialLink, w.listen, w.servers, w.answerSTUN = cfg.DialLink, cfg.Listen, cfg.STUN, cfg.AnswerSTUN
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.limits.unknown.b = bucket{rate: 2000, burst: 4000}
	w.limits.derive.b = bucket{rate: 200, burst: 400}
	w.limits.answers.b = bucket{rate: 400, burst: 800}
	w.limits.meet.b = bucket{rate: 10, burst: 20}
	w.limits.stun.b = bucket{rate: 2000, burst: 4000}
	own := ownKeys{newOwnKey(cfg.Control)}
	if cfg.Former != nil {
		own[1] = newOwnKey(*cfg.Former)
	}
	w.keys.Store(&own)
	w.tag = nodeTag(cfg.Device.Public())
	for w.boot == 0 {
		var b [8]byte
		rand.Read(b[:])
		w.boot = boot(binary.BigEndian.Uint64(b[:]))
	}
	w.dir.Store(&directory{})
	w.owners.Store(&owners{})
	w.local.Store(&local{})
	if err := w.quic.start(w); err != nil {
		return nil, err
	}
	w.events.start(w)
	w.pump.start(w)
	w.wg.Add(1)
	go w.loop()
	return w, nil
}

// Close stops the wire and its sessions, and waits until it has stopped, the
// Handler's calls included. The sockets stay open, for another wire.
func (w *Wire) Close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	var wg sync.WaitGroup
	w.eachContact(func(p *peer) {
		for s := range p.c.sessions {
			wg.Go(func() { s.Close(CodeClosed) })
		}
	})
	w.mu.Unlock()
	wg.Wait() // while the peers can still be told

	w.mu.Lock()
	for _, p := range w.dir.Load().byID {
		w.cutPeer(p)
	}
	w.dir.Store(&directory{})
	w.mu.Unlock()
	w.stop()
	close(w.done)
	w.closeCarriers()
	w.pump.stop()
	w.quic.stop()
	w.wg.Wait()
}

// SetPeers sets who may talk to us, all of them. Who is gone is cut at once;
// who stays keeps paths and sessions, with a new control key too.
func (w *Wire) SetPeers(peers []Peer) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	old := w.dir.Load()
	next := &directory{byID: make(map[key.Public]*peer, len(peers)), byTag: make(map[tag]*peer, len(peers)), bySeal: make(map[tag]*peer, len(peers))}
	for _, q := range peers {
		p := old.byID[q.ID]
		t := tagOf(q.Control)
		if next.byID[q.ID] != nil || next.bySeal[t] != nil || q.Control == w.keys.Load()[0].public {
			continue // named twice, or ourselves
		}
		if p == nil || p.shared != q.Shared {
			p = newPeer(w, q)
		} else if p.keys.Load().control != q.Control {
			p.renew(q.Control, now)
		}
		next.byID[q.ID], next.byTag[p.tag], next.bySeal[t] = p, p, p
		p.guest, p.removed, p.only, p.relay = q.Guest, q.Removed, q.Only, q.Relay
		if p.shared {
			next.shared = append(next.shared, p)
		}
		p.addCandidates(q.Candidates, now)
		if q.Relay == nil && p.c != nil {
			p.c.relaying = nil
		}
		if q.Relay != nil {
			next.relays = append(next.relays, p)
			p.addCandidates(q.Relay.Addrs, now)
		}
	}
	slices.SortFunc(next.relays, func(a, b *peer) int { return slices.Compare(a.id[:], b.id[:]) })
	w.dir.Store(next)
	w.classifyChains()
	if !slices.Equal(next.relays, old.relays) {
		w.measureRelays(now)
	}
	for id, p := range old.byID {
		if next.byID[id] != p {
			w.cutPeer(p)
		}
	}
}

// classifyChains is for when roles have changed. Callers hold Wire.mu.
func (w *Wire) classifyChains() {
	w.eachContact(func(p *peer) {
		for _, q := range p.c.paths.all {
			if q.isChain() {
				q.kind = w.kindOf(nil, q.place)
			}
		}
	})
}

// cutPeer stops all traffic with the peer. Callers hold Wire.mu.
func (w *Wire) cutPeer(p *peer) {
	p.cut.Store(true)
	if p.c != nil {
		p.publish(time.Now())
	}
	w.closeLinksOf(p.id)
	w.schedule.set(p, time.Time{})
	if p.c == nil {
		return
	}
	for _, q := range p.c.instances {
		w.cutPeer(q)
	}
	p.endMeeting()
	for _, q := range p.c.paths.all {
		w.disown(q.place, p)
	}
	p.closeSessions(errCut)
}

// AddCandidates adds addresses at which the peer may be, the newest first; a
// peer has at most 32. They are probed at once if the peer is sought: a known
// address too, since that it is named again may mean that the peer is back.
func (w *Wire) AddCandidates(id key.Public, addrs ...netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.dir.Load().byID[id]
	if p == nil {
		return
	}
	now := time.Now()
	p.addCandidates(addrs, now)
	if c := p.c; c != nil && c.seeking(now) && (c.paths.best == nil || c.paths.best.health == doubted) && c.challenges.allow(now) {
		p.again(now)
	}
}

func (p *peer) addCandidates(addrs []netip.AddrPort, now time.Time) {
	if p.addGiven(addrs) && p.c != nil && p.c.seeking(now) {
		p.again(now)
	}
}

// SetLocal tells the host's interfaces, and by index which of them are our own
// TUNs: their addresses are never endpoints.
func (w *Wire) SetLocal(ifaces []netmon.Interface, own map[int]bool) {
	w.mu.Lock()
	var out outbox
	now := time.Now()
	l := newLocal(ifaces, own)
	before := w.candidates()
	w.local.Store(l)
	w.eachContact(func(p *peer) {
		lost := false
		for _, q := range append([]*path(nil), p.c.paths.all...) {
			was := q.kind
			q.kind = w.kindOf(l, q.place)
			// A link that is gone: if there is another way to the address, it is
			// found at once.
			gone := was == LAN && q.kind != LAN || !l.has(q.addr.Addr())
			if gone || l.forbids(q.place) {
				p.dropPath(q)
				lost = true
			}
		}
		p.settle(now, &out)
		if lost && (p.c.seeking(now) || p.c.isActive(now)) {
			p.again(now)
		}
	})
	if !slices.Equal(before, w.candidates()) {
		w.tellAll(&out, now)
	}
	w.mu.Unlock()
	w.transmit(&out)
}

// NetworkChanged probes everything again at once: the host's network has
// changed, or it has slept.
func (w *Wire) NetworkChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.observed, w.outside.views, w.outside.asked, w.outside.hairpin = nil, nil, time.Time{}, false
	w.measureRelays(now)
	w.eachContact(func(p *peer) {
		p.c.distrusted = nil
		for _, q := range p.c.paths.all {
			q.doubt(now)
			q.mtu, q.sizeTries, q.sizeDue, q.lies = 0, 0, time.Time{}, false
		}
		p.publish(now)
		if p.c.seeking(now) || p.c.isActive(now) {
			p.again(now)
		}
	})
}

// Want says whether a WireGuard session with the peer is wanted: a path is
// sought, and the peer is told.
func (w *Wire) Want(id key.Public, want bool) {
	w.change(id, func(c *contact) bool {
		changed := c.want != want
		c.want = want
		return changed
	})
}

// SetConfigured says whether WireGuard has the peer configured; the peer is
// told at once.
func (w *Wire) SetConfigured(id key.Public, configured bool) {
	w.change(id, func(c *contact) bool {
		changed := c.configured != configured
		c.configured = configured
		return changed
	})
}

// change changes our word to the peer.
func (w *Wire) change(id key.Public, set func(*contact) bool) {
	var out outbox
	w.mu.Lock()
	if p := w.dir.Load().byID[id]; p != nil && !w.closed {
		now := time.Now()
		if c := p.contact(); set(c) {
			if r := p.route.Load(); r != nil && c.boot != 0 {
				out.add(p, kindWord, c.boot, nil, r.to, r.src)
			}
			if c.want && (c.paths.best == nil || c.paths.best.health == doubted) {
				p.again(now)
			}
			w.soon(p, now)
		}
	}
	w.mu.Unlock()
	w.transmit(&out)
}

// Seek finds a path to the peer, for two minutes, and keeps it open.
func (w *Wire) Seek(id key.Public) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.dir.Load().byID[id]
	if p == nil || w.closed {
		return
	}
	now := time.Now()
	c := p.contact()
	fresh := !c.seeking(now)
	c.soughtTill = now.Add(seekFor)
	if fresh && (c.paths.best == nil || c.paths.best.health == doubted) {
		p.again(now)
	}
	w.soon(p, now)
}

// meet asks an unknown place, whose packets WireGuard has authenticated, which
// of the peers that we want sessions with it is.
func (w *Wire) meet(from place) {
	now := time.Now()
	if !w.limits.meet.allow(now) {
		return
	}
	var out outbox
	w.mu.Lock()
	if l := w.local.Load(); w.usable(l, from) && (*w.owners.Load())[from] == nil {
		asked := 0
		for _, p := range w.dir.Load().byID {
			if c := p.c; c != nil && (c.want || c.configured) && asked < maxMeet && (!from.isChain() || from.chain.far() == p.tag) {
				p.ping(from, udp.Source{}, now, &out)
				asked++
			}
		}
	}
	w.mu.Unlock()
	w.transmit(&out)
}

// maxMeet is how many peers an unknown place may be.
const maxMeet = 32
