// Package health owns the helper's coded warnings: which are raised, which of
// them a person sees now, and their English words. It does no I/O and must
// import nothing of ours but ipc.
package health

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.internal/ipc"
)

// Warning is what a part of the helper has to say. Code is one of ipc's
// Health codes, Args are those that ipc names beside it.
type Warning struct {
	Code     string
	Network  string            // the network's alias; "" for the machine
	Args     map[string]string // what changes in the text
	Severity ipc.Severity      // "" is the code's usual one
	// Lasts clears the warning by itself unless Set comes again before; zero
	// is until Clear.
	Lasts time.Duration
}

// Registry holds the raised warnings. Its methods may be called from any
// goroutine.
type Registry struct {
	changed func()

	mu     sync.Mutex
	raised map[id]*entry
	shown  []ipc.Health // as last reported
	closed bool
}

type id struct{ code, network string }

type entry struct {
	Warning
	due  bool        // its delay has passed
	show *time.Timer // ends the delay
	end  *time.Timer // ends Lasts; nil for none
}

// New makes an empty registry. changed is called after List's answer has
// changed, without a lock held, from Set's or Clear's goroutine or a timer's;
// it must not block. It may be nil.
func New(changed func()) *Registry {
	if changed == nil {
		changed = func() {}
	}
	return &Registry{changed: changed, raised: map[id]*entry{}, shown: []ipc.Health{}}
}

// Set raises a warning, or gives one that is raised new arguments; its delay
// counts from when it was first raised.
func (r *Registry) Set(w Warning) {
	r.update(func() {
		key := id{w.Code, w.Network}
		w.Args = maps.Clone(w.Args)
		e := r.raised[key]
		if e == nil {
			e = &entry{}
			delay := kindOf(w.Code).delay
			if e.due = delay == 0; !e.due {
				e.show = time.AfterFunc(delay, func() { r.ripen(key, e) })
			}
			r.raised[key] = e
		}
		e.Warning = w
		if e.end != nil {
			e.end.Stop()
			e.end = nil
		}
		if w.Lasts > 0 {
			var t *time.Timer
			t = time.AfterFunc(w.Lasts, func() { r.expire(key, e, &t) })
			e.end = t
		}
	})
}

// Clear takes a warning back; none is no error.
func (r *Registry) Clear(code, network string) {
	r.update(func() { r.drop(id{code, network}) })
}

// ClearNetwork takes back all warnings of a network that is gone.
func (r *Registry) ClearNetwork(network string) {
	r.update(func() {
		for key := range r.raised {
			if key.network == network {
				r.drop(key)
			}
		}
	})
}

// List is what a person should see now, worst first; never nil.
func (r *Registry) List() []ipc.Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	return clone(r.shown)
}

// Named are the texts of what is raised with one of these codes, shown yet or
// not, by network.
func (r *Registry) Named(codes ...string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var hs []ipc.Health
	for key, e := range r.raised {
		if slices.Contains(codes, key.code) {
			hs = append(hs, e.health(kindOf(key.code)))
		}
	}
	slices.SortFunc(hs, func(a, b ipc.Health) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Code, b.Code))
	})
	out := make([]string, len(hs))
	for i, h := range hs {
		out[i] = h.Text
	}
	return out
}

// Close stops all timers; nothing changes any more.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, e := range r.raised {
		e.stop()
	}
}

func (e *entry) stop() {
	if e.show != nil {
		e.show.Stop()
	}
	if e.end != nil {
		e.end.Stop()
	}
}

// drop wants mu.
func (r *Registry) drop(key id) {
	if e := r.raised[key]; e != nil {
		e.stop()
		delete(r.raised, key)
	}
}

func (r *Registry) ripen(key id, e *entry) {
	r.update(func() {
		if r.raised[key] == e {
			e.due = true
		}
	})
}

// expire drops e unless Set has renewed it since t fired.
func (r *Registry) expire(key id, e *entry, t **time.Timer) {
	r.update(func() {
		if r.raised[key] == e && e.end == *t {
			r.drop(key)
		}
	})
}

// update runs change, and reports if another list comes of it.
func (r *Registry) update(change func()) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	change()
	now := r.visible()
	differs := !reflect.DeepEqual(now, r.shown)
	r.shown = now
	r.mu.Unlock()
	if differs {
		r.changed()
	}
}

// visible wants mu.
func (r *Registry) visible() []ipc.Health {
	type row struct {
		ipc.Health
		kind kind
	}
	var rows []row
	for key, e := range r.raised {
		k := kindOf(key.code)
		if !e.due || r.suppressed(k, key.network) {
			continue
		}
		rows = append(rows, row{e.health(k), k})
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(
			cmp.Compare(rank(b.Severity), rank(a.Severity)),
			cmp.Compare(a.kind.order, b.kind.order),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Network, b.Network),
		)
	})
	out := make([]ipc.Health, len(rows))
	for i, row := range rows {
		out[i] = row.Health
	}
	return out
}

// suppressed tells whether a parent is raised, for that network or for the
// machine. A parent within its delay counts: else its children would flash up
// before it.
func (r *Registry) suppressed(k kind, network string) bool {
	for _, parent := range k.parents {
		if r.raised[id{parent, network}] != nil || r.raised[id{parent, ""}] != nil {
			return true
		}
	}
	return false
}

func (e *entry) health(k kind) ipc.Health {
	h := ipc.Health{
		Code:     e.Code,
		Severity: cmp.Or(e.Severity, k.severity),
		Network:  e.Network,
		Args:     map[string]string{},
	}
	for name, v := range e.Args {
		h.Args[name] = strings.Join(strings.Fields(v), " ") // a text stays one line
	}
	h.Text = k.words(e.Network, h.Args)
	return h
}

func rank(s ipc.Severity) int {
	return slices.Index([]ipc.Severity{ipc.SeverityInfo, ipc.SeverityWarning, ipc.SeverityError}, s)
}

func clone(in []ipc.Health) []ipc.Health {
	out := make([]ipc.Health, len(in))
	for i, h := range in {
		h.Args = maps.Clone(h.Args)
		out[i] = h
	}
	return out
}
