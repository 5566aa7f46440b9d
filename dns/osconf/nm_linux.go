package osconf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"kith.internal/dns"
	"kith.internal/dns/plan"
)

const (
	nmName     = "org.freedesktop.NetworkManager"
	nmPath     = "/org/freedesktop/NetworkManager"
	nmDNSPath  = nmPath + "/DnsManager"
	nmDNSIface = nmName + ".DnsManager"
	nmDevice   = nmName + ".Device"

	nmActivated = 100 // NM_DEVICE_STATE_ACTIVATED

	// It takes up a new TUN by itself, in its own time.
	nmRetry   = 200 * time.Millisecond
	nmPatient = 15 * time.Second

	nmExclusive = -50 // below zero nobody else's servers are written
	nmBeside    = 50
)

// nmSettings is a connection, a{sa{sv}}.
type nmSettings map[string]map[string]dbus.Variant

var errNMNotReady = errors.New("NetworkManager has not taken up the interface")

// networkManager is the Manager that has NetworkManager count our nameservers
// among those of our link. It ends with the link, so a crash leaves nothing.
type networkManager struct {
	cfg   Config
	bus   func() bus
	found finding
	fails func(Mode, string)
	quit  chan struct{}
	ended sync.WaitGroup

	mu     sync.Mutex // guards what follows
	want   plan.OSConfig
	link   link // that carries ours; index 0: none
	base   Base
	trying bool
	budget budget
	closed bool
}

func askNM(b bus) (nmFacts, error) {
	var f nmFacts
	if !busOwned(b, nmName) {
		return f, errors.New("NetworkManager is not on the system bus")
	}
	if err := busGet(b, nmName, nmPath, nmName, "Version", &f.version); err != nil {
		return f, err
	}
	if err := busGet(b, nmName, nmDNSPath, nmDNSIface, "Mode", &f.mode); err != nil {
		return f, err
	}
	return f, busGet(b, nmName, nmDNSPath, nmDNSIface, "RcManager", &f.rcManager)
}

func newNM(cfg Config, bus func() bus, f finding, fails func(Mode, string)) *networkManager {
	m := &networkManager{cfg: cfg, bus: bus, found: f, fails: fails, quit: make(chan struct{})}
	m.base = m.readBase()
	return m
}

func (m *networkManager) Set(c plan.OSConfig) error {
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
	if c.Equal(m.want) && (m.link.index == l.index || m.trying) {
		return nil
	}
	if m.link.index != 0 && m.link.index != l.index {
		if err := m.undo(); err != nil {
			m.cfg.Log.Debug("the former link is not reverted", "link", m.link.name, "err", err)
		}
	}
	m.want = c
	return m.tryNow()
}

// tryNow applies what is wanted, or goes on trying; the caller holds mu, here
// and below.
func (m *networkManager) tryNow() error {
	err := m.apply()
	if err == nil || m.trying {
		return nil
	}
	if !errors.Is(err, errNMNotReady) && !errors.Is(err, errNoBus) {
		m.cfg.Log.Debug("NetworkManager is asked again", "err", err)
	}
	m.trying = true
	m.ended.Go(m.keepTrying)
	return nil
}

// keepTrying is until the device is NetworkManager's, or it is clear that it
// will not be.
func (m *networkManager) keepTrying() {
	tick := time.NewTicker(nmRetry)
	defer tick.Stop()
	late := time.Now().Add(nmPatient)
	for {
		select {
		case <-m.quit:
			return
		case <-tick.C:
		}
		m.mu.Lock()
		if m.closed || m.want.IsZero() {
			m.trying = false
			m.mu.Unlock()
			return
		}
		err := m.apply()
		m.trying = err != nil && time.Now().Before(late)
		again, base := m.trying, m.base
		m.mu.Unlock()
		switch {
		case again:
		case err != nil:
			m.fails(ModeNetworkManager, "it does not take our interface: "+err.Error())
			return
		default:
			if m.cfg.Notify != nil {
				m.cfg.Notify(Event{Kind: Reapplied, Base: base})
			}
			return
		}
	}
}

// apply changes the connection that runs on our link, in memory alone.
func (m *networkManager) apply() error {
	l, err := m.cfg.linkOf(m.want.Nameservers[0])
	if err != nil {
		return err
	}
	own := l.own(m.want.Nameservers)
	err = m.reapply(l.name, func(s nmSettings) error {
		set := false
		for family, v4 := range map[string]bool{"ipv4": true, "ipv6": false} {
			servers := slices.DeleteFunc(slices.Clone(own), func(a netip.Addr) bool { return a.Is4() != v4 })
			set = nmFamily(s[family], servers, v4, m.want, m.found.split) || set
		}
		if !set {
			return fmt.Errorf("%w: it has no addresses there", errNMNotReady)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.link = l
	return nil
}

// nmFamily puts servers and domains in the settings of one family, if that is
// configured at all.
func nmFamily(s map[string]dbus.Variant, servers []netip.Addr, v4 bool, c plan.OSConfig, split bool) bool {
	if method, _ := s["method"].Value().(string); method != "manual" && method != "auto" || len(servers) == 0 {
		return false
	}
	if v4 {
		var list []uint32 // network byte order, read as the host's
		for _, a := range servers {
			b := a.As4()
			list = append(list, binary.NativeEndian.Uint32(b[:]))
		}
		s["dns"] = dbus.MakeVariant(list)
	} else {
		var list [][]byte
		for _, a := range servers {
			list = append(list, a.AsSlice())
		}
		s["dns"] = dbus.MakeVariant(list)
	}
	delete(s, "dns-data") // 1.42 and later: it would come first
	domains := slices.Clone(c.Search)
	priority := int32(nmExclusive)
	if split && len(c.Match) > 0 {
		priority = nmBeside
		for _, d := range c.Match {
			if !slices.Contains(domains, d) {
				domains = append(domains, "~"+d)
			}
		}
	}
	s["dns-search"] = dbus.MakeVariant(domains)
	s["dns-priority"] = dbus.MakeVariant(priority)
	return true
}

// reapply has change work on the device's connection as it runs.
func (m *networkManager) reapply(ifname string, change func(nmSettings) error) error {
	b := m.bus()
	if b == nil {
		return errNoBus
	}
	var path dbus.ObjectPath
	if err := b.call(nmName, nmPath, nmName+".GetDeviceByIpIface", []any{&path}, ifname); err != nil {
		return fmt.Errorf("%w: %w", errNMNotReady, err)
	}
	var state uint32
	if err := busGet(b, nmName, string(path), nmDevice, "State", &state); err != nil {
		return fmt.Errorf("%w: %w", errNMNotReady, err)
	}
	if state != nmActivated {
		return fmt.Errorf("%w: it is in state %d", errNMNotReady, state)
	}
	var s nmSettings
	var version uint64
	if err := b.call(nmName, string(path), nmDevice+".GetAppliedConnection", []any{&s, &version}, uint32(0)); err != nil {
		return fmt.Errorf("%w: %w", errNMNotReady, err)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, old := range []string{"addresses", "routes"} { // they are in address-data and route-data
			delete(s[family], old)
		}
	}
	if err := change(s); err != nil {
		return err
	}
	if err := b.call(nmName, string(path), nmDevice+".Reapply", nil, s, version, uint32(0)); err != nil {
		return fmt.Errorf("have NetworkManager take our nameservers: %w", err)
	}
	return nil
}

func (m *networkManager) undo() error {
	l := m.link
	m.want, m.link = plan.OSConfig{}, link{}
	b := m.bus()
	if l.index == 0 || b == nil || !busOwned(b, nmName) {
		return nil
	}
	err := m.reapply(l.name, func(s nmSettings) error {
		for _, family := range []string{"ipv4", "ipv6"} {
			for _, ours := range []string{"dns", "dns-data", "dns-search", "dns-priority"} {
				delete(s[family], ours)
			}
		}
		return nil
	})
	if errors.Is(err, errNMNotReady) {
		return nil // the link is gone, or no longer its
	}
	return err
}

func (m *networkManager) again() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.link = link{}
	if m.want.IsZero() {
		return nil
	}
	return m.tryNow()
}

// hear tells of new servers of the other links, and puts ours back where they
// are not counted any more.
func (m *networkManager) hear(sig *dbus.Signal) []Event {
	if sig.Name != propsChanged || sig.Path != nmDNSPath {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	base := m.readBase()
	var events []Event
	if !base.equal(m.base) {
		m.base = base
		events = append(events, Event{Kind: BaseChanged, Base: base, By: ownerNM})
	}
	if m.link.index != 0 && !m.counted() && m.budget.spend() {
		m.link = link{}
		m.tryNow()
	}
	return events
}

// nmEntry is one of DnsManager.Configuration.
type nmEntry map[string]dbus.Variant

func (e nmEntry) strings(name string) []string {
	s, _ := e[name].Value().([]string)
	return s
}

func (m *networkManager) entries() []nmEntry {
	var out []nmEntry
	b := m.bus()
	if b == nil {
		return nil
	}
	if err := busGet(b, nmName, nmDNSPath, nmDNSIface, "Configuration", &out); err != nil {
		m.cfg.Log.Debug("NetworkManager's nameservers are unknown", "err", err)
	}
	return out
}

func (m *networkManager) counted() bool {
	return slices.ContainsFunc(m.entries(), func(e nmEntry) bool {
		return slices.Contains(e.strings("nameservers"), m.want.Nameservers[0].String())
	})
}

// readBase is what the other links have.
func (m *networkManager) readBase() Base {
	var base Base
	for _, e := range m.entries() {
		if name, _ := e["interface"].Value().(string); m.link.index != 0 && name == m.link.name {
			continue
		}
		for _, s := range e.strings("nameservers") {
			a, err := netip.ParseAddr(s)
			if err != nil || slices.Contains(m.want.Nameservers, a) {
				continue
			}
			if at := netip.AddrPortFrom(a, 53); !slices.Contains(base.Nameservers, at) {
				base.Nameservers = append(base.Nameservers, at)
			}
		}
		for _, d := range e.strings("domains") {
			if !strings.HasPrefix(d, "~") && dns.ValidDomain(d) == nil && !slices.Contains(base.Search, d) {
				base.Search = append(base.Search, d)
			}
		}
	}
	return base
}

func (m *networkManager) Base() Base {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.base
}

func (m *networkManager) Mode() (Mode, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trying {
		return ModeNetworkManager, m.found.why + "; it is still to take up our interface"
	}
	return ModeNetworkManager, m.found.why
}

func (m *networkManager) Abilities() plan.Abilities {
	if m.found.split {
		return plan.Abilities{Split: true}
	}
	return plan.PlainFile
}

func (m *networkManager) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	close(m.quit)
	m.mu.Unlock()
	m.ended.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.undo()
}
