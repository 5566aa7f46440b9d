// Package replica keeps one network's roster and presence in step between its
// members, over control streams. It trusts nobody with more than a signature:
// records judge themselves, presence is signed by its device. It imports wire
// and roster, not engine.
package replica

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
)

// Wire is what replication needs of the network's wire.
type Wire interface {
	Dial(ctx context.Context, id key.Public) (wire.Session, error)
	Seek(id key.Public)
}

// Handler hears what replication learns. It is called without locks held, from
// the replica's goroutines, and must not block.
type Handler interface {
	// Presence is a newer word of a member about itself.
	Presence(p Presence)
	// Epoch is a discovery secret handed over by a member; the engine checks
	// it against the roster's hash.
	Epoch(secret [32]byte)
	// ClockOffset is how far a neighbour's clock is ahead of ours.
	ClockOffset(peer key.Public, d time.Duration)
	// Linked tells that a control session with a member began or ended.
	Linked(peer key.Public, up bool)
	// Note is what a member has to say to this device alone. What it returns is
	// closed once that is dealt with: until then nothing more of this neighbour's is
	// read.
	Note(peer key.Public, note []byte) (done <-chan struct{})
}

// Config is what a Replica works with.
type Config struct {
	Network roster.ID
	Self    key.Private
	Book    *Book
	Wire    Wire
	Handler Handler
	Epoch   func() (secret [32]byte, ok bool) // the newest one held
	Log     *slog.Logger
}

// AllLinked is how many members, this device included, a network has at most
// for each to be linked with every other.
const AllLinked = 10

// Neighbours in a larger network.
const (
	neighbours    = 5
	enoughLinks   = 3 // with chosen ones, to end others
	maxLinks      = 24
	floodUpTo     = 100 // members; above, presence is asked for
	redialEvery   = 20 * time.Second
	dialTimeout   = 10 * time.Second
	presenceEvery = 10 * time.Minute
)

// Replica runs until Close.
type Replica struct {
	cfg    Config
	self   key.Public
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	members  map[key.Public]bool
	removed  map[key.Public]bool // may still hear that they were removed
	chosen   []key.Public        // whom we dial
	random   key.Public          // the one of them that chance picked
	rewired  time.Time           // when they were chosen
	rewiring bool                // they will be, soon
	links    map[key.Public]*link
	dialling map[key.Public]*dialling
	brief    map[key.Public]int // links in a row that did not last
	presence map[key.Public]heard
	asked    map[key.Public]*asking
	askPace  pace
	steps    chan struct{} // closed, and made anew, when a neighbour names its digest
	own      Presence
	ownRaw   []byte
	closed   bool
}

type heard struct {
	Presence
	raw  []byte
	at   time.Time
	pace pace // of newer words
}

// New starts replication. Members come with SetMembers.
func New(cfg Config) *Replica {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Replica{
		cfg: cfg, self: cfg.Self.Public(), ctx: ctx, cancel: cancel,
		members:  map[key.Public]bool{},
		removed:  map[key.Public]bool{},
		links:    map[key.Public]*link{},
		dialling: map[key.Public]*dialling{},
		brief:    map[key.Public]int{},
		presence: map[key.Public]heard{},
		asked:    map[key.Public]*asking{},
		askPace:  newPace(askBurst, askRate),
		steps:    make(chan struct{}),
	}
	r.wg.Go(r.maintain)
	return r
}

// SetMembers says who the other members are, and who was removed and may still
// be told so. Links with others end.
func (r *Replica) SetMembers(members, removed []key.Public) {
	r.mu.Lock()
	r.members = setOf(members)
	r.removed = setOf(removed)
	for id := range r.presence {
		if !r.members[id] {
			delete(r.presence, id)
		}
	}
	for id := range r.brief {
		if !r.members[id] {
			delete(r.brief, id)
		}
	}
	var cut []*link
	for id, l := range r.links {
		if !r.members[id] {
			cut = append(cut, l)
		}
	}
	r.mu.Unlock()
	for _, l := range cut {
		l.sendRecords(r.removal(l.id))
		l.finish()
	}
	r.rewire(false)
}

// rewireEvery is how far apart newcomers change whom we dial in a large network:
// where many join at once, each link would soon give way to the next.
const rewireEvery = 3 * time.Second

// rewire chooses whom to dial, and dials them; due tells that it has waited for
// that.
func (r *Replica) rewire(due bool) {
	r.mu.Lock()
	if due {
		r.rewiring = false
	}
	if r.closed {
		r.mu.Unlock()
		return
	}
	whole := len(r.chosen) > 0 && !slices.ContainsFunc(r.chosen, func(id key.Public) bool { return !r.members[id] })
	switch wait := rewireEvery - time.Since(r.rewired); {
	case due || !whole || wait <= 0 || len(r.members) <= floodUpTo:
		r.choose()
		r.rewired = time.Now()
	case !r.rewiring:
		r.rewiring = true
		time.AfterFunc(wait, func() { r.rewire(true) })
	}
	spare := r.spare()
	chosen := slices.Clone(r.chosen)
	for id, d := range r.dialling {
		if !d.asked && !slices.Contains(chosen, id) {
			d.cancel()
			delete(r.dialling, id)
		}
	}
	r.mu.Unlock()
	for _, l := range spare {
		l.finish()
	}
	for _, id := range chosen {
		r.dial(id)
	}
}

func setOf(ids []key.Public) map[key.Public]bool {
	m := make(map[key.Public]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// choose picks whom to dial: everybody in a small network; in a large one the
// successors of our own key on the ring of keys, and one at random, so that the
// whole is connected whatever the order of arrival.
func (r *Replica) choose() {
	all := make([]key.Public, 0, len(r.members))
	for id := range r.members {
		all = append(all, id)
	}
	slices.SortFunc(all, func(a, b key.Public) int { return slices.Compare(a[:], b[:]) })
	if len(all) < AllLinked {
		r.chosen = all
		return
	}
	at, _ := slices.BinarySearchFunc(all, r.self, func(a, b key.Public) int { return slices.Compare(a[:], b[:]) })
	next := make([]key.Public, 0, neighbours)
	for i := range neighbours - 1 {
		next = append(next, all[(at+i)%len(all)])
	}
	// Kept while it can be, or each change of the roster would add a link.
	if !r.members[r.random] || slices.Contains(next, r.random) {
		r.random = all[(at+len(next)+rand.IntN(len(all)-len(next)))%len(all)]
	}
	r.chosen = append(next, r.random)
}

// spare is the links that we have dialled while the network was smaller, or
// nobody else could be reached: whoever is dialled by many would have no room
// for those who choose it. Callers hold mu.
func (r *Replica) spare() (out []*link) {
	if len(r.members) < AllLinked {
		return nil
	}
	linked := 0
	for _, id := range r.chosen {
		if r.links[id] != nil {
			linked++
		}
	}
	if linked < enoughLinks {
		return nil
	}
	for id, l := range r.links {
		if l.ours && r.members[id] && !slices.Contains(r.chosen, id) {
			out = append(out, l)
		}
	}
	return out
}

// standing tells whether a device is a member as of the newest record, of which
// SetMembers may not have told yet: only then may it hear anything of the others.
// Callers hold mu.
func (r *Replica) standing(id key.Public) bool {
	return r.members[id] && r.cfg.Book.View().Member(id) != nil
}

// PathUp tells that a member can be reached now. A session that has outlived the
// silence repeats what was lost only seconds later, as QUIC backs off: something
// new to say makes it notice at once (RFC 9002 §6.1).
func (r *Replica) PathUp(id key.Public) {
	r.mu.Lock()
	l := r.links[id]
	want := slices.Contains(r.chosen, id) || len(r.links) == 0 && r.members[id]
	r.mu.Unlock()
	switch {
	case l != nil:
		l.sayDigest()
	case want:
		r.reach(id, true)
	}
}

// dialling is a dial under way. One that nobody asked for ends when its member
// is chosen no longer: as many join at once, that is so soon.
type dialling struct {
	cancel func()
	asked  bool
}

// dial opens a link with a chosen member unless there is one.
func (r *Replica) dial(id key.Public) { r.reach(id, false) }

func (r *Replica) reach(id key.Public, asked bool) {
	r.mu.Lock()
	if d := r.dialling[id]; d != nil {
		d.asked = d.asked || asked
		r.mu.Unlock()
		return
	}
	if r.closed || r.links[id] != nil || !r.members[id] {
		r.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
	d := &dialling{cancel, asked}
	r.dialling[id] = d
	r.wg.Go(func() {
		s, err := r.cfg.Wire.Dial(ctx, id)
		cancel()
		r.mu.Lock()
		if r.dialling[id] == d {
			delete(r.dialling, id)
		}
		r.mu.Unlock()
		if err == nil {
			r.run(id, s, true)
		}
	})
	r.mu.Unlock()
}

// A link that has ended is dialled again soon: the peer may have restarted, or
// have removed us and wait to say so. One that ends again and again, as with a
// member that has no room for more, is dialled ever less often.
const (
	againAfter = 300 * time.Millisecond // doubled each time
	againMost  = 10                     // times doubled: five minutes
	briefMost  = 4                      // links in a row that did not last, to leave it to that
	lasting    = 10 * time.Second
)

func (r *Replica) again(id key.Public, lived time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.brief[id]
	if lived >= lasting {
		n = 0
	}
	r.brief[id] = min(n+1, againMost)
	if !r.closed && slices.Contains(r.chosen, id) {
		time.AfterFunc(againAfter<<n, func() { r.dial(id) })
	}
}

// Accept serves a session that a member opened. It returns when it ends.
func (r *Replica) Accept(id key.Public, s wire.Session) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		s.Close(codeClosing)
		return
	}
	member, removed := r.standing(id), r.removed[id]
	r.wg.Add(1)
	r.mu.Unlock()
	defer r.wg.Done()
	switch {
	case member:
		r.run(id, s, false)
	case removed:
		r.tellRemoved(id, s)
	default:
		s.Close(codeStranger)
	}
}

// maintain dials chosen neighbours that are not linked, and says our presence
// again, at a slow pace; quick reactions come from PathUp.
func (r *Replica) maintain() {
	redial := time.NewTicker(redialEvery)
	again := time.NewTicker(presenceEvery)
	defer redial.Stop()
	defer again.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-redial.C:
			r.mu.Lock()
			chosen := slices.DeleteFunc(slices.Clone(r.chosen), func(id key.Public) bool { return r.brief[id] > briefMost })
			spare := r.spare()
			r.mu.Unlock()
			for _, id := range chosen {
				r.dial(id)
			}
			for _, l := range spare {
				l.finish()
			}
		case <-again.C:
			r.mu.Lock()
			p := r.own
			r.mu.Unlock()
			if !p.Device.IsZero() {
				r.SetPresence(p)
			}
		}
	}
}

// Redial tries all chosen neighbours now, for a network change or a wake-up.
func (r *Replica) Redial() {
	r.mu.Lock()
	chosen := slices.Clone(r.chosen)
	r.mu.Unlock()
	for _, id := range chosen {
		r.dial(id)
	}
}

// Linked is the members with whom a control session is open.
func (r *Replica) Linked() map[key.Public]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[key.Public]bool, len(r.links))
	for id := range r.links {
		out[id] = true
	}
	return out
}

// Push sends new records to every neighbour but the one they came from, at once.
func (r *Replica) Push(records [][]byte, from key.Public) {
	patient := !slices.ContainsFunc(records, func(raw []byte) bool { return !roster.IsAdmit(raw) })
	for _, l := range r.others(from) {
		l.sendEach(records, patient)
	}
}

// Bounds on what is said to one neighbour alone.
const (
	MaxNote  = 64 << 10 // bytes of one note
	maxNotes = 64       // in a message
)

// Note says something to one member, over the link with it; false if there is
// none. Who is linked is a member in good standing.
func (r *Replica) Note(to key.Public, note []byte) bool {
	r.mu.Lock()
	l := r.links[to]
	ok := l != nil && r.standing(to)
	r.mu.Unlock()
	if ok {
		l.send(message{Notes: [][]byte{note}})
	}
	return ok
}

// Reach links with a member that is not chosen, for something to say to it.
func (r *Replica) Reach(id key.Public) { r.reach(id, true) }

// stepped wakes who waits in Await.
func (r *Replica) stepped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.steps)
	r.steps = make(chan struct{})
}

// Await waits until a neighbour says that it holds the same records as we do:
// it has what we wrote last. It fails when ctx ends.
func (r *Replica) Await(ctx context.Context, id key.Public) error {
	return r.await(ctx, func(mine [32]byte) bool { l := r.links[id]; return l != nil && l.theirs == mine })
}

// AwaitAll waits until every neighbour linked, and one at least, says that it
// holds the same records as we do. It fails when ctx ends.
func (r *Replica) AwaitAll(ctx context.Context) error {
	return r.await(ctx, func(mine [32]byte) bool {
		for _, l := range r.links {
			if l.theirs != mine {
				return false
			}
		}
		return len(r.links) > 0
	})
}

// await waits until ok, which is called with mu held, likes our digest.
func (r *Replica) await(ctx context.Context, ok func(mine [32]byte) bool) error {
	for {
		mine := r.cfg.Book.View().Digest().Sum
		r.mu.Lock()
		steps, same := r.steps, ok(mine)
		r.mu.Unlock()
		if same {
			return nil
		}
		select {
		case <-steps:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

// Chosen is whom we dial.
func (r *Replica) Chosen() []key.Public {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.chosen)
}

// EpochChanged hands a new discovery secret to the neighbours.
func (r *Replica) EpochChanged(secret [32]byte) {
	for _, l := range r.others(key.Public{}) {
		l.send(message{Epoch: secret[:]})
	}
}

// others is the links with members in good standing.
func (r *Replica) others(not key.Public) []*link {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*link, 0, len(r.links))
	for id, l := range r.links {
		if id != not && r.standing(id) {
			out = append(out, l)
		}
	}
	return out
}

// Close ends all sessions and waits for them.
func (r *Replica) Close() {
	r.mu.Lock()
	r.closed = true
	links := make([]*link, 0, len(r.links))
	for _, l := range r.links {
		links = append(links, l)
	}
	r.mu.Unlock()
	for _, l := range links {
		l.finish()
	}
	r.cancel()
	r.wg.Wait()
}
