package replica

import (
	"errors"
	"fmt"
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

	mu  sync.Mutex
	set *roster.Set
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
	added, cerr := b.commit(now, from)
	b.mu.Unlock()
	if len(added) > 0 {
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
	added, cerr := b.commit(time.Now(), key.Public{})
	b.mu.Unlock()
	if len(added) > 0 {
		b.changed()
	}
	if cerr != nil {
		err = cerr
	}
	return added, err
}

// commit stores what the set has accepted since the last time.
func (b *Book) commit(now time.Time, from key.Public) (added [][]byte, bad error) {
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
		return nil, bad
	}
	if err := b.keeper.Keep(recs, now); err != nil {
		// What could not be stored must not be acted on.
		ids := make([]roster.ID, len(recs))
		for i, r := range recs {
			ids[i] = r.ID
		}
		b.set.Forget(ids...)
		return nil, fmt.Errorf("store records: %w", err)
	}
	b.view.Store(b.set.View())
	return added, bad
}

// Prune drops what has been cut for long enough and tells what is gone.
func (b *Book) Prune(now time.Time, own key.Public) []roster.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := b.set.Prune(now, own)
	if len(gone) > 0 {
		b.view.Store(b.set.View())
	}
	return gone
}

// With runs fn with the set locked. It adds no records.
func (b *Book) With(fn func(*roster.Set)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn(b.set)
}
