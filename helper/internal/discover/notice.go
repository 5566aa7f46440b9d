package discover

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/osnet/netmon"
)

// A notice is what all on a LAN may read, members or not: the version byte 2,
// then bytes that are its maker's.
const (
	noticeVersion = 2
	MaxNotice     = 400 // bytes: what the packet socket looks at, less headers

	noticeEvery  = 3 * time.Second
	noticeJitter = time.Second
	maxNotices   = 16
)

// Notice is something that is said in clear.
type Notice struct {
	Say func() []byte // what to say now; called by the speaker, must not call the Announcer
}

// HeardNotice is a notice of any host on the LAN, this one included. Nothing in
// it is to be trusted.
type HeardNotice struct {
	From netip.Addr
	Body []byte // the handler's to keep
}

// notices is the Announcer's part that speaks in clear.
type notices struct {
	say  []Notice
	hear func(HeardNotice)
	next time.Time
}

// SetNotices sets all that is said in clear, at once and every 3 s.
func (a *Announcer) SetNotices(say []Notice) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(say) > len(a.notices.say) {
		a.notices.next = time.Time{}
	}
	a.notices.say = slices.Clone(say[:min(len(say), maxNotices)])
	a.poke()
}

// SayOnce says something in clear, now.
func (a *Announcer) SayOnce(body []byte) {
	if len(body) == 0 || len(body) > MaxNotice {
		return
	}
	a.mu.Lock()
	ifaces := a.ifaces
	a.mu.Unlock()
	a.say(body, ifaces)
}

func (a *Announcer) say(body []byte, ifaces []netmon.Interface) {
	b := append([]byte{noticeVersion}, body...)
	for _, i := range ifaces {
		a.sent(i, a.m.Send(b, i.Index))
	}
}

// HearNotices sets who is told of notices; fn is called one at a time and must
// neither block nor call the Announcer.
func (a *Announcer) HearNotices(fn func(HeardNotice)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notices.hear = fn
}

// shout says the notices when they are due, and tells when they will be again.
func (a *Announcer) shout() (wait time.Duration, ok bool) {
	a.mu.Lock()
	say, ifaces, now := a.notices.say, a.ifaces, time.Now()
	if len(say) == 0 || len(ifaces) == 0 {
		a.mu.Unlock()
		return 0, false
	}
	if wait := a.notices.next.Sub(now); wait > 0 {
		a.mu.Unlock()
		return wait, true
	}
	wait = noticeEvery - noticeJitter + rand.N(2*noticeJitter)
	a.notices.next = now.Add(wait)
	a.mu.Unlock()

	for _, n := range say {
		body := n.Say()
		if len(body) == 0 || len(body) > MaxNotice {
			continue
		}
		a.say(body, ifaces)
	}
	return wait, true
}

// isNotice tells whether b can be one.
func isNotice(b []byte) bool { return len(b) > 1 && len(b) <= 1+MaxNotice && b[0] == noticeVersion }

// receiveNotice hands on what was said in clear.
func (a *Announcer) receiveNotice(b []byte, from netip.AddrPort, ifindex int) {
	// More than one socket may hear one; it is told again when it is said again.
	sum := sha256.Sum256(b)
	if a.told.before(sum, from.Addr(), time.Now()) || !a.limit.allow(from.Addr()) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.notices.hear == nil || ifindex != 0 && !has(a.ifaces, ifindex) || closed(a.quit) {
		return
	}
	a.notices.hear(HeardNotice{from.Addr(), slices.Clone(b[1:])})
}

// told remembers the latest notices for a moment.
type told struct {
	keys [16]toldKey
	next int
}

type toldKey struct {
	sum  [32]byte
	from netip.Addr
	at   time.Time
}

// before tells whether the notice came from there within the last second, and
// adds it.
func (t *told) before(sum [32]byte, from netip.Addr, now time.Time) bool {
	for _, k := range t.keys {
		if k.sum == sum && k.from == from && now.Sub(k.at) < time.Second {
			return true
		}
	}
	t.keys[t.next%len(t.keys)] = toldKey{sum, from, now}
	t.next++
	return false
}
