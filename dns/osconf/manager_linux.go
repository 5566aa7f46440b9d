package osconf

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"kith.internal/dns/plan"
)

const (
	busRetryFirst = time.Second      // until a bus that was not there is tried again
	busRetryMost  = time.Minute      // at longest
	lookFirst     = time.Second / 4  // until a setup that could not be asked is looked at again
	lookMost      = 30 * time.Second // at longest
)

// listener is a Manager that is told of the bus' signals.
type listener interface {
	// hear says what came of a signal.
	hear(*dbus.Signal) []Event
	// again applies what is wanted once more: the service has restarted.
	again() error
}

// switcher is the Manager that finds out what rules the resolver, has the
// Manager for that work, and another one when something else comes to rule.
type switcher struct {
	cfg   Config
	kick  chan struct{} // look again
	quit  chan struct{}
	ended sync.WaitGroup
	late  bool // a service has left the bus, or is only just there; follow's own

	busMu sync.Mutex // guards bus; a Manager asks for it while mu is held
	bus   bus        // nil: none

	mu     sync.Mutex // guards what follows
	found  finding
	cur    Manager
	beyond map[Mode]string // setups that turned out not to work, and why
	closed bool
}

// New finds out what rules the resolver and returns its Manager. What a crash
// left of ours is put back first.
func New(cfg Config) (Manager, error) {
	cfg.Log = cfg.logger()
	if err := restoreRecord(cfg); err != nil {
		cfg.Log.Warn("a record of ours stays with resolvconf", "err", err)
	}
	if err := restoreFile(cfg); err != nil {
		return nil, fmt.Errorf("restore the resolver's configuration after a crash: %w", err)
	}
	s := &switcher{cfg: cfg, kick: make(chan struct{}, 1), quit: make(chan struct{}), beyond: map[Mode]string{}}
	if !mountRoot(cfg.inRoot(resolvPath)) {
		if b, err := cfg.dialBus(); err != nil {
			cfg.Log.Debug("the resolver is not asked over D-Bus", "err", err)
		} else {
			s.setBus(b)
		}
	}
	s.found = s.look()
	var err error
	if s.cur, err = s.manager(s.found); err != nil {
		if b := s.busNow(); b != nil {
			b.close()
		}
		return nil, err
	}
	s.ended.Go(s.follow)
	return s, nil
}

// look decides anew. The caller holds mu, or is New.
func (s *switcher) look() finding {
	f := decide(s.cfg.look(s.busNow()))
	if why, not := s.beyond[f.mode]; not {
		return finding{mode: ModePlain, why: f.why + ", but " + why}
	}
	return f
}

func (s *switcher) manager(f finding) (Manager, error) {
	cfg := s.cfg
	cfg.Notify = s.notify
	switch f.mode {
	case ModeResolved:
		return &resolved{cfg: cfg, bus: s.busNow, why: f.why}, nil
	case ModeNetworkManager:
		return newNM(cfg, s.busNow, f, s.fails), nil
	case ModeResolvconf, ModeOpenresolv:
		return newResolvconf(cfg, f, s.wake, s.fails)
	case ModeUnsupported:
		return unsupported(cfg, &UnsupportedError{f.owner, f.why}), nil
	}
	return newPlain(cfg, f.why, s.elsewhere)
}

// elsewhere is for the plain Manager: who rules the resolver, if not it.
func (s *switcher) elsewhere() *UnsupportedError {
	f := decide(s.cfg.look(s.busNow()))
	s.mu.Lock()
	_, not := s.beyond[f.mode]
	s.mu.Unlock()
	if not || f.mode == ModePlain {
		return nil
	}
	if f.mode == ModeUnsupported {
		return &UnsupportedError{f.owner, f.why}
	}
	return &UnsupportedError{string(f.mode), f.why}
}

// busNow is the connection, nil while there is none.
func (s *switcher) busNow() bus {
	s.busMu.Lock()
	defer s.busMu.Unlock()
	return s.bus
}

func (s *switcher) setBus(b bus) {
	s.busMu.Lock()
	defer s.busMu.Unlock()
	s.bus = b
}

// notify passes a Manager's event on. If it gave up because something else
// rules now, that is for follow to take up.
func (s *switcher) notify(ev Event) {
	var moved *UnsupportedError
	if ev.Kind == GaveUp && errors.As(ev.Why, &moved) && moved != unmounted {
		s.wake()
		return
	}
	if s.cfg.Notify != nil {
		s.cfg.Notify(ev)
	}
}

func (s *switcher) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// fails is told by a Manager whose setup turned out not to work.
func (s *switcher) fails(m Mode, why string) {
	s.mu.Lock()
	s.beyond[m] = why
	s.mu.Unlock()
	s.wake()
}

// turn looks again and changes the Manager if something else rules; the caller
// holds mu. It says what to tell.
func (s *switcher) turn() []Event {
	f := s.look()
	if f.equal(s.found) {
		return nil
	}
	// Not everybody replaces the file whole: no half of one decides.
	s.mu.Unlock()
	time.Sleep(2 * settle)
	s.mu.Lock()
	if g := s.look(); !g.equal(f) {
		s.wake()
		return nil
	}
	s.cfg.Log.Info("the resolver is ruled by something else now", "was", s.found.mode, "is", f.mode, "why", f.why)
	// The old one's watch must not end while it waits for mu.
	old := s.cur
	s.mu.Unlock()
	err := old.Close()
	s.mu.Lock()
	if err != nil {
		s.cfg.Log.Warn("the resolver's former configuration is not put back", "err", err)
	}
	f = s.look() // what was put back may say otherwise
	m, err := s.manager(f)
	if err != nil {
		f = finding{mode: ModeUnsupported, owner: "the system", why: err.Error()}
		m = unsupported(s.cfg, &UnsupportedError{f.owner, f.why})
	}
	s.found, s.cur = f, m
	if f.mode == ModeUnsupported {
		why := &UnsupportedError{f.owner, f.why}
		return []Event{{Kind: GaveUp, Base: m.Base(), By: f.owner, Why: why}}
	}
	return []Event{{Kind: BaseChanged, Base: m.Base()}}
}

// follow looks again whenever there is a reason to, until Close.
func (s *switcher) follow() {
	retry := busRetryFirst
	dial := time.NewTimer(retry)
	defer dial.Stop()
	pause := lookFirst
	slow := time.NewTimer(pause)
	defer slow.Stop()
	for {
		b := s.busNow()
		s.mu.Lock()
		mode := s.found.mode
		s.mu.Unlock()
		var signals <-chan *dbus.Signal
		if b != nil {
			signals = b.signals()
		}
		select {
		case <-s.quit:
			return
		case sig, ok := <-signals:
			if !ok {
				s.lostBus(b)
				retry = busRetryFirst
				dial.Reset(retry)
				continue
			}
			s.heard(sig)
			pause = lookFirst
			slow.Reset(pause)
		case <-dial.C:
			if b == nil && s.connect() {
				continue
			}
			retry = min(2*retry, busRetryMost)
			dial.Reset(retry)
		case <-s.kick:
			s.lookAgain()
		case <-slow.C:
			pause = min(2*pause, lookMost)
			slow.Reset(pause)
			if s.late && pause < lookMost && b != nil && busOwned(b, nmName) {
				if _, err := askNM(b); err != nil { // it has its name before it answers
					continue
				}
			}
			if mode == ModeUnsupported || s.late {
				s.late = false
				s.lookAfter(mode)
			}
		}
	}
}

// connect tries the bus; without a use for it there is no need.
func (s *switcher) connect() bool {
	if s.cfg.Root != "" && s.cfg.system.dial == nil || mountRoot(s.cfg.inRoot(resolvPath)) {
		return false
	}
	b, err := s.cfg.dialBus()
	if err != nil {
		return false
	}
	s.setBus(b)
	s.mu.Lock()
	evs := s.turn()
	s.mu.Unlock()
	if len(evs) == 0 {
		evs = s.again() // what happened meanwhile went unheard
	}
	s.tell(evs)
	return true
}

// lostBus forgets a connection that ended.
func (s *switcher) lostBus(b bus) {
	b.close()
	s.setBus(nil)
}

// heard takes up a signal.
func (s *switcher) heard(sig *dbus.Signal) {
	if sig.Name != ownerChanged {
		s.mu.Lock()
		l, ok := s.cur.(listener)
		s.mu.Unlock()
		if ok {
			s.tell(l.hear(sig))
		}
		return
	}
	name, owner := nameOwner(sig)
	// Whether it is gone or restarts shows in a while, NetworkManager's answers
	// take one too. Resolved is ready.
	if s.late = owner == "" || name == nmName; !s.late {
		s.mu.Lock()
		mode := s.found.mode
		s.mu.Unlock()
		s.lookAfter(mode)
	}
}

// lookAfter looks again after a service came; where the setup of mode still
// rules, that service knows nothing of us.
func (s *switcher) lookAfter(mode Mode) {
	s.mu.Lock()
	evs := s.turn()
	same := s.found.mode == mode
	s.mu.Unlock()
	if len(evs) == 0 && same && mode != ModeUnsupported {
		evs = s.again()
	}
	s.tell(evs)
}

// again applies what is wanted to a service that has restarted.
func (s *switcher) again() []Event {
	l, ok := s.current().(listener)
	if !ok {
		return nil
	}
	if err := l.again(); err != nil {
		s.cfg.Log.Warn("the resolver's configuration is not applied again", "err", err)
		return nil
	}
	return []Event{{Kind: Reapplied, Base: s.Base()}}
}

// nameOwner reads NameOwnerChanged.
func nameOwner(sig *dbus.Signal) (name, owner string) {
	if len(sig.Body) == 3 {
		name, _ = sig.Body[0].(string)
		owner, _ = sig.Body[2].(string)
	}
	return name, owner
}

func (s *switcher) lookAgain() {
	s.mu.Lock()
	var evs []Event
	if !s.closed {
		evs = s.turn()
	}
	s.mu.Unlock()
	s.tell(evs)
}

func (s *switcher) tell(evs []Event) {
	for _, ev := range evs {
		if s.cfg.Notify != nil {
			s.cfg.Notify(ev)
		}
	}
}

func (s *switcher) current() Manager {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur
}

func (s *switcher) Set(c plan.OSConfig) error {
	s.mu.Lock()
	cur, mode := s.cur, s.found.mode
	s.mu.Unlock()
	if mode == ModeUnsupported && !c.IsZero() {
		s.wake() // it may have come to answer
	}
	return cur.Set(c)
}

func (s *switcher) Base() Base                { return s.current().Base() }
func (s *switcher) Mode() (Mode, string)      { return s.current().Mode() }
func (s *switcher) Abilities() plan.Abilities { return s.current().Abilities() }

func (s *switcher) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.quit)
	s.ended.Wait()
	err := s.cur.Close()
	if b := s.busNow(); b != nil {
		b.close()
	}
	return err
}
