package osconf

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"kith.internal/dns/plan"
)

// plain is the Manager that writes /etc/resolv.conf itself.
type plain struct {
	cfg  Config
	path string
	why  string
	stop func() // ends the watch

	elsewhere func() *UnsupportedError

	mu      sync.Mutex // guards what follows
	want    plan.OSConfig
	written []byte   // what we put there; nil while nothing of ours is
	before  snapshot // what was there, or what another program has put there since
	noted   bool     // the journal and the backup know of it
	budget  budget
	gaveUp  error
	managed *UnsupportedError // a manager took the file over since
	closed  bool
}

// unmounted is why a file that was a mount of its own is left alone.
var unmounted = &UnsupportedError{"the system", "the mount over /etc/resolv.conf has been taken away"}

// newPlain takes hold of the file. Elsewhere says who rules the resolver now, if
// that is somebody else; why is how it was found that nobody does.
func newPlain(cfg Config, why string, elsewhere func() *UnsupportedError) (*plain, error) {
	m := &plain{cfg: cfg, path: cfg.inRoot(resolvPath), why: why, elsewhere: elsewhere}
	var err error
	if m.before, err = take(cfg, m.path); err != nil {
		return nil, fmt.Errorf("read %s: %w", m.path, err)
	}
	if isOurs(m.before.Data) { // the backup is lost, and with it what was there
		m.before.Data = strip(m.before.Data)
	}
	if m.stop, err = m.watch(); err != nil {
		cfg.Log.Warn("resolv.conf is not watched", "err", err)
		m.why += "; changes by others go unnoticed: " + err.Error()
		m.stop = func() {}
	}
	return m, nil
}

func (m *plain) Set(c plan.OSConfig) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errClosed
	case c.IsZero():
		return m.undo()
	case m.gaveUp != nil && c.Equal(m.want):
		return m.gaveUp
	case m.before.gone(m.path):
		m.managed = unmounted
		return m.managed
	case m.written != nil && c.Equal(m.want):
		return nil
	}
	if m.managed = m.elsewhere(); m.managed != nil && m.written == nil {
		return m.managed
	}
	now, err := take(m.cfg, m.path)
	if err != nil {
		return fmt.Errorf("read %s: %w", m.path, err)
	}
	m.adopt(now)
	m.gaveUp = nil
	return m.apply(c)
}

// adopt makes now what was there before us, unless it comes from us; it
// reports whether that is new. The caller holds mu, here and below.
func (m *plain) adopt(now snapshot) bool {
	if isOurs(now.Data) || m.onlyUs(now.Data) || now.equal(m.before) {
		return false
	}
	m.before = now
	return true
}

// apply writes c.
func (m *plain) apply(c plan.OSConfig) error {
	content := snapshot{Kind: kindFile, Mode: 0o644,
		Data: render(c, parseResolvConf(m.before.Data), m.cfg.byHand(m.before))}
	if m.before.Kind == kindFile {
		content.Mode, content.UID, content.GID = m.before.Mode, m.before.UID, m.before.GID
	}
	if err := m.cfg.saveBackup(m.before); err != nil {
		return err
	}
	if !m.noted {
		if err := m.cfg.begin(m.cfg.entry()); err != nil {
			return errors.Join(fmt.Errorf("note in the journal: %w", err), m.cfg.dropBackup())
		}
		m.noted = true
	}
	if err := content.put(m.path); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", m.path, err), m.forget())
	}
	m.want, m.written = c, content.Data
	return nil
}

// forget puts back what there is of ours and clears backup and journal.
func (m *plain) forget() error {
	if err := putBack(m.cfg, m.path, m.before); err != nil {
		return err // the backup stays for the next Restore
	}
	m.written = nil
	if err := m.cfg.dropBackup(); err != nil {
		return fmt.Errorf("remove the backup of resolv.conf: %w", err)
	}
	if !m.noted {
		return nil
	}
	m.noted = false
	return m.cfg.done(m.cfg.entry())
}

func (m *plain) undo() error {
	m.gaveUp = nil
	var err error
	if m.written != nil || m.noted {
		err = m.forget()
	}
	m.want = plan.OSConfig{}
	return err
}

func (m *plain) Base() Base {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.base()
}

func (m *plain) base() Base {
	return parseResolvConf(m.before.Data).base(m.cfg.hostname(), m.want.Nameservers)
}

func (m *plain) Mode() (Mode, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.managed != nil {
		return ModeUnsupported, m.managed.Owner + ": " + m.managed.Why
	}
	return ModePlain, m.why
}

func (m *plain) Abilities() plan.Abilities { return plan.PlainFile }

func (m *plain) Close() error {
	m.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.undo()
}

// check looks whether the file is still as we left it, and says what to tell.
func (m *plain) check() (events []Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	if m.before.gone(m.path) {
		if m.written == nil {
			return nil
		}
		m.managed = unmounted
		return []Event{m.giveUp(Event{Why: unmounted, By: unmounted.Owner})}
	}
	now, err := take(m.cfg, m.path)
	if err != nil {
		m.cfg.Log.Warn("resolv.conf cannot be read", "err", err)
		return nil
	}
	if m.written != nil && bytes.Equal(now.Data, m.written) {
		return m.behind()
	}
	if m.adopt(now) {
		events = append(events, Event{Kind: BaseChanged, Base: m.base(), By: writer(now.Data)})
	}
	if m.written == nil {
		return events
	}
	return append(events, m.answer(now))
}

// behind looks whether what the link that we replaced leads to has changed:
// there a manager goes on writing.
func (m *plain) behind() []Event {
	if m.before.Kind != kindLink || m.before.Mount {
		return nil
	}
	var data []byte
	if _, final, err := follow(m.cfg, m.target()); err == nil {
		data, _ = readFile(final)
	}
	if bytes.Equal(data, m.before.Data) || isOurs(data) || m.onlyUs(data) {
		return nil
	}
	m.before.Data = data
	if err := m.apply(m.want); err != nil { // its options may be others
		m.cfg.Log.Warn("resolv.conf is not brought up to date", "err", err)
	}
	return []Event{{Kind: BaseChanged, Base: m.base(), By: writer(data)}}
}

// target is where the link that stood at path leads first.
func (m *plain) target() string {
	if filepath.IsAbs(m.before.Target) {
		return m.cfg.inRoot(m.before.Target)
	}
	return filepath.Join(filepath.Dir(m.path), m.before.Target)
}

// answer applies ours again over what another program wrote, or gives up.
func (m *plain) answer(now snapshot) Event {
	by := writer(now.Data)
	ev := Event{By: by}
	if owned := m.elsewhere(); owned != nil {
		m.managed, ev.Why, ev.By = owned, owned, owned.Owner
	} else if !m.budget.spend() {
		m.gaveUp = fmt.Errorf("%w: %d times", ErrGivenUp, budgetMost)
		ev.Why = m.gaveUp
	} else if err := m.apply(m.want); err != nil {
		m.gaveUp = fmt.Errorf("write resolv.conf again: %w", err)
		ev.Why = m.gaveUp
	}
	if ev.Why == nil {
		ev.Kind, ev.Base = Reapplied, m.base()
		return ev
	}
	return m.giveUp(ev)
}

// giveUp forgets what there is of ours, without another try.
func (m *plain) giveUp(ev Event) Event {
	m.written = nil
	if err := m.forget(); err != nil {
		m.cfg.Log.Warn("backup of resolv.conf stays", "err", err)
	}
	ev.Kind, ev.Base = GaveUp, m.base()
	return ev
}

// onlyUs reports whether data names our nameservers and no others: as the
// host's own configuration that would have us ask ourselves.
func (m *plain) onlyUs(data []byte) bool {
	c := parseResolvConf(data)
	return len(c.nameservers) > 0 && len(c.base("", m.want.Nameservers).Nameservers) == 0
}

func (s snapshot) equal(o snapshot) bool {
	return s.Kind == o.Kind && s.Target == o.Target && bytes.Equal(s.Data, o.Data)
}
