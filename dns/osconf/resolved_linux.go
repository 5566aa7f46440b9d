package osconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"kith.internal/dns"
	"kith.internal/dns/plan"
)

// org.freedesktop.resolve1(5); where networkd manages our link it is networkd
// that is told, by the same methods.
const (
	resolvedName  = "org.freedesktop.resolve1"
	resolvedPath  = "/org/freedesktop/resolve1"
	resolvedIface = resolvedName + ".Manager"
	networkdName  = "org.freedesktop.network1"
	networkdPath  = "/org/freedesktop/network1"
	networkdIface = networkdName + ".Manager"
)

// linkDNS and linkDomain are a(iay) and a(sb).
type linkDNS struct {
	Family  int32
	Address []byte
}

type linkDomain struct {
	Domain string
	Route  bool // not for searching
}

// resolved is the Manager that tells systemd-resolved about our link. What it
// is told goes with the link, so a crash leaves nothing.
type resolved struct {
	cfg Config
	bus func() bus
	why string

	mu     sync.Mutex // guards what follows
	want   plan.OSConfig
	link   link // that was told; index 0: none
	closed bool
}

// pingResolved wakes resolved, so that it writes its files, or fails.
func pingResolved(b bus) error {
	return b.call(resolvedName, resolvedPath, "org.freedesktop.DBus.Peer.Ping", nil)
}

func (m *resolved) Set(c plan.OSConfig) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errClosed
	case c.IsZero():
		return m.undo()
	}
	l, err := m.cfg.linkOf(c.Nameservers[0])
	if err != nil {
		return err
	}
	if m.link.index == l.index && c.Equal(m.want) && slices.Equal(l.own(c.Nameservers), m.link.own(c.Nameservers)) {
		return nil
	}
	if m.link.index != 0 && m.link.index != l.index {
		if err := m.undo(); err != nil {
			m.cfg.Log.Debug("the former link is not reverted", "link", m.link.name, "err", err)
		}
	}
	if err := m.apply(l, c); err != nil {
		return err
	}
	m.want, m.link = c, l
	return nil
}

// apply tells of l; the caller holds mu, here and below. The servers come last,
// so that no query goes to them that is not for them.
func (m *resolved) apply(l link, c plan.OSConfig) error {
	b := m.bus()
	if b == nil {
		return errNoBus
	}
	all := len(c.Match) == 0
	domains := linkDomains(c)
	err := m.tell(b, "SetLinkDomains", int32(l.index), domains)
	if tooMany(err) {
		m.cfg.Log.Info("systemd-resolved takes no more domains: reverse names are left to the others", "domains", len(domains))
		err = m.tell(b, "SetLinkDomains", int32(l.index), slices.DeleteFunc(domains, func(d linkDomain) bool { return strings.HasSuffix(d.Domain, ".arpa") }))
	}
	if err != nil {
		return fmt.Errorf("tell systemd-resolved of domains: %w", err)
	}
	for _, set := range []struct {
		method string
		value  any
	}{
		{"SetLinkDefaultRoute", all}, {"SetLinkLLMNR", "no"}, {"SetLinkMulticastDNS", "no"},
		{"SetLinkDNSOverTLS", "no"}, {"SetLinkDNSSEC", "no"},
	} {
		// An older one, or one built without, has nothing to turn off.
		if err := m.tell(b, set.method, int32(l.index), set.value); err != nil {
			m.cfg.Log.Debug("systemd-resolved", "method", set.method, "err", err)
		}
	}
	var servers []linkDNS
	for _, a := range l.own(c.Nameservers) {
		family := int32(unix.AF_INET6)
		if a.Is4() {
			family = unix.AF_INET
		}
		servers = append(servers, linkDNS{family, a.AsSlice()})
	}
	if err := m.tell(b, "SetLinkDNS", int32(l.index), servers); err != nil {
		return fmt.Errorf("tell systemd-resolved of nameservers: %w", err)
	}
	m.flush(b)
	return nil
}

// tell calls a method of resolved's, or networkd's where the link is its.
func (m *resolved) tell(b bus, method string, args ...any) error {
	err := b.call(resolvedName, resolvedPath, resolvedIface+"."+method, nil, args...)
	if busError(err) == resolvedName+".LinkBusy" {
		if method == "RevertLink" {
			method = "RevertLinkDNS"
		}
		return b.call(networkdName, networkdPath, networkdIface+"."+method, nil, args...)
	}
	return err
}

// flush forgets what it knows of names that are ours now, or no longer.
func (m *resolved) flush(b bus) {
	if err := b.call(resolvedName, resolvedPath, resolvedIface+".FlushCaches", nil); err != nil {
		m.cfg.Log.Debug("systemd-resolved's cache is not flushed", "err", err)
	}
}

// tooMany is E2BIG, by name or in words.
func tooMany(err error) bool {
	return err != nil && (busError(err) == "System.Error.E2BIG" || strings.Contains(err.Error(), unix.E2BIG.Error()) ||
		strings.Contains(err.Error(), "Argument list too long"))
}

// linkDomains are what is searched, and what only says where a name goes.
func linkDomains(c plan.OSConfig) []linkDomain {
	var out []linkDomain
	has := map[string]bool{}
	add := func(d string, route bool) {
		if !has[d] {
			has[d] = true
			out = append(out, linkDomain{d, route})
		}
	}
	for _, d := range c.Search {
		if d != "." {
			add(d, false)
		}
	}
	for _, d := range c.Match {
		add(d, true)
	}
	if len(c.Match) == 0 {
		add(".", true)
	}
	return out
}

func (m *resolved) undo() error {
	l := m.link
	m.want, m.link = plan.OSConfig{}, link{}
	b := m.bus()
	if l.index == 0 || b == nil || !busOwned(b, resolvedName) {
		return nil // nobody to tell: what it is told ends with it, and with the link
	}
	err := m.tell(b, "RevertLink", int32(l.index))
	if busError(err) == resolvedName+".NoSuchLink" {
		err = nil
	}
	if err == nil {
		m.flush(b)
	}
	return err
}

func (m *resolved) again() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.link.index == 0 {
		return nil
	}
	return m.apply(m.link, m.want)
}

// hear tells of new servers of the other links.
func (m *resolved) hear(sig *dbus.Signal) []Event {
	if sig.Name != propsChanged || sig.Path != resolvedPath || len(sig.Body) < 2 {
		return nil
	}
	changed, _ := sig.Body[1].(map[string]dbus.Variant)
	if _, ok := changed["DNS"]; !ok {
		return nil
	}
	return []Event{{Kind: BaseChanged, Base: m.Base(), By: ownerResolved}}
}

// Base is what the other links and resolved's own files say.
func (m *resolved) Base() Base {
	m.mu.Lock()
	own, ours := m.link.index, m.want.Nameservers
	m.mu.Unlock()
	var base Base
	b := m.bus()
	if b == nil {
		return base
	}
	var servers []struct {
		Link    int32
		Family  int32
		Address []byte
	}
	if err := busGet(b, resolvedName, resolvedPath, resolvedIface, "DNS", &servers); err != nil {
		m.cfg.Log.Debug("systemd-resolved's nameservers are unknown", "err", err)
		return base
	}
	for _, s := range servers {
		a, ok := netip.AddrFromSlice(s.Address)
		if !ok || own != 0 && int(s.Link) == own || slices.Contains(ours, a) {
			continue
		}
		if a.IsLinkLocalUnicast() && a.Is6() {
			if name := linkName(int(s.Link)); name != "" {
				a = a.WithZone(name)
			}
		}
		if at := netip.AddrPortFrom(a, 53); !slices.Contains(base.Nameservers, at) {
			base.Nameservers = append(base.Nameservers, at)
		}
	}
	var domains []struct {
		Link   int32
		Domain string
		Route  bool
	}
	if err := busGet(b, resolvedName, resolvedPath, resolvedIface, "Domains", &domains); err == nil {
		for _, d := range domains {
			if !d.Route && (own == 0 || int(d.Link) != own) && dns.ValidDomain(d.Domain) == nil {
				base.Search = append(base.Search, d.Domain)
			}
		}
	}
	return base
}

func (m *resolved) Mode() (Mode, string)      { return ModeResolved, m.why }
func (m *resolved) Abilities() plan.Abilities { return plan.Resolved }

func (m *resolved) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.undo()
}
