package netmon

import (
	"errors"
	"reflect"
	"sync"
	"time"
)

// Kind is what a System has heard.
type Kind int

const (
	// Nothing that matters.
	Nothing Kind = iota
	// Maybe is a message that often repeats what was known: it counts if the
	// state differs.
	Maybe
	// Surely is a change even if the state soon looks as before: a carrier
	// lost and found, messages lost.
	Surely
)

// System is what an operating system tells of its network. New opens the
// host's; netmontest has one in memory.
type System interface {
	// Read reads what is there now: interfaces sorted by index.
	Read() (State, []Route, error)
	// Wait blocks until the system says something. It fails after Close, and
	// only then.
	Wait() (Kind, error)
	Close() error
}

const (
	// settle is how long a burst of messages is gathered after its first.
	settle = 50 * time.Millisecond
	// share bounds what reading costs: a fifth of a core, on hosts with very
	// many routes.
	share = 4
)

// Watcher tells of changes to the host's network. Its methods may be called
// from any goroutine.
type Watcher struct {
	system  System
	changes chan struct{}
	woke    chan struct{}
	nudge   chan struct{} // to look at the clocks
	stop    func()        // the watch over the clock
	done    chan struct{}
	tasks   sync.WaitGroup
	closing sync.Once

	mu     sync.Mutex
	state  State
	routes []Route
	err    error
}

// New watches this host's network, as the calling thread sees it.
func New() (*Watcher, error) {
	s, err := open()
	if err != nil {
		return nil, err
	}
	w := Watch(s)
	w.stop = clockJumps(func() { signal(w.nudge) })
	return w, nil
}

// Watch watches a System, and closes it.
func Watch(s System) *Watcher {
	w := &Watcher{
		system:  s,
		changes: make(chan struct{}, 1),
		woke:    make(chan struct{}, 1),
		nudge:   make(chan struct{}, 1),
		stop:    func() {},
		done:    make(chan struct{}),
	}
	w.read()
	said := make(chan Kind)
	w.tasks.Go(func() { w.listen(said) })
	w.tasks.Go(func() { w.gather(said) })
	w.tasks.Go(func() { detectSleep(w.done, w.nudge, hostClocks, func() { signal(w.woke) }) })
	return w
}

// State is what the network looked like at the last message of the system. It
// is shared: do not change it. It fails where the system did not let us read.
func (w *Watcher) State() (State, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.err
}

// Routes is what the routing tables held at the same time as State.
func (w *Watcher) Routes() ([]Route, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.routes, w.err
}

// Changes has something to receive after State or Routes changed, at once
// after the first change and 50 ms after it for what came with it. It is never
// closed.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Woke has something to receive after the host slept, or its process stood
// still. It is never closed.
func (w *Watcher) Woke() <-chan struct{} { return w.woke }

// Close ends the watch. It may be called more than once.
func (w *Watcher) Close() error {
	var err error
	w.closing.Do(func() {
		close(w.done)
		w.stop()
		err = w.system.Close()
		w.tasks.Wait()
	})
	return err
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *Watcher) listen(said chan<- Kind) {
	for {
		k, err := w.system.Wait()
		if err != nil {
			return
		}
		if k == Nothing {
			continue
		}
		signal(w.nudge)
		select {
		case said <- k:
		case <-w.done:
			return
		}
	}
}

// gather reads the state at the first message, and once more for all that
// come while it settles.
func (w *Watcher) gather(said <-chan Kind) {
	for {
		var k Kind
		select {
		case k = <-said:
		case <-w.done:
			return
		}
		for k != Nothing {
			start := time.Now()
			if changed := w.read(); changed || k == Surely {
				signal(w.changes)
			}
			k = w.settle(said, max(settle, share*time.Since(start)))
		}
	}
}

// settle gives the weightiest of the messages that come within d.
func (w *Watcher) settle(said <-chan Kind, d time.Duration) Kind {
	t := time.NewTimer(d)
	defer t.Stop()
	most := Nothing
	for {
		select {
		case k := <-said:
			most = max(most, k)
		case <-t.C:
			return most
		case <-w.done:
			return Nothing
		}
	}
}

// read reads the state and tells whether it differs from the last. A failure
// keeps the last state.
func (w *Watcher) read() bool {
	s, r, err := w.system.Read()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		changed := !errors.Is(w.err, err)
		w.err = err
		return changed
	}
	changed := w.err != nil || !reflect.DeepEqual(s, w.state) || !reflect.DeepEqual(r, w.routes)
	w.state, w.routes, w.err = s, r, nil
	return changed
}
