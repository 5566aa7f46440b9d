package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// ErrRefused is a record that no state of the roster accepts.
var ErrRefused = errors.New("record refused")

// Keeper stores records durably. It returns only when they are safe.
type Keeper interface {
	Keep(records []*roster.Record, at time.Time) error
}

// Book is one network's roster with its durable copy: what it has acknowledged
// is in both. It is safe for concurrent use.
type Book struct {
	keeper  Keeper
	changed func()
	view    atomic.Pointer[roster.View]

	mu     sync.Mutex
	set    *roster.Set
	viewed time.Time   // when the set was evaluated last
	due    *time.Timer // evaluates it; nil: it is as the view says
}

// An evaluation goes through all records: in a large set admissions, which
// withdraw nothing from anybody, wait until some have come.
const (
	atOnceUpTo = 200 // records
	gatherFor  = 100 * time.Millisecond
	gatherEach = 400 * time.Microsecond // longer, for each record
)

// evaluate makes the view anew, now or soon; it tells whether that is done.
// Callers hold mu.
func (b *Book) evaluate(recs []*roster.Record, now time.Time) bool {
	admissions := !slices.ContainsFunc(recs, func(r *roster.Record) bool { return r.Type != roster.TypeAdmit })
	wait := b.gathers() - now.Sub(b.viewed)
	if admissions && wait > 0 {
		if b.due == nil {
			b.due = time.AfterFunc(wait, b.settle)
		}
		return false
	}
	b.evaluateNow(now)
	return true
}

func (b *Book) evaluateNow(now time.Time) {
	if b.due != nil {
		b.due.Stop()
		b.due = nil
	}
	b.viewed = now
	b.view.Store(b.set.View())
}

// settle evaluates what has waited.
func (b *Book) settle() {
	b.mu.Lock()
	waited := b.due != nil
	if waited {
		b.evaluateNow(time.Now())
	}
	b.mu.Unlock()
	if waited {
		b.changed()
	}
}

// lag is for how long the view may be behind what has been taken in.
func (b *Book) lag() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gathers()
}

func (b *Book) gathers() time.Duration {
	if b.set.Len() <= atOnceUpTo {
		return 0
	}
	return gatherFor + time.Duration(b.set.Len())*gatherEach
}

// NewBook wraps a set, whose records are stored already. changed is called,
// without locks held, when the view may have changed.
func NewBook(set *roster.Set, keeper Keeper, changed func()) *Book {
	set.Settled()
	b := &Book{set: set, keeper: keeper, changed: changed}
	b.view.Store(set.View())
	return b
}

// View is the roster as evaluated now; it is immutable.
func (b *Book) View() *roster.View { return b.view.Load() }

// Add takes records in, from a neighbour or (zero) from the store's own device,
// and returns those that are new and now stored, pending ones that they
// released among them. A record that nobody can accept makes an ErrRefused; the
// others are taken all the same. When storing fails none is taken.
func (b *Book) Add(raws [][]byte, from key.Public) (added [][]byte, err error) {
	b.mu.Lock()
	now := time.Now()
	for _, r := range b.set.AddAll(raws, roster.AddOptions{At: now, From: from}) {
		if r.Verdict == roster.Unacceptable && err == nil {
			err = fmt.Errorf("%w: %w", ErrRefused, r.Err)
		}
	}
	added, seen, cerr := b.commit(now, from)
	b.mu.Unlock()
	if len(added) > 0 && seen {
		b.changed()
	}
	if cerr != nil {
		err = cerr
	}
	return added, err
}

// Write runs fn, which writes records of our own into the set, and returns
// them, stored. What was written before fn failed is stored too.
func (b *Book) Write(fn func(*roster.Set) error) (added [][]byte, err error) {
	b.mu.Lock()
	err = fn(b.set)
	now := time.Now()
	added, seen, cerr := b.commit(now, key.Public{})
	if len(added) > 0 && !seen { // who has written reads
		b.evaluateNow(now)
	}
	b.mu.Unlock()
	if len(added) > 0 {
		b.changed()
	}
	if cerr != nil {
		err = cerr
	}
	return added, err
}

// commit stores what the set has accepted since the last time; seen tells
// whether the view has it already.
func (b *Book) commit(now time.Time, from key.Public) (added [][]byte, seen bool, bad error) {
	var recs []*roster.Record
	for _, s := range b.set.Settled() {
		switch {
		case s.Verdict == roster.Accepted:
			recs = append(recs, s.Record)
			added = append(added, s.Record.Raw)
		case s.From == from && bad == nil:
			bad = fmt.Errorf("%w: %w", ErrRefused, s.Err)
		}
	}
	if len(recs) == 0 {
		return nil, false, bad
	}
	if err := b.keeper.Keep(recs, now); err != nil {
		// What could not be stored must not be acted on.
		ids := make([]roster.ID, len(recs))
		for i, r := range recs {
			ids[i] = r.ID
		}
		b.set.Forget(ids...)
		return nil, false, fmt.Errorf("store records: %w", err)
	}
	return added, b.evaluate(recs, now), bad
}

// Prune drops what has been cut for long enough and tells what is gone.
func (b *Book) Prune(now time.Time, own key.Public) []roster.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := b.set.Prune(now, own)
	if len(gone) > 0 {
		b.evaluateNow(now)
	}
	return gone
}

// With runs fn with the set locked. It adds no records.
func (b *Book) With(fn func(*roster.Set)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn(b.set)
}
