package discover

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.internal/helper/internal/osnet/netmon"
)

const (
	maxGroups = 300
	interval  = time.Minute
	jitter    = 10 * time.Second
	minBurst  = 100 * time.Millisecond // between two starts of a burst
)

// burst is when announcements go out after a Query: the first may meet peers
// that are not up yet, or a link that still loses what it is given.
var burst = [...]time.Duration{0, 200 * time.Millisecond, 600 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second}

// Announcer announces us, and hears others, in all networks of the process. It
// is safe for concurrent use.
type Announcer struct {
	m    Multicast
	log  *slog.Logger
	wake chan struct{}
	quit chan struct{}
	done sync.WaitGroup

	limit *limiter // the listener's own
	heard recent   // so is this
	told  told     // and this

	mu       sync.Mutex // guards what follows; held for calculations and while Handle runs
	ifaces   []netmon.Interface
	groups   []*group
	start    time.Time // of the latest burst
	step     int       // announcements of it that went out
	next     time.Time // when the next is due
	problems map[string]error
	notices  notices
}

// group is a Group at work.
type group struct {
	Group
	hear  *secret // the listener's
	speak *secret // the speaker's: a secret serves one goroutine
}

// New starts an Announcer, silent and deaf until Set. It closes m in the end.
func New(m Multicast, log *slog.Logger) *Announcer {
	a := &Announcer{
		m: m, log: log,
		wake: make(chan struct{}, 1), quit: make(chan struct{}),
		limit: newLimiter(), problems: map[string]error{},
	}
	a.done.Go(a.listen)
	a.done.Go(a.announce)
	return a
}

// Close silences the Announcer and waits until no Handle runs any more.
func (a *Announcer) Close() error {
	close(a.quit)
	err := a.m.Close()
	a.done.Wait()
	return err
}

// Set says where and in which groups to announce and listen; our own TUNs are
// not to be among ifaces. What is new in it is announced at once.
func (a *Announcer) Set(ifaces []netmon.Interface, groups []Group) {
	ifaces = slices.DeleteFunc(slices.Clone(ifaces), func(i netmon.Interface) bool { return !carries(i) })
	groups = slices.Clone(groups)
	slices.SortStableFunc(groups, func(x, y Group) int { return rank(x) - rank(y) })
	groups = groups[:min(len(groups), maxGroups)]

	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := slices.ContainsFunc(ifaces, func(i netmon.Interface) bool {
		return !slices.ContainsFunc(a.ifaces, func(o netmon.Interface) bool {
			return i.Index == o.Index && slices.Equal(i.Prefixes, o.Prefixes)
		})
	})
	old := a.groups
	a.groups = nil
	for _, g := range groups {
		n := slices.IndexFunc(old, func(o *group) bool { return o.same(g) })
		fresh = fresh || n < 0 && g.Speak
		if n >= 0 {
			g2 := *old[n]
			g2.Handle = g.Handle
			a.groups = append(a.groups, &g2)
		} else {
			a.groups = append(a.groups, &group{g, newSecret(g.Secret), newSecret(g.Secret)})
		}
	}
	for _, i := range a.ifaces {
		if !has(ifaces, i.Index) {
			delete(a.problems, sendKey(i))
		}
	}
	a.ifaces = ifaces
	a.problem("join", a.m.Join(ifaces))
	if fresh {
		a.query()
	}
	a.poke()
}

// carries tells whether announcements make sense on i.
func carries(i netmon.Interface) bool {
	return i.Up && i.Multicast && !i.Loopback && len(i.Prefixes) > 0
}

func has(ifaces []netmon.Interface, index int) bool {
	return slices.ContainsFunc(ifaces, func(i netmon.Interface) bool { return i.Index == index })
}

func rank(g Group) int {
	if g.Speak {
		return 0
	}
	return 1
}

// same tells whether the group is g but for Handle.
func (o *group) same(g Group) bool {
	return o.Secret == g.Secret && o.Speak == g.Speak && o.Port == g.Port && o.ID == g.ID
}

// Query announces us at once and a few times more, and asks all who hear it to
// ping us.
func (a *Announcer) Query() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.start) >= minBurst {
		a.query()
		a.poke()
	}
}

// query starts a burst, unless one is about to. The Announcer is locked.
func (a *Announcer) query() {
	now := time.Now()
	if a.step == 0 && !a.next.Before(now) {
		return
	}
	a.start = later(now, a.start.Add(minBurst))
	a.step, a.next = 0, a.start
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}

func (a *Announcer) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// announce sends when it is time to.
func (a *Announcer) announce() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-a.quit:
			return
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
		wait, ok := a.turn()
		if w, also := a.shout(); also && (!ok || w < wait) {
			wait, ok = w, true
		}
		if ok {
			timer.Reset(wait)
		}
	}
}

// turn sends what is due and tells how long it is until the next, if there will
// be one without a Set.
func (a *Announcer) turn() (wait time.Duration, ok bool) {
	a.mu.Lock()
	speakers := slices.DeleteFunc(slices.Clone(a.groups), func(g *group) bool { return !g.Speak })
	ifaces := a.ifaces
	if len(speakers) == 0 || len(ifaces) == 0 || a.next.IsZero() {
		a.mu.Unlock()
		return 0, false
	}
	now := time.Now()
	if wait := a.next.Sub(now); wait > 0 {
		a.mu.Unlock()
		return wait, true
	}
	query := a.step < len(burst)
	a.step++
	if a.step < len(burst) {
		a.next = a.start.Add(burst[a.step])
	} else {
		a.next = now.Add(interval - jitter + rand.N(2*jitter))
	}
	wait = a.next.Sub(now)
	a.mu.Unlock()

	for _, i := range ifaces {
		var failed error
		for _, g := range speakers {
			if err := a.m.Send(g.speak.seal(content{g.Port, g.ID, query}), i.Index); err != nil {
				failed = err
			}
		}
		a.sent(i, failed)
	}
	return wait, true
}

// listen hands out what others announce.
func (a *Announcer) listen() {
	buf := make([]byte, 2048)
	for {
		n, from, ifindex, err := a.m.Read(buf)
		if err != nil {
			return
		}
		a.receive(buf[:n], from, ifindex)
	}
}

func (a *Announcer) receive(b []byte, from netip.AddrPort, ifindex int) {
	if isNotice(b) {
		a.receiveNotice(b, from, ifindex)
		return
	}
	if !wellFormed(b) || a.heard.before(b, from.Addr()) || !a.limit.allow(from.Addr()) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ifindex != 0 && !has(a.ifaces, ifindex) { // through a tunnel of ours, say
		return
	}
	for _, g := range a.groups {
		c, ok := g.hear.open(b)
		if ok && c.id != g.ID && !closed(a.quit) {
			g.Handle(Heard{netip.AddrPortFrom(from.Addr(), c.port), c.id, c.query})
		}
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
