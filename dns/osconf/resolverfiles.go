//go:build unix

package osconf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"kith.internal/dns"
	"kith.internal/dns/plan"
)

// resolver(5) of macOS: a file for each domain, named after it. The list of
// domains to search is configd's, by scutil(8).
const (
	resolverDir  = "etc/resolver"
	resolverKind = "resolver-files"
	scutil       = "/usr/sbin/scutil"
	scutilKey    = "State:/Network/Service/kith/DNS"
	dscacheutil  = "/usr/bin/dscacheutil"
)

// resolverFiles is the Manager of macOS.
type resolverFiles struct {
	cfg Config
	dir string

	mu     sync.Mutex // guards what follows
	want   plan.OSConfig
	noted  bool
	closed bool
}

func newResolverFiles(cfg Config) *resolverFiles {
	return &resolverFiles{cfg: cfg, dir: cfg.inRoot(resolverDir)}
}

func (m *resolverFiles) entry() Entry {
	return Entry{Kind: resolverKind, Path: m.dir}
}

func (m *resolverFiles) Set(c plan.OSConfig) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errClosed
	case c.IsZero():
		return m.undo()
	case m.noted && c.Equal(m.want):
		return nil
	}
	if !m.noted {
		if err := m.cfg.begin(m.entry()); err != nil {
			return fmt.Errorf("note in the journal: %w", err)
		}
		m.noted = true
	}
	m.want = plan.OSConfig{} // until all of it is there
	if err := m.apply(c); err != nil {
		return err
	}
	m.want = c
	return nil
}

// apply writes; the caller holds mu, here and below. A file of somebody else's
// stays, and its domain is named in the error.
func (m *resolverFiles) apply(c plan.OSConfig) error {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", m.dir, err)
	}
	wanted := map[string]bool{}
	var errs []error
	for _, d := range c.Match {
		if dns.ValidDomain(d) != nil { // it becomes a file's name
			continue
		}
		wanted[d] = true
		errs = append(errs, m.write(d, resolverContent(c)))
	}
	errs = append(errs, removeOwn(m.dir, wanted))
	if out, err := m.cfg.run(scutilScript(c), scutil); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w: %s", scutil, err, lastLine(out)))
	}
	m.flush()
	return errors.Join(errs...)
}

func (m *resolverFiles) write(domain string, data []byte) error {
	path := filepath.Join(m.dir, domain)
	now, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(now, data):
		return nil
	case err == nil && !isOurs(now):
		return fmt.Errorf("%s is another program's and stays as it is", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := writeState(path, data); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Chmod(path, 0o644)
}

// resolverContent is one file.
func resolverContent(c plan.OSConfig) []byte {
	var b bytes.Buffer
	b.WriteString(marker + " (kithd), which takes it away when it stops; kithd cleanup does so too.\n")
	for _, a := range c.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	b.WriteString("timeout 2\n")
	return b.Bytes()
}

// scutilScript makes our names searched, and where all queries are to come to
// us, ours the resolver of all.
func scutilScript(c plan.OSConfig) []byte {
	var b bytes.Buffer
	b.WriteString("d.init\nd.add ServerAddresses *")
	for _, a := range c.Nameservers {
		fmt.Fprintf(&b, " %s", a)
	}
	var search []string
	for _, d := range c.Search {
		if dns.ValidDomain(d) == nil { // nothing else may stand in a script
			search = append(search, d)
		}
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "\nd.add SearchDomains * %s", strings.Join(search, " "))
	}
	match := search
	if len(c.Match) == 0 {
		match = append([]string{`""`}, search...)
	}
	if len(match) > 0 {
		fmt.Fprintf(&b, "\nd.add SupplementalMatchDomains * %s", strings.Join(match, " "))
	}
	fmt.Fprintf(&b, "\nset %s\nquit\n", scutilKey)
	return b.Bytes()
}

// flush forgets what mDNSResponder knows of names that are ours now.
func (m *resolverFiles) flush() {
	if out, err := m.cfg.run(nil, dscacheutil, "-flushcache"); err != nil {
		m.cfg.Log.Debug("the resolver's cache is not flushed", "err", err, "said", lastLine(out))
	}
}

// removeOwn removes our files but those to keep.
func removeOwn(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() || keep[e.Name()] {
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		case isOurs(data), strings.HasPrefix(e.Name(), ".") && strings.HasPrefix(marker, string(data)): // whole, or a crash's beginning of one
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

func (m *resolverFiles) undo() error {
	m.want = plan.OSConfig{}
	if !m.noted {
		return nil
	}
	if err := m.restore(); err != nil {
		return err
	}
	m.noted = false
	return nil
}

// restore takes all of ours away, a crash's too. A directory that this leaves
// empty goes as well: the OS has none.
func (m *resolverFiles) restore() error {
	if err := removeOwn(m.dir, nil); err != nil {
		return fmt.Errorf("remove our files from %s: %w", m.dir, err)
	}
	os.Remove(m.dir)
	if out, err := m.cfg.run([]byte("remove "+scutilKey+"\nquit\n"), scutil); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: %s", scutil, err, lastLine(out))
	}
	m.flush()
	return m.cfg.done(m.entry())
}

// Base is what configd writes down of the primary service.
func (m *resolverFiles) Base() Base {
	data, err := os.ReadFile(m.cfg.inRoot(resolvPath))
	if err != nil {
		return Base{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return parseResolvConf(data).base(m.cfg.hostname(), m.want.Nameservers)
}

func (m *resolverFiles) Mode() (Mode, string) {
	return ModeResolverFiles, "macOS asks by /etc/resolver and configd"
}
func (m *resolverFiles) Abilities() plan.Abilities { return plan.Darwin }

func (m *resolverFiles) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.undo()
}
