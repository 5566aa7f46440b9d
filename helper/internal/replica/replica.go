// Package replica keeps one network's roster and presence in step between its
// members, over control streams. It trusts nobody with more than a signature:
// records judge themselves, presence is signed by its device. It imports wire
// and roster, not engine.
package replica

import (
	"context"
	"log/slog"
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

func setOf(ids []key.Public) map[key.Public]bool {
	m := make(map[key.Public]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// standing tells whether a device is a member as of the newest record, of which
// SetMembers may not have told yet: only then may it hear anything of the others.
// Callers hold mu.
func (r *Replica) standing(id key.Public) bool {
	return r.members[id] && r.cfg.Book.View().Member(id) != nil
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
