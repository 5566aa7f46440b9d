package wire

import (
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

// PathKind is the class of a path. A higher one is better.
type PathKind uint8

const (
	None      PathKind = iota // no way known
	Relayed                   // over a peer with the relay role
	Forwarded                 // over ordinary peers
	Direct                    // no third device in between
	LAN                       // link-local, or on a directly connected prefix
)

func (k PathKind) String() string {
	return [...]string{"none", "relayed", "forwarded", "direct", "lan"}[k]
}

// Transport is what carries a path's datagrams to the peer or the first hop.
type Transport uint8

const (
	UDP Transport = iota
	TLS           // a link
)

func (t Transport) String() string { return [...]string{"udp", "tls"}[t] }

// Path is how packets reach a peer.
type Path struct {
	Kind      PathKind
	Addr      netip.AddrPort // of the peer or of the first hop; zero over a link
	Via       []key.Public   // the peers in between, the first hop first
	Transport Transport
	RTT       time.Duration // smoothed
	Since     time.Time     // when it became the best path
	MTU       int           // bytes of a datagram that it carries whole; 0: not known
	Silent    bool          // nothing has come back for a while, on any path: it may be gone
}

const (
	deadAfter     = 6 * time.Second        // unanswered
	doubtAtLeast  = 200 * time.Millisecond // unanswered
	doubtAtMost   = 600 * time.Millisecond
	pathForgotten = 5 * time.Minute // not confirmed again
	maxPaths      = 8

	firmAfter = 2 * time.Second

	// Many pings must be lost: the word of it has traffic go elsewhere for good.
	silentAfter = 1500 * time.Millisecond
	silentPings = 5

	betterBy    = 2 * time.Millisecond // and by a third
	betterHolds = 3                    // probes

	turnAfter = 200 * time.Millisecond
	turnFor   = 3 * time.Second

	forwardedYields = 30 * time.Millisecond // that it is slower than a relay
	forwardedBack   = 20 * time.Millisecond
)

// health is how far a path is to be trusted. A higher one is better.
type health uint8

const (
	doubted health = iota
	sound
)

// path is a place at which a peer has answered.
type path struct {
	place
	src   udp.Source // where its answers came in
	kind  PathKind
	mtu   int // bytes of a datagram, so far as probed
	lies  bool
	truth truth
	rtt   time.Duration
	owner *owner

	health    health
	uprooted  bool // doubted since the network below has changed
	doubtedAt time.Time
	// doubtedFrom is when the first ping went out that got no answer.
	doubtedFrom time.Time
	ponged      time.Time // the last answer
	heard       time.Time // the last answer or traffic
	pinged      time.Time // the last ping
	unheard     time.Time // the first ping since heard, zero if none
	unponged    time.Time // the first ping since ponged, zero if none
	lost        int       // pings since ponged
	loss        loss
	streak      int // probes in a row at which it was better than the best
	countSeen   uint64
	data        time.Time // when the count last rose

	sizeTries int
	sizeDue   time.Time
}

// ping notes a ping that goes out.
func (p *path) ping(now time.Time) {
	p.pinged = now
	p.lost++
	p.loss.ask()
	if p.unheard.IsZero() {
		p.unheard = now
	}
	if p.unponged.IsZero() {
		p.unponged = now
	}
}

// pong notes an answer.
func (p *path) pong(now time.Time, rtt time.Duration, src udp.Source) {
	if p.rtt == 0 {
		p.rtt = rtt
	} else {
		p.rtt += (rtt - p.rtt) / 8
	}
	p.src = src
	p.ponged = now
	p.unponged, p.lost = time.Time{}, 0
	p.loss.answer()
	p.hear(now)
	p.health, p.uprooted = sound, false
}

// hear notes anything that came from the place. Traffic is not authenticated
// here, so it cannot end a doubt.
func (p *path) hear(now time.Time) {
	p.heard = now
	p.unheard = time.Time{}
}

// doubt is for when the network below has changed.
func (p *path) doubt(now time.Time) {
	p.distrustSince(now)
	p.uprooted = true
	p.src = udp.Source{}
	if p.unheard.IsZero() {
		p.unheard = now
	}
}

func (p *path) distrustSince(now time.Time) {
	if p.health != doubted {
		p.health, p.doubtedAt, p.doubtedFrom = doubted, now, now
		if !p.unponged.IsZero() {
			p.doubtedFrom = p.unponged
		}
	}
}

// answers tells whether the path has answered since the best one has not.
func (p *path) answers(best *path) bool { return !p.ponged.Before(best.doubtedFrom) }

// firmly tells whether the path has been in doubt for long: until then one of a
// lower class does not take its place, but packets go both ways. Else a little
// loss would have us, and the peer, move to and fro.
func (p *path) firmly(now time.Time) bool {
	return p.health == doubted && now.Sub(p.doubtedAt) >= firmAfter && p.failing(now)
}

// fails tells whether a path in doubt is to make way for its like: the network has
// changed, or more is lost than its loss explains. Until then packets go both
// ways, or a little loss would have us go from one address of a peer's to another.
func (p *path) fails(now time.Time) bool { return p.uprooted || p.failing(now) }

// patience is how long an answer may take before the path is doubted.
func (p *path) patience() time.Duration {
	return min(max(3*p.rtt+50*time.Millisecond, doubtAtLeast), doubtAtMost)
}

// expects is how long after packets of ours something should have come back.
func (p *path) expects() time.Duration {
	return min(max(2*p.rtt+50*time.Millisecond, silence/2), silence)
}

// age doubts the path if it owes an answer for too long; it tells whether the
// path has become doubtful by that.
func (p *path) age(now time.Time) bool {
	late := !p.unheard.IsZero() && now.Sub(p.unheard) >= p.patience() ||
		p.lost >= 4 && now.Sub(p.unponged) >= deadAfter/2
	if !late || p.health == doubted {
		return false
	}
	p.distrustSince(now)
	return true
}

// owes tells whether the last ping should have been answered by now.
func (p *path) owes(now time.Time) bool {
	return !p.unponged.IsZero() && now.Sub(p.pinged) >= p.patience()
}

// failing tells whether more pings in a row are lost than its loss explains. If
// nobody asks any more, one is enough.
func (p *path) failing(now time.Time) bool {
	return p.lost >= p.loss.enough || now.Sub(p.pinged) >= firmAfter
}

// dead tells whether the path has owed answers for so long, and so many, that
// it is gone. Traffic keeps a path alive that has no alternative: on a lossy
// one pings may all be lost.
func (p *path) dead(now time.Time, alone bool) bool {
	if p.unponged.IsZero() || now.Sub(p.unponged) < deadAfter || !p.failing(now) {
		return false
	}
	return !alone || now.Sub(p.heard) >= deadAfter
}

// silent tells whether the peer owes many answers, and nothing at all has come
// from it: long before its paths count as dead.
func (ps *paths) silent(now time.Time) bool {
	if ps.best == nil || ps.best.health == sound || ps.best.lost < silentPings {
		return false
	}
	return !slices.ContainsFunc(ps.all, func(p *path) bool { return now.Sub(p.heard) < silentAfter })
}

// paths are a peer's confirmed paths, the best first once chosen.
type paths struct {
	all  []*path
	best *path // nil: none
	near *path // the best without hops

	// The peer has turned from our best path to another: it may know why.
	turned     *path
	turnedTill time.Time
}

func (ps *paths) at(from place) *path {
	for _, p := range ps.all {
		if p.place == from {
			return p
		}
	}
	return nil
}

// add takes a new path, in the place of the worst if there are too many. It
// returns the one that had to go.
func (ps *paths) add(p *path) (gone *path) {
	if len(ps.all) >= maxPaths {
		worst := slices.MinFunc(ps.all, func(a, b *path) int {
			switch {
			case a == ps.best:
				return 1
			case b == ps.best:
				return -1
			}
			return a.ponged.Compare(b.ponged)
		})
		ps.remove(worst)
		gone = worst
	}
	ps.all = append(ps.all, p)
	return gone
}

func (ps *paths) remove(p *path) {
	ps.all = slices.DeleteFunc(ps.all, func(q *path) bool { return q == p })
	if ps.best == p {
		ps.best = nil
	}
	if ps.near == p {
		ps.near = nil
	}
}

// choose picks the best path: a sound one before a doubted one, then by class,
// then by latency, with hysteresis.
func (ps *paths) choose(now time.Time) {
	for _, p := range ps.all {
		if ps.best == nil || p != ps.best && p.beats(ps.best, now) {
			ps.best = p
		}
		if !p.isChain() && (ps.near == nil || p != ps.near && p.beats(ps.near, now)) {
			ps.near = p
		}
	}
	if ps.best != nil && !ps.best.isChain() {
		ps.near = ps.best
	}
}

func (p *path) beats(best *path, now time.Time) bool {
	a, b := p.place.class(p.kind), best.place.class(best.kind)
	if p.health != best.health {
		return p.health > best.health && (p.answers(best) && (a > b || a == b && best.fails(now)) || best.firmly(now))
	}
	if p.lies != best.lies {
		return best.lies
	}
	switch {
	case a == classForwarded && b == classRelayed:
		return p.rtt <= best.rtt+forwardedBack
	case a > b:
		return true
	case a == b || a == classRelayed && b == classForwarded:
		return p.streak >= betterHolds
	}
	return false
}

// compare counts at an answer from p how long it has been faster than the best
// path.
func (ps *paths) compare(p *path) {
	if ps.best == nil || p == ps.best {
		p.streak = 0
		return
	}
	gain := ps.best.rtt - p.rtt
	better := gain >= betterBy && gain*3 >= ps.best.rtt
	if p.place.class(p.kind) == classRelayed && ps.best.place.class(ps.best.kind) == classForwarded {
		better = gain > forwardedYields
	}
	if better {
		p.streak++
	} else {
		p.streak = 0
	}
}

// second is the path to send on beside the best one while there is doubt:
// about the best one, or about the one that it has just replaced.
func (ps *paths) second(now time.Time) *path {
	if p := ps.beside(ps.best, now, func(*path) bool { return true }); p != nil {
		return p
	}
	if ps.turned != ps.best && now.Before(ps.turnedTill) && slices.Contains(ps.all, ps.turned) {
		return ps.turned
	}
	return nil
}

// arrived notes that data has come on a path. If it came on the best one until
// now, the peer has turned from that: for a while we send on both.
func (ps *paths) arrived(p *path, now time.Time) {
	before := p.data
	p.data = now
	if ps.best == nil || p == ps.best || now.Sub(before) < turnAfter || before.After(ps.best.data) {
		return
	}
	if quiet := now.Sub(ps.best.data); quiet >= turnAfter && quiet < deadAfter {
		ps.turned, ps.turnedTill = p, now.Add(turnFor)
	}
}

// secondNear is the same among the paths without hops.
func (ps *paths) secondNear(now time.Time) *path {
	return ps.beside(ps.near, now, func(p *path) bool { return !p.isChain() })
}

func (ps *paths) beside(best *path, now time.Time, fits func(*path) bool) *path {
	if best == nil {
		return nil
	}
	var second *path
	for _, p := range ps.all {
		if !fits(p) || p == best || best.health == sound && (p.health == sound || now.Sub(p.heard) >= deadAfter) {
			continue
		}
		if second == nil || p.covers(second, best, now) {
			second = p
		}
	}
	return second
}

// covers tells whether p is the better one to send on beside a best path that
// is in doubt: what has answered since the doubt began comes first.
func (p *path) covers(second, best *path, now time.Time) bool {
	if a, b := p.answers(best), second.answers(best); best.health == doubted && a != b {
		return a
	}
	return p.beats(second, now) || p.health == second.health && p.kind == second.kind && p.rtt < second.rtt
}

// carries is how many bytes of a datagram the path is known to carry.
func (p *path) carries() int {
	if !p.isUDP() {
		return maxFrame // a link, or a chain, whose hops cut what they must
	}
	return max(p.mtu, maxDatagram)
}
