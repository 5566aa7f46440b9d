package osconf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"kith.internal/dns/plan"
)

// fakeBus is a system bus with systemd-resolved and NetworkManager on it, as
// far as they are told things.
type fakeBus struct {
	mu     sync.Mutex
	calls  []string // "SetLinkDNS 7 …", oldest first
	fail   map[string]error
	props  map[string]any // by "interface.name"
	owned  map[string]bool
	conn   nmSettings // of the only device
	state  uint32
	signal chan *dbus.Signal
	once   sync.Once
}

func newFakeBus() *fakeBus {
	return &fakeBus{
		fail: map[string]error{}, props: map[string]any{}, owned: map[string]bool{resolvedName: true},
		signal: make(chan *dbus.Signal, 10), state: nmActivated,
		conn: nmSettings{
			"ipv4": {"method": dbus.MakeVariant("manual"), "addresses": dbus.MakeVariant([]string{"old"}), "address-data": dbus.MakeVariant("kept")},
			"ipv6": {"method": dbus.MakeVariant("manual"), "dns-data": dbus.MakeVariant([]string{"x"})},
		},
	}
}

func (b *fakeBus) call(dest, _, method string, out []any, args ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	short := method[strings.LastIndexByte(method, '.')+1:]
	if err := b.fail[dest+" "+short]; err != nil {
		return err
	}
	if err := b.fail[short]; err != nil && dest == resolvedName {
		return err
	}
	store := func(v any) error { return dbus.Store([]any{v}, out...) }
	switch short {
	case "Get":
		v, ok := b.props[args[0].(string)+"."+args[1].(string)]
		if args[1] == "State" {
			v, ok = b.state, true
		}
		if !ok {
			return fmt.Errorf("no property %v", args)
		}
		return store(dbus.MakeVariant(v))
	case "NameHasOwner":
		return store(b.owned[args[0].(string)])
	case "GetDeviceByIpIface":
		return store(dbus.ObjectPath("/device"))
	case "GetAppliedConnection":
		return dbus.Store([]any{map[string]map[string]dbus.Variant(b.conn), uint64(3)}, out...)
	case "Reapply":
		b.conn = args[0].(nmSettings)
	}
	line := short
	for _, a := range args {
		if short != "Reapply" {
			line += fmt.Sprintf(" %v", a)
		}
	}
	if dest == networkdName {
		line = "networkd " + line
	}
	b.calls = append(b.calls, line)
	return nil
}

func (b *fakeBus) signals() <-chan *dbus.Signal { return b.signal }
func (b *fakeBus) close()                       { b.once.Do(func() { close(b.signal) }) }

// said are the calls since the last said.
func (b *fakeBus) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.calls
	b.calls = nil
	return out
}

func (b *fakeBus) restarted(name string) {
	b.signal <- &dbus.Signal{Name: ownerChanged, Body: []any{name, "", ":1.9"}}
}

const stubFile = "nameserver 127.0.0.53\n"

// onBus gives h a bus and a link kith0 with the addresses of ours.
func (h *host) onBus(b *fakeBus, index *int) {
	h.cfg.system.dial = func() (bus, error) { return b, nil }
	h.cfg.system.link = func(a netip.Addr) (link, error) {
		if *index == 0 {
			return link{}, errNoLink
		}
		return link{"kith0", *index, ours.Nameservers}, nil
	}
}

var split = plan.OSConfig{
	Nameservers: append(slices.Clone(ours.Nameservers), netip.MustParseAddr("100.102.0.1")), // another link's
	Search:      []string{"home.internal"},
	Match:       []string{"home.internal", "corp.example", "101.100.in-addr.arpa"},
}

func TestResolved(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 7
	h.write("run/systemd/resolve/stub-resolv.conf", stubFile)
	h.link("../run/systemd/resolve/stub-resolv.conf")
	h.onBus(b, &index)
	before := h.state()
	m := h.manager()
	if mode, why := m.Mode(); mode != ModeResolved || !m.Abilities().Split {
		t.Fatalf("%s: %s", mode, why)
	}
	b.said()
	set := []string{
		"SetLinkDomains 7 [{home.internal false} {corp.example true} {101.100.in-addr.arpa true}]",
		"SetLinkDefaultRoute 7 false", "SetLinkLLMNR 7 no", "SetLinkMulticastDNS 7 no", "SetLinkDNSOverTLS 7 no", "SetLinkDNSSEC 7 no",
		"SetLinkDNS 7 [{2 [100 101 0 1]} {10 [253 18 0 0 0 0 0 0 0 0 0 0 0 0 0 1]}]", "FlushCaches",
	}
	steps := []struct {
		name string
		do   func() error
		want []string
	}{
		{"split", func() error { return m.Set(split) }, set},
		{"the same again", func() error { return m.Set(split) }, nil},
		{"it restarts", func() error { b.restarted(resolvedName); h.event(Reapplied); return nil }, append([]string{"Ping"}, set...)},
		{"another link", func() error { index = 8; return m.Set(split) },
			append([]string{"RevertLink 7", "FlushCaches"}, strings.Split(strings.ReplaceAll(strings.Join(set, "\n"), " 7 ", " 8 "), "\n")...)},
		{"too many domains", func() error {
			c := split
			c.Search = []string{"work.internal"}
			b.fail["SetLinkDNSSEC"] = errors.New("unknown method")
			return m.Set(c)
		}, nil},
		{"nothing", func() error { return m.Set(plan.OSConfig{}) }, []string{"RevertLink 8", "FlushCaches"}},
		{"nothing again", func() error { return m.Set(plan.OSConfig{}) }, nil},
		{"all names", func() error { delete(b.fail, "SetLinkDNSSEC"); return m.Set(ours) }, []string{
			"SetLinkDomains 8 [{home.internal false} {corp.example false} {. true}]", "SetLinkDefaultRoute 8 true", "SetLinkLLMNR 8 no",
			"SetLinkMulticastDNS 8 no", "SetLinkDNSOverTLS 8 no", "SetLinkDNSSEC 8 no", strings.Replace(set[6], " 7 ", " 8 ", 1), "FlushCaches"}},
		{"it is gone", func() error { b.owned[resolvedName] = false; return m.Close() }, nil},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		got := b.said()
		if s.name == "too many domains" {
			continue // only that an older one without a method is no error
		}
		if d := cmp.Diff(s.want, got); d != "" {
			t.Errorf("%s: %s", s.name, d)
		}
	}
	if d := cmp.Diff(before, h.state()); d != "" || h.open != 0 {
		t.Errorf("%d journal entries: %s", h.open, d)
	}
}

// TestResolvedTakesFewer: without the names of addresses they may fit.
func TestResolvedTakesFewer(t *testing.T) {
	for name, err := range map[string]error{
		"by name":  dbus.Error{Name: "System.Error.E2BIG"},
		"in words": dbus.Error{Name: "org.freedesktop.DBus.Error.Failed", Body: []any{"Argument list too long"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, b, index := newHost(t), newFakeBus(), 7
			h.write(resolvPath, stubFile)
			once := &onceBus{fakeBus: b, method: "SetLinkDomains", err: err}
			h.onBus(b, &index)
			h.cfg.system.dial = func() (bus, error) { return once, nil }
			m := h.manager()
			b.said()
			if err := m.Set(split); err != nil {
				t.Fatal(err)
			}
			if got, want := b.said()[0], "SetLinkDomains 7 [{home.internal false} {corp.example true}]"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// onceBus fails a method's first call.
type onceBus struct {
	*fakeBus
	method string
	err    error
}

func (b *onceBus) call(dest, path, method string, out []any, args ...any) error {
	if strings.HasSuffix(method, "."+b.method) && b.err != nil {
		err := b.err
		b.err = nil
		return err
	}
	return b.fakeBus.call(dest, path, method, out, args...)
}

// TestResolvedLinkOfNetworkd: what resolved will not be told, networkd is.
func TestResolvedLinkOfNetworkd(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 7
	h.write(resolvPath, stubFile)
	h.onBus(b, &index)
	for _, method := range []string{"SetLinkDomains", "SetLinkDNS", "SetLinkDefaultRoute", "SetLinkLLMNR", "SetLinkMulticastDNS", "SetLinkDNSOverTLS", "SetLinkDNSSEC", "RevertLink"} {
		b.fail[method] = dbus.Error{Name: resolvedName + ".LinkBusy"}
	}
	m := h.manager()
	b.said()
	if err := errors.Join(m.Set(split), m.Close()); err != nil {
		t.Fatal(err)
	}
	got := b.said()
	if got[0] != "networkd SetLinkDomains 7 [{home.internal false} {corp.example true} {101.100.in-addr.arpa true}]" || !slices.Contains(got, "networkd RevertLinkDNS 7") {
		t.Errorf("%q", got)
	}
}

func TestResolvedBase(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 7
	h.write(resolvPath, stubFile)
	h.onBus(b, &index)
	type server struct {
		Link, Family int32
		Address      []byte
	}
	type domain struct {
		Link   int32
		Domain string
		Route  bool
	}
	b.props[resolvedIface+".DNS"] = []server{{2, 2, []byte{192, 0, 2, 53}}, {7, 2, []byte{100, 101, 0, 1}}, {0, 2, []byte{192, 0, 2, 53}}, {2, 2, []byte{1}}}
	b.props[resolvedIface+".Domains"] = []domain{{2, "corp.example", false}, {2, "other.example", true}, {7, "home.internal", false}, {2, "a b", false}}
	m := h.manager()
	if err := m.Set(split); err != nil {
		t.Fatal(err)
	}
	want := Base{Nameservers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}, Search: []string{"corp.example"}}
	if d := cmp.Diff(want, m.Base(), cmpAddr); d != "" {
		t.Error(d)
	}
	b.signal <- &dbus.Signal{Name: propsChanged, Path: resolvedPath, Body: []any{resolvedIface, map[string]dbus.Variant{"DNS": {}}}}
	if d := cmp.Diff(want, h.event(BaseChanged).Base, cmpAddr); d != "" {
		t.Error(d)
	}
}

// TestResolvedFailures: what does not work is said, and tried again.
func TestResolvedFailures(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 0
	h.write(resolvPath, stubFile)
	h.onBus(b, &index)
	m := h.manager()
	if err := m.Set(split); !errors.Is(err, errNoLink) {
		t.Errorf("without a link: %v", err)
	}
	index = 7
	b.fail["SetLinkDNS"] = errors.New("timed out")
	if err := m.Set(split); err == nil || !strings.Contains(err.Error(), "nameservers") {
		t.Errorf("%v", err)
	}
	delete(b.fail, "SetLinkDNS")
	if err := m.Set(split); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestComesLater: at boot resolved may not answer yet when we start.
func TestComesLater(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 7
	h.write("run/systemd/resolve/stub-resolv.conf", stubFile)
	h.link("../run/systemd/resolve/stub-resolv.conf")
	h.onBus(b, &index)
	b.fail["Ping"] = errors.New("timed out")
	m := h.manager()
	if err := m.Set(split); !errors.Is(err, ErrUnsupported) {
		t.Fatal(err)
	}
	b.mu.Lock()
	delete(b.fail, "Ping")
	b.mu.Unlock()
	b.restarted(resolvedName)
	h.event(BaseChanged)
	if mode, why := m.Mode(); mode != ModeResolved {
		t.Fatalf("%s: %s", mode, why)
	}
	if err := m.Set(split); err != nil {
		t.Error(err)
	}
}

func (h *host) underNM(b *fakeBus, mode string) {
	h.write(resolvPath, "# Generated by NetworkManager\nnameserver 192.0.2.1\n")
	b.owned[nmName] = true
	b.props[nmName+".Version"] = "1.42.4"
	b.props[nmDNSIface+".Mode"] = mode
	b.props[nmDNSIface+".RcManager"] = "symlink"
	b.props[nmDNSIface+".Configuration"] = []map[string]dbus.Variant{
		{"nameservers": dbus.MakeVariant([]string{"192.0.2.1", "bad"}), "domains": dbus.MakeVariant([]string{"corp.example", "~x.example"}), "interface": dbus.MakeVariant("lan0")},
		{"nameservers": dbus.MakeVariant([]string{"100.101.0.1"}), "domains": dbus.MakeVariant([]string{"home.internal"}), "interface": dbus.MakeVariant("kith0")},
	}
}

func (b *fakeBus) family(name string) map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]any{}
	for k, v := range b.conn[name] {
		out[k] = v.Value()
	}
	return out
}

func TestNetworkManager(t *testing.T) {
	for mode, want := range map[string]map[string]any{
		"default": {"method": "manual", "address-data": "kept", "dns": []uint32{0x01006564}, "dns-search": []string{"home.internal"}, "dns-priority": int32(nmExclusive)},
		"dnsmasq": {"method": "manual", "address-data": "kept", "dns": []uint32{0x01006564}, "dns-priority": int32(nmBeside),
			"dns-search": []string{"home.internal", "~corp.example", "~101.100.in-addr.arpa"}},
	} {
		t.Run(mode, func(t *testing.T) {
			h, b, index := newHost(t), newFakeBus(), 7
			h.underNM(b, mode)
			h.onBus(b, &index)
			before := h.state()
			m := h.manager()
			if got, why := m.Mode(); got != ModeNetworkManager || m.Abilities().Split != (mode == "dnsmasq") {
				t.Fatalf("%s: %s", got, why)
			}
			if err := errors.Join(m.Set(split), m.Set(split)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, b.family("ipv4")); d != "" {
				t.Error(d)
			}
			if v6 := b.family("ipv6"); v6["dns-data"] != nil || len(v6["dns"].([][]byte)) != 1 {
				t.Errorf("%v", v6)
			}
			if got := b.said(); !slices.Equal(got, []string{"Reapply"}) {
				t.Errorf("%q", got)
			}
			if d := cmp.Diff(Base{Nameservers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}, Search: []string{"corp.example"}}, m.(*switcher).cur.(*networkManager).readBase(), cmpAddr); d != "" {
				t.Error(d)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(map[string]any{"method": "manual", "address-data": "kept"}, b.family("ipv4")); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, h.state()); d != "" || h.open != 0 {
				t.Error(d)
			}
		})
	}
}

// TestNetworkManagerSlow: it takes up a new TUN in its own time.
func TestNetworkManagerSlow(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 7
	h.underNM(b, "default")
	h.onBus(b, &index)
	b.state = 20
	m := h.manager()
	if err := m.Set(split); err != nil {
		t.Fatal(err)
	}
	if b.family("ipv4")["dns"] != nil {
		t.Error("applied to a device that is not its")
	}
	b.mu.Lock()
	b.state = nmActivated
	b.mu.Unlock()
	h.event(Reapplied)
	if b.family("ipv4")["dns"] == nil {
		t.Error("not applied")
	}
}

// TestFallsBack: where a setup does not do what it should, the file is left.
func TestFallsBack(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 7
	h.underNM(b, "default")
	h.onBus(b, &index)
	m := h.manager().(*switcher)
	m.fails(ModeNetworkManager, "it does not take our interface")
	h.event(BaseChanged)
	if mode, why := m.Mode(); mode != ModePlain || !strings.Contains(why, "does not take") {
		t.Fatalf("%s: %s", mode, why)
	}
	if err := m.Set(ours); err != nil || !isOurs([]byte(h.read())) {
		t.Errorf("%v, %q", err, h.read())
	}
	if err := m.Close(); err != nil || isOurs([]byte(h.read())) {
		t.Errorf("%v, %q", err, h.read())
	}
}

// TestBusLost: a bus that restarts is connected to again.
func TestBusLost(t *testing.T) {
	h, first, second, index := newHost(t), newFakeBus(), newFakeBus(), 7
	h.write(resolvPath, stubFile)
	h.onBus(first, &index)
	m := h.manager()
	if err := m.Set(split); err != nil {
		t.Fatal(err)
	}
	h.cfg.system.dial = func() (bus, error) { return second, nil }
	m.(*switcher).cfg.system.dial = h.cfg.system.dial
	first.close()
	h.event(Reapplied)
	if got := second.said(); !slices.Contains(got, "FlushCaches") {
		t.Errorf("%q", got)
	}
}

// TestResolvedList: who takes the servers from resolved's list gets our file in
// the link's place; resolved, which reads it, is restarted once that is gone.
func TestResolvedList(t *testing.T) {
	h, b, index := newHost(t), newFakeBus(), 7
	const list = "run/systemd/resolve/resolv.conf"
	h.write(list, "nameserver 192.0.2.53\n")
	h.link("../" + list)
	h.onBus(b, &index)
	h.cfg.system.dial = func() (bus, error) { return &keptBus{b}, nil }
	before := h.state()
	m := h.manager()
	if mode, why := m.Mode(); mode != ModePlain {
		t.Fatalf("%s: %s", mode, why)
	}
	if err := m.Set(ours); err != nil || !isOurs([]byte(h.read())) {
		t.Fatalf("%v, %q", err, h.read())
	}
	h.write(list, "nameserver 100.101.0.1\nnameserver 192.0.2.54\n") // ours, and another lease
	if e := h.event(BaseChanged); len(e.Base.Nameservers) != 1 || e.Base.Nameservers[0].String() != "192.0.2.54:53" {
		t.Errorf("%+v", e)
	}
	h.write(list, "nameserver 192.0.2.53\n")
	h.event(BaseChanged)
	b.said()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if got := b.said(); !slices.Equal(got, []string{"TryRestartUnit systemd-resolved.service replace"}) {
		t.Errorf("%q", got)
	}
	if d := cmp.Diff(before, h.state()); d != "" || h.open != 0 {
		t.Errorf("%d journal entries: %s", h.open, d)
	}
}

// keptBus outlives its connections.
type keptBus struct{ *fakeBus }

func (b *keptBus) close() {}
