package osconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"kith.internal/dns"
	"kith.internal/dns/plan"
)

// The name resolution policy table of Windows ([MS-GPNRPT]): rules below one of
// two keys. Once the group policy has a rule, the other key's are passed over,
// so ours then stand in both.
const (
	nrptLocal  = `SYSTEM\CurrentControlSet\Services\Dnscache\Parameters\DnsPolicyConfig`
	nrptPolicy = `SOFTWARE\Policies\Microsoft\Windows NT\DNSClient\DnsPolicyConfig`
	nrptKind   = "nrpt"

	nrptNames = 50 // a rule holds no more

	// nrptOurs begins the keys of our rules; it says "kith" in hexadecimal.
	nrptOurs    = "{6B697468-"
	nrptComment = "kith: taken away when its service stops"
	nrptDNS     = 8 // ConfigOptions: the servers of GenericDNSServers
)

// hive is HKEY_LOCAL_MACHINE as far as it is used here.
type hive interface {
	// subkeys are the names below key; a key that is not there has none.
	subkeys(key string) ([]string, error)
	// write makes the key, and sets its values: string, []string or uint32.
	write(key string, values map[string]any) error
	// remove removes a key that has no subkeys, if it is there.
	remove(key string) error
}

// winAPI is what else Windows is asked.
type winAPI interface {
	// link finds the interface of an address.
	link(c plan.OSConfig) (link, error)
	// search sets the domains that our link adds to the search list.
	search(l link, domains []string) error
	// servers are the nameservers of the other links, and their domains.
	servers(own link) Base
	// flush has the resolver read its policy and forget what it knows; policy
	// says that the group policy's rules have changed.
	flush(policy bool) error
}

// nrpt is the Manager of Windows.
type nrpt struct {
	cfg Config
	reg hive
	win winAPI

	mu     sync.Mutex // guards what follows
	want   plan.OSConfig
	link   link
	noted  bool
	closed bool
}

func (m *nrpt) entry() Entry { return Entry{Kind: nrptKind, Path: nrptLocal} }

func (m *nrpt) Set(c plan.OSConfig) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errClosed
	case c.IsZero():
		return m.undo()
	}
	l, err := m.win.link(c)
	if err != nil {
		return err
	}
	foreign, err := m.foreign()
	if err != nil {
		return err
	}
	if m.noted && c.Equal(m.want) && l.index == m.link.index && m.placed(c, foreign) {
		return nil
	}
	if !m.noted {
		if err := m.cfg.begin(m.entry()); err != nil {
			return fmt.Errorf("note in the journal: %w", err)
		}
		m.noted = true
	}
	m.want = plan.OSConfig{} // until all of it is there
	if err := m.apply(c, foreign); err != nil {
		return err
	}
	if err := m.win.search(l, c.Search); err != nil {
		return fmt.Errorf("set the search list: %w", err)
	}
	m.want, m.link = c, l
	return nil
}

// apply replaces our rules; the caller holds mu, here and below.
func (m *nrpt) apply(c plan.OSConfig, foreign bool) error {
	rules := nrptRules(c)
	had, err := m.drop(nrptPolicy, len(rules), foreign)
	if err != nil {
		return err
	}
	if _, err := m.drop(nrptLocal, len(rules), true); err != nil {
		return err
	}
	at := []string{nrptLocal}
	if foreign {
		at = append(at, nrptPolicy)
	}
	for _, key := range at {
		for i, r := range rules {
			if err := m.reg.write(key+`\`+nrptKey(i), r); err != nil {
				return fmt.Errorf("write a name resolution rule: %w", err)
			}
		}
	}
	return m.win.flush(foreign || had)
}

// nrptKey is the name of our rule i: a GUID, as the others' are.
func nrptKey(i int) string { return fmt.Sprintf("%s0000-4000-8000-%012X}", nrptOurs, i) }

// nrptRules are the values of each rule. A name with a dot before it stands
// for itself and all below; the dot alone for all names.
func nrptRules(c plan.OSConfig) []map[string]any {
	var names []string
	for _, d := range c.Match {
		if dns.ValidDomain(d) == nil {
			names = append(names, "."+d)
		}
	}
	if len(c.Match) == 0 {
		names = []string{"."}
	}
	var servers []string
	for _, a := range c.Nameservers {
		servers = append(servers, a.String())
	}
	var rules []map[string]any
	for part := range slices.Chunk(names, nrptNames) {
		rules = append(rules, map[string]any{
			"Version":           uint32(1),
			"Name":              slices.Clone(part),
			"ConfigOptions":     uint32(nrptDNS),
			"GenericDNSServers": strings.Join(servers, ";"),
			"Comment":           nrptComment,
		})
	}
	return rules
}

// foreign reports whether the group policy has rules that are not ours.
func (m *nrpt) foreign() (bool, error) {
	keys, err := m.reg.subkeys(nrptPolicy)
	if err != nil {
		return false, fmt.Errorf("read the group policy's name resolution rules: %w", err)
	}
	return slices.ContainsFunc(keys, func(k string) bool { return !isNRPTOurs(k) }), nil
}

func isNRPTOurs(key string) bool {
	return strings.HasPrefix(strings.ToUpper(key), nrptOurs)
}

// placed reports whether our rules are still where they count.
func (m *nrpt) placed(c plan.OSConfig, foreign bool) bool {
	want := len(nrptRules(c))
	for key, n := range map[string]int{nrptLocal: want, nrptPolicy: map[bool]int{true: want}[foreign]} {
		keys, err := m.reg.subkeys(key)
		if err != nil || len(slices.DeleteFunc(keys, func(k string) bool { return !isNRPTOurs(k) })) != n {
			return false
		}
	}
	return true
}

// drop removes our rules below key from number keep on, or all of them unless
// stay. A policy key that this leaves empty goes too: its being there would turn
// the local rules off.
func (m *nrpt) drop(key string, keep int, stay bool) (had bool, err error) {
	keys, err := m.reg.subkeys(key)
	if err != nil {
		return false, fmt.Errorf("read the name resolution rules: %w", err)
	}
	var kept []string
	if stay {
		for i := range keep {
			kept = append(kept, nrptKey(i))
		}
	}
	left := len(keys)
	for _, k := range keys {
		if isNRPTOurs(k) && !slices.ContainsFunc(kept, func(s string) bool { return strings.EqualFold(s, k) }) {
			if err := m.reg.remove(key + `\` + k); err != nil {
				return had, fmt.Errorf("remove a name resolution rule: %w", err)
			}
			had, left = true, left-1
		}
	}
	if had && left == 0 && key == nrptPolicy {
		return had, m.reg.remove(key)
	}
	return had, nil
}

func (m *nrpt) undo() error {
	l := m.link
	m.want, m.link = plan.OSConfig{}, link{}
	if !m.noted {
		return nil
	}
	var err error
	if l.index != 0 {
		if e := m.win.search(l, nil); e != nil && !errors.Is(e, errNoLink) {
			err = fmt.Errorf("clear the search list: %w", e)
		}
	}
	if e := m.restore(); e != nil {
		return errors.Join(err, e)
	}
	m.noted = false
	return err
}

// restore removes all rules of ours, a crash's too; the search list goes with
// the link.
func (m *nrpt) restore() error {
	policy, err := m.drop(nrptPolicy, 0, false)
	if err != nil {
		return err
	}
	local, err := m.drop(nrptLocal, 0, false)
	if err != nil {
		return err
	}
	if policy || local {
		if err := m.win.flush(policy); err != nil {
			m.cfg.Log.Warn("the resolver's cache is not flushed", "err", err)
		}
	}
	return m.cfg.done(m.entry())
}

func (m *nrpt) Base() Base {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.win.servers(m.link)
}

func (m *nrpt) Mode() (Mode, string) {
	if foreign, err := m.foreign(); err == nil && foreign {
		return ModeNRPT, "Windows asks by its name resolution policy; the group policy has rules of its own, so ours stand there too"
	}
	return ModeNRPT, "Windows asks by its name resolution policy"
}

func (m *nrpt) Abilities() plan.Abilities { return plan.Windows }

func (m *nrpt) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.undo()
}
