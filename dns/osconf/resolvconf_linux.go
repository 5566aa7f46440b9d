package osconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"kith.internal/dns/plan"
)

const (
	// recordName is what resolvconf knows our record by. Debian's sorts tun*
	// before the network's interfaces.
	recordName = "tun.kith"

	recordBackup = "resolvconf.backup"
	recordKind   = "resolvconf"
	recordTries  = 3 // to take it away
)

// record is what is needed to take ours away again.
type record struct {
	Program string   `json:"program"`
	Mode    Mode     `json:"mode"`
	Ours    []string `json:"ours"` // the nameservers
	Before  snapshot `json:"before"`
}

// resolvconf is the Manager that gives Debian's resolvconf, or openresolv, a
// record of ours.
type resolvconf struct {
	cfg     Config
	found   finding
	path    string
	rethink func()             // has the switcher look again
	fails   func(Mode, string) // tells it that this does not work
	stop    func()

	mu     sync.Mutex // guards what follows
	want   plan.OSConfig
	on     bool
	noted  bool
	before snapshot
	base   Base
	budget budget
	gaveUp error
	closed bool
}

func newResolvconf(cfg Config, f finding, rethink func(), fails func(Mode, string)) (*resolvconf, error) {
	m := &resolvconf{cfg: cfg, found: f, path: cfg.inRoot(resolvPath), rethink: rethink, fails: fails}
	m.base = m.readBase()
	dirs := []string{filepath.Dir(m.path), cfg.inRoot("run/resolvconf/interface"), cfg.inRoot("run/resolvconf/interfaces"), cfg.inRoot("run/resolvconf")}
	var err error
	if m.stop, err = watchDirs(dirs, func() []string { return append(filesIn(dirs[1], dirs[2]), m.path) }, m.check); err != nil {
		return nil, fmt.Errorf("watch resolvconf: %w", err)
	}
	return m, nil
}

func filesIn(dirs ...string) (files []string) {
	for _, d := range dirs {
		entries, _ := os.ReadDir(d)
		for _, e := range entries {
			files = append(files, filepath.Join(d, e.Name()))
		}
	}
	return files
}

func (m *resolvconf) Set(c plan.OSConfig) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errClosed
	case c.IsZero():
		return m.undo()
	case c.Equal(m.want) && m.gaveUp != nil:
		return m.gaveUp
	case c.Equal(m.want) && m.on:
		return nil
	}
	m.gaveUp = nil
	return m.apply(c)
}

// apply adds our record; the caller holds mu, here and below.
func (m *resolvconf) apply(c plan.OSConfig) error {
	if !m.on {
		var err error
		if m.before, err = take(m.cfg, m.path); err != nil {
			return fmt.Errorf("read %s: %w", m.path, err)
		}
	}
	if err := m.note(c); err != nil {
		return err
	}
	args := []string{"-a", recordName}
	if m.found.mode == ModeOpenresolv { // ours alone, before all others
		args = []string{"-x", "-m", "0", "-a", recordName}
	}
	out, err := m.cfg.run(recordContent(c), m.found.program, args...)
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", m.found.program, err, lastLine(out))
		return errors.Join(err, m.undo())
	}
	m.want, m.on = c, true
	if !m.first() {
		why := m.found.program + " does not put our nameserver first"
		err := errors.Join(errors.New(why), m.undo())
		m.fails(m.found.mode, why)
		return err
	}
	return nil
}

// note makes the change known to Restore before it is made.
func (m *resolvconf) note(c plan.OSConfig) error {
	r := record{Program: m.found.program, Mode: m.found.mode, Before: m.before}
	for _, a := range c.Nameservers {
		r.Ours = append(r.Ours, a.String())
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := writeState(filepath.Join(m.cfg.StateDir, recordBackup), data); err != nil {
		return fmt.Errorf("back up resolv.conf: %w", err)
	}
	if m.noted {
		return nil
	}
	if err := m.cfg.begin(m.entry()); err != nil {
		return errors.Join(fmt.Errorf("note in the journal: %w", err), os.Remove(filepath.Join(m.cfg.StateDir, recordBackup)))
	}
	m.noted = true
	return nil
}

func (m *resolvconf) entry() Entry {
	return Entry{Kind: recordKind, Path: m.found.program, Backup: m.cfg.StateDir}
}

// recordContent is what resolvconf is told on its standard input.
func recordContent(c plan.OSConfig) []byte {
	var b bytes.Buffer
	for _, a := range c.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(c.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.Search, " "))
	}
	return b.Bytes()
}

// first reports whether programs ask us first.
func (m *resolvconf) first() bool {
	s, err := take(m.cfg, m.path)
	if err != nil {
		return false
	}
	servers := parseResolvConf(s.Data).nameservers
	return len(servers) > 0 && slices.Contains(m.want.Nameservers, servers[0])
}

func (m *resolvconf) undo() error {
	m.gaveUp = nil
	m.want = plan.OSConfig{}
	if !m.noted {
		return nil
	}
	m.on = false
	if err := restoreRecord(m.cfg); err != nil {
		return err
	}
	m.noted = false
	return nil
}

// restoreRecord takes our record away, and sees to it that nothing stays of it:
// where ours was the last one resolvconf leaves the file as it was with it.
func restoreRecord(cfg Config) error {
	path := filepath.Join(cfg.StateDir, recordBackup)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("read %s: %w", recordBackup, err)
	}
	if !slices.Contains(resolvconfPrograms, r.Program) {
		return fmt.Errorf("read %s: %q is no resolvconf", recordBackup, r.Program)
	}
	args := []string{"-d", recordName}
	if r.Mode == ModeOpenresolv {
		args = []string{"-f", "-d", recordName}
	}
	// A signal to all of our service's processes ends resolvconf too.
	var out []byte
	for range recordTries {
		if out, err = cfg.run(nil, r.Program, args...); err == nil || errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if mend := r.mend(cfg); mend != nil {
		return mend
	}
	// Uninstalled by now: then only the file was left to mend.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not take our record away: %w: %s", r.Program, err, lastLine(out))
	}
	if err := cfg.done(Entry{Kind: recordKind, Path: r.Program, Backup: cfg.StateDir}); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(cfg.StateDir)
}

// mend puts the former file back if the one there names us, or means the same.
func (r record) mend(cfg Config) error {
	path := cfg.inRoot(resolvPath)
	now, err := take(cfg, path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if now.equal(r.Before) {
		return nil
	}
	is, was := parseResolvConf(now.Data), parseResolvConf(r.Before.Data)
	ours := slices.ContainsFunc(is.nameservers, func(a netip.Addr) bool { return slices.Contains(r.Ours, a.String()) })
	if !ours && !is.same(was) {
		return nil // others have changed theirs meanwhile
	}
	if err := r.Before.put(path); err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return nil
}

func (c resolvConf) same(d resolvConf) bool {
	return slices.Equal(c.nameservers, d.nameservers) && slices.Equal(c.search, d.search) && slices.Equal(c.options, d.options)
}

// check looks whether others' records have changed, or somebody wrote the file.
func (m *resolvconf) check() {
	m.mu.Lock()
	var events []Event
	if base := m.readBase(); !m.closed && !base.equal(m.base) {
		m.base = base
		events = append(events, Event{Kind: BaseChanged, Base: base, By: string(m.found.mode)})
	}
	if m.on && !m.closed && !m.first() {
		events = append(events, m.answer())
	}
	m.mu.Unlock()
	m.rethink()
	for _, ev := range events {
		if m.cfg.Notify != nil {
			m.cfg.Notify(ev)
		}
	}
}

// answer adds ours again, or gives up.
func (m *resolvconf) answer() Event {
	want := m.want
	if m.budget.spend() {
		err := m.apply(want)
		if err == nil {
			return Event{Kind: Reapplied, Base: m.base}
		}
		m.gaveUp = err
	} else {
		m.gaveUp = fmt.Errorf("%w: %d times", ErrGivenUp, budgetMost)
	}
	why := m.gaveUp
	if err := m.undo(); err != nil {
		m.cfg.Log.Warn("our record stays with resolvconf", "err", err)
	}
	m.want, m.gaveUp = want, why
	return Event{Kind: GaveUp, Base: m.base, Why: why}
}

// readBase joins the others' records.
func (m *resolvconf) readBase() Base {
	var data []byte
	if m.found.mode == ModeOpenresolv {
		out, err := m.cfg.run(nil, m.found.program, "-l")
		if err != nil {
			m.cfg.Log.Debug("openresolv does not list its records", "err", err)
		}
		data = othersRecords(out)
	} else {
		dir := m.cfg.inRoot("run/resolvconf/interface")
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.Name() != recordName && e.Type().IsRegular() {
				if b, err := readFile(filepath.Join(dir, e.Name())); err == nil {
					data = append(append(data, b...), '\n')
				}
			}
		}
	}
	c := parseRecords(data)
	if len(c.nameservers) == 0 && !m.on { // a file of resolvconf's without a record
		if s, err := take(m.cfg, m.path); err == nil {
			c = parseResolvConf(s.Data)
		}
	}
	return c.base(m.cfg.hostname(), m.want.Nameservers)
}

// parseRecords reads several records: unlike in a file the search domains of
// all count.
func parseRecords(data []byte) resolvConf {
	var c resolvConf
	for line := range bytes.Lines(data) {
		one := parseResolvConf(line)
		for _, a := range one.nameservers {
			c.addNameserver(a.String())
		}
		for _, d := range one.search {
			if !slices.Contains(c.search, d) {
				c.search = append(c.search, d)
			}
		}
		c.options = append(c.options, one.options...)
	}
	return c
}

// othersRecords leaves ours out of what openresolv lists.
func othersRecords(list []byte) []byte {
	var out []byte
	ours := false
	for line := range bytes.Lines(list) {
		if name, ok := bytes.CutPrefix(line, []byte("# resolv.conf from ")); ok {
			ours = string(bytes.TrimSpace(name)) == recordName
		}
		if !ours {
			out = append(out, line...)
		}
	}
	return out
}

func (b Base) equal(o Base) bool {
	return slices.Equal(b.Nameservers, o.Nameservers) && slices.Equal(b.Search, o.Search) && slices.Equal(b.Options, o.Options)
}

func (m *resolvconf) Base() Base {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.base
}

func (m *resolvconf) Mode() (Mode, string)      { return m.found.mode, m.found.why }
func (m *resolvconf) Abilities() plan.Abilities { return plan.PlainFile }

func (m *resolvconf) Close() error {
	m.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.undo()
}
