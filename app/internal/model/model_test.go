package model

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

var (
	t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) // a Wednesday
	c  = text.English()
)

func ptr[T any](v T) *T { return &v }

func peer(name string, online bool) ipc.Peer {
	return ipc.Peer{
		Name: name, FQDN: name + ".home.internal", IPv4: ptr(netip.MustParseAddr("100.70.0.9")), Online: online,
		Active: online, Path: ipc.PathLAN, LatencyMS: ptr(1.2), LastSeen: ptr(t0.Add(-3 * time.Hour)),
		OS: ptr("linux"), Tags: []string{"server"}, Role: ipc.RolePlain, Key: "key-" + name,
	}
}

func network(name string, peers ...ipc.Peer) ipc.Network {
	return ipc.Network{
		Name: name, Alias: name, ID: "id-" + name, Active: true, Peers: peers,
		Self: ipc.Self{Name: "laptop", FQDN: "laptop." + name + ".internal", Role: ipc.RoleOwner, Key: "key-self"},
	}
}

func status(nets ...ipc.Network) ipc.Status {
	return ipc.Status{Schema: 1, Version: "1.3", State: ipc.StateRunning, Networks: nets, May: []ipc.Right{ipc.RightOperate}}
}

// up is a State connected to a helper with that status.
func up(st ipc.Status) State {
	return New("1.4").Take(st)
}

func health(code string, sev ipc.Severity, net string, args ...string) ipc.Health {
	h := ipc.Health{Code: code, Severity: sev, Network: net, Text: "English of " + code, Args: map[string]string{}}
	for i := 0; i < len(args); i += 2 {
		h.Args[args[i]] = args[i+1]
	}
	return h
}

// with is a running helper with a network of two peers and health entries.
func with(h ...ipc.Health) State {
	st := status(network("home", peer("nas", true), peer("phone", false)))
	st.Networks[0].Peers[0].Role = ipc.RoleAdmin
	st.Health = h
	return up(st)
}

func change(s State, f func(*ipc.Status)) State {
	st := s.status
	f(&st)
	return up(st)
}

// sharing is a network of this device alone that a friend shares one with.
func sharing(online bool) ipc.Network {
	n := network("home")
	n.Shares = []ipc.Share{{ID: "s", Name: "media", Network: "oak", Direction: "in", State: ipc.ShareActive,
		Devices: []ipc.SharedDevice{{Name: "media", FQDN: "media.oak.internal", Online: online, Path: ipc.PathDirect}}}}
	return n
}

type seen struct {
	Icon   Icon
	Title  string
	Banner string
	Action string
	Switch Switch
}

func see(s State, now time.Time) seen {
	v := s.View(now)
	got := seen{Icon: v.Icon, Title: c.Say(v.Title), Switch: v.Switch}
	if v.Banner != nil {
		got.Banner, got.Action = Say(c, *v.Banner, now), ActionWord(c, v.Banner.Action)
	}
	return got
}

// TestStates is UX.md's table, and each state of the helper.
func TestStates(t *testing.T) {
	later := t0.Add(Settle)
	const on = "Connected — 2 of 3 devices"
	cases := []struct {
		name string
		s    State
		now  time.Time
		want seen
	}{
		{"start", New("1.4"), t0, seen{IconConnecting, "Reaching the background service…", "", "", SwitchNone}},
		{"helper absent", New("1.4").SetLink(LinkAbsent, "", t0), t0, seen{IconProblem, "Service not running", "The background service isn't running.", "Start", SwitchNone}},
		{"helper gone this moment", with().SetLink(LinkAbsent, "", t0), t0.Add(Settle - 1), seen{IconConnecting, "Reaching the background service…", "", "", SwitchNone}},
		{"helper gone for a while", with().SetLink(LinkAbsent, "", t0), later, seen{IconProblem, "Service not running", "The background service isn't running.", "Start", SwitchNone}},
		{"versions differ", New("1.4").SetLink(LinkVersions, "1.3", t0), t0, seen{IconProblem, "Update not finished", "App 1.4, service 1.3: restart to finish updating.", "Restart", SwitchNone}},
		{"refused", New("1.4").SetLink(LinkRefused, "", t0), t0, seen{IconProblem, "Service does not answer this account", "The service does not answer this account. What is connected stays connected.", "Allow me…", SwitchNone}},
		{"not permitted", change(with(), func(st *ipc.Status) { st.May = nil }), t0, seen{IconOn, on, "Your account can view but not change the VPN.", "Allow me…", SwitchNone}},
		{"no networks", up(status()), t0, seen{IconOff, "No networks yet", "", "", SwitchNone}},
		{"running", with(), t0, seen{IconOn, on, "", "", SwitchDisconnect}},
		{"alone", up(status(network("home"))), t0, seen{IconOn, "Connected — no other devices yet", "", "", SwitchDisconnect}},
		{"a friend's device alone", up(status(sharing(true))), t0, seen{IconOn, "Connected — 2 of 2 devices", "", "", SwitchDisconnect}},
		{"a friend's device alone, offline", up(status(sharing(false))), t0, seen{IconOn, "Connected — 1 of 2 devices", "", "", SwitchDisconnect}},
		{"off", change(with(), func(st *ipc.Status) { st.State = ipc.StateOff }), t0, seen{IconOff, "Disconnected", "", "", SwitchConnect}},
		{"starting", change(with(), func(st *ipc.Status) { st.State = ipc.StateStarting }), t0, seen{IconConnecting, "Connecting…", "", "", SwitchDisconnect}},
		{"stopping", change(with(), func(st *ipc.Status) { st.State = ipc.StateStopping }), t0, seen{IconConnecting, "Disconnecting…", "", "", SwitchNone}},
		{"error unexplained", change(with(), func(st *ipc.Status) { st.State = ipc.StateError }), t0, seen{IconProblem, "Not working", "The service runs but cannot work. Diagnostics may say why.", "Diagnostics", SwitchNone}},
		{"all networks inactive", change(with(), func(st *ipc.Status) {
			st.Networks = []ipc.Network{{Name: "home", Alias: "home", Self: ipc.Self{Role: ipc.RolePlain}}}
		}), t0, seen{IconOff, "Disconnected from all networks", "", "", SwitchConnect}},
		{"joining the first", change(up(status()), func(st *ipc.Status) {
			st.Joining = []ipc.Joining{{Network: "home", ID: "x", Sponsor: "nas", Stage: ipc.JoinSearching}}
		}), t0, seen{IconConnecting, "Joining home…", "", "", SwitchNone}},
		{"no network", with(health(ipc.HealthNoNetwork, ipc.SeverityWarning, "")), later, seen{IconOffline, "No network", "No network. Kith reconnects by itself.", "", SwitchDisconnect}},
		{"no TUN", with(health(ipc.HealthNoTUN, ipc.SeverityError, "")), t0, seen{IconProblem, on, "This system lets Kith have no network device (/dev/net/tun). In a container it must be passed in.", "Diagnostics", SwitchDisconnect}},
		{"removed from all", change(with(), func(st *ipc.Status) {
			st.Networks = []ipc.Network{{Name: "home", Alias: "home", Active: true, Self: ipc.Self{Role: ipc.RoleRemoved}}}
		}), t0, seen{IconProblem, "Removed from home", "", "", SwitchNone}},
		{"removed", with(health(ipc.HealthRemoved, ipc.SeverityError, "home", "by", "nas")), t0, seen{IconProblem, on, "nas (admin) removed this device from home.", "Join…", SwitchDisconnect}},
		{"removed by the root key", with(health(ipc.HealthRemoved, ipc.SeverityError, "home")), t0, seen{IconProblem, on, "This device was removed from home.", "Join…", SwitchDisconnect}},
		{"DNS overridden", with(health(ipc.HealthDNSOverridden, ipc.SeverityWarning, "", "by", "NetworkManager")), later, seen{IconOn, on, "NetworkManager replaced our DNS; names may not resolve. Addresses work.", "Repair", SwitchDisconnect}},
		{"IPv4 conflict", with(health(ipc.HealthIPv4Conflict, ipc.SeverityWarning, "home", "with", "100.70.0.0/16")), t0, seen{IconOn, on, "The IPv4 addresses of home are also used by 100.70.0.0/16. IPv6 works, and names lead there.", "Diagnostics", SwitchDisconnect}},
		{"clock wrong", with(health(ipc.HealthClock, ipc.SeverityWarning, "", "offset", "-9m3s")), t0, seen{IconOn, on, "This computer's clock is 9 minutes off.", "Diagnostics", SwitchDisconnect}},
		{"expiring", with(health(ipc.HealthExpiring, ipc.SeverityInfo, "home", "at", "2026-03-10T14:00:00Z")), t0, seen{IconOn, on, "Access to home ends Tuesday 14:00. Ask an admin to renew it.", "Ask to renew", SwitchDisconnect}},
		{"phrase held", with(health(ipc.HealthPhrase, ipc.SeverityWarning, "home")), t0, seen{IconOn, on, "The root phrase of home has not been written down yet.", "Show it now", SwitchDisconnect}},
		{"a code of a newer helper", with(health("moon-phase", ipc.SeverityWarning, "")), t0, seen{IconOn, on, "English of moon-phase", "Diagnostics", SwitchDisconnect}},
		{"the worst of several", with(health(ipc.HealthClock, ipc.SeverityWarning, "", "offset", "9m"), health(ipc.HealthDiskFull, ipc.SeverityError, "")), t0, seen{IconProblem, on, "The disk is full: Kith cannot keep what it learns. Connections go on.", "Diagnostics", SwitchDisconnect}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, see(tc.s, tc.now)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEveryHealthCodeIsSaid(t *testing.T) {
	for _, code := range []string{
		ipc.HealthIPv4Conflict, ipc.HealthIPv4Blocked, ipc.HealthNoIPv6, ipc.HealthNoTUN, ipc.HealthPortTaken, ipc.HealthClock, ipc.HealthDNSOverridden,
		ipc.HealthDNSFailed, ipc.HealthPhrase, ipc.HealthDiskFull, ipc.HealthRemoved, ipc.HealthUpgrade, ipc.HealthFork, ipc.HealthNoNetwork, ipc.HealthExpiring,
	} {
		v := with(health(code, ipc.SeverityWarning, "home")).View(t0.Add(Settle))
		if v.Banner == nil || Say(c, *v.Banner, t0) == "English of "+code {
			t.Errorf("%s: not worded by the catalogue", code)
		}
	}
}

func TestViewTellsWhenItChanges(t *testing.T) {
	s := with().SetLink(LinkAbsent, "", t0)
	if v := s.View(t0.Add(time.Second)); !v.Next.Equal(t0.Add(Settle)) {
		t.Errorf("next %v", v.Next)
	}
	if v := s.View(t0.Add(Settle)); !v.Next.IsZero() {
		t.Errorf("next %v after it showed", v.Next)
	}
}

func TestRows(t *testing.T) {
	row := func(f func(*ipc.Peer)) string {
		p := peer("nas", true)
		f(&p)
		v := up(status(network("home", p))).View(t0)
		return Word(c, v.Devices[0].Dot) + ": " + Path(c, v.Devices[0], t0)
	}
	cases := []struct {
		want string
		f    func(*ipc.Peer)
	}{
		{"Online: LAN · 1 ms", func(p *ipc.Peer) {}},
		{"Online: LAN · under 1 ms", func(p *ipc.Peer) { p.LatencyMS = ptr(0.3) }},
		{"Online: LAN", func(p *ipc.Peer) { p.LatencyMS = nil }},
		{"Online: Direct · 12 ms", func(p *ipc.Peer) { p.Path, p.LatencyMS = ipc.PathDirect, ptr(12.1) }},
		{"Online: Relayed via vps · 48 ms", func(p *ipc.Peer) { p.Path, p.Via, p.LatencyMS = ipc.PathRelayed, ptr("vps"), ptr(48.0) }},
		{"Online: Relayed", func(p *ipc.Peer) { p.Path, p.LatencyMS = ipc.PathRelayed, nil }},
		{"Online: Through nas2 · 9 ms", func(p *ipc.Peer) { p.Path, p.Via, p.LatencyMS = ipc.PathForwarded, ptr("nas2"), ptr(9.0) }},
		{"Online: Through another device", func(p *ipc.Peer) { p.Path, p.LatencyMS = ipc.PathForwarded, nil }},
		{"Online: No way found yet", func(p *ipc.Peer) { p.Path = ipc.PathNone }},
		{"Offline: Last seen 3 h ago", func(p *ipc.Peer) { p.Online = false }},
		{"Offline: Not seen yet", func(p *ipc.Peer) { p.Online, p.LastSeen = false, nil }},
	}
	for _, tc := range cases {
		if got := row(tc.f); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	off := up(status(network("home", peer("nas", true))))
	off = change(off, func(st *ipc.Status) { st.State = ipc.StateOff })
	if d := off.View(t0).Devices[0]; Word(c, d.Dot)+": "+Path(c, d, t0) != "Unknown: Network disconnected" {
		t.Error("a device of a network that is off has a state")
	}
}

func TestWhy(t *testing.T) {
	p := peer("nas", true)
	p.Path, p.Via, p.Active = ipc.PathRelayed, ptr("vps"), false
	got := Why(c, up(status(network("home", p))).View(t0).Devices[0])
	want := "No direct way is open, so vps passes sealed packets on. It cannot read them. Kith goes on looking for a direct way. Idle: this is the way last confirmed."
	if got != want {
		t.Error(got)
	}
}

func TestNothingIsKnownOfALostHelper(t *testing.T) {
	s := with()
	before := s.View(t0)
	lost := s.SetLink(LinkAbsent, "", t0)
	if v := lost.View(t0); v.Known || v.May || len(v.Devices)+len(v.Nets) != 0 {
		t.Error("devices of a helper that is gone are shown as known")
	}
	if !s.View(t0).Equal(before) {
		t.Error("an old State changed")
	}
	if v := lost.Take(s.status).View(t0.Add(time.Hour)); !v.Equal(before) {
		t.Error("a helper that is back looks different")
	}
}

func TestSearch(t *testing.T) {
	a, b := peer("nas", true), peer("phone", false)
	b.IPv4, b.Tags = ptr(netip.MustParseAddr("100.70.0.77")), []string{"Kids"}
	b.AddedBy = "Eve-Laptop"
	all := up(status(network("home", a, b))).View(t0).Devices
	cases := []struct {
		query  string
		filter Filter
		want   []string
	}{
		{"", FilterAll, []string{"nas", "phone"}},
		{"NA", FilterAll, []string{"nas"}},
		{"nas.home.internal", FilterAll, []string{"nas"}},
		{"0.77", FilterAll, []string{"phone"}},
		{"kids", FilterAll, []string{"phone"}},
		{"eve", FilterAll, []string{"phone"}},
		{"home pho", FilterAll, []string{"phone"}},
		{"", FilterOnline, []string{"nas"}},
		{"", FilterOffline, []string{"phone"}},
		{"nas", FilterOffline, nil},
		{"zzz", FilterAll, nil},
	}
	for _, tc := range cases {
		var got []string
		for _, d := range Search(all, tc.query, tc.filter) {
			got = append(got, d.Peer.Name)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%q %d: %v, want %v", tc.query, tc.filter, got, tc.want)
		}
	}
}

func TestNotifier(t *testing.T) {
	on, off := with().View(t0), change(with(), func(st *ipc.Status) { st.State = ipc.StateOff }).View(t0)
	gone := with().SetLink(LinkAbsent, "", t0).View(t0.Add(Settle))
	var n Notifier
	step := func(v View, at time.Duration) (titles []string) {
		list, _ := n.Step(v, t0.Add(at))
		for _, x := range list {
			titles = append(titles, c.Say(x.Title))
		}
		return titles
	}
	want := []struct {
		v    View
		at   time.Duration
		said []string
	}{
		{gone, 0, nil}, // never was connected: not a loss
		{gone, time.Minute, nil},
		{on, 2 * time.Minute, nil},
		{gone, 3 * time.Minute, nil},
		{on, 3*time.Minute + 10*time.Second, nil}, // short
		{gone, 4 * time.Minute, nil},
		{gone, 4*time.Minute + Long, []string{"Connection lost"}},
		{gone, 6 * time.Minute, nil},
		{on, 7 * time.Minute, []string{"Connected again"}},
		{off, 8 * time.Minute, nil}, // the user's will
		{gone, 9 * time.Minute, nil},
		{gone, 10 * time.Minute, nil},
		{with(health(ipc.HealthClock, ipc.SeverityWarning, "")).View(t0), 11 * time.Minute, []string{"Kith"}},
		{with(health(ipc.HealthClock, ipc.SeverityWarning, "")).View(t0), 12 * time.Minute, nil},
	}
	for i, w := range want {
		if got := step(w.v, w.at); !slices.Equal(got, w.said) {
			t.Errorf("step %d: %q, want %q", i, got, w.said)
		}
	}
}

// TestNotifierRepeatsNothing when the service starts anew and finds what is wrong
// after a while.
func TestNotifierRepeatsNothing(t *testing.T) {
	var n Notifier
	bad, good := with(health(ipc.HealthClock, ipc.SeverityWarning, "")).View(t0), with().View(t0)
	gone := with().SetLink(LinkAbsent, "", t0).View(t0.Add(Settle))
	for i, w := range []struct {
		v    View
		at   time.Duration
		told int
	}{
		{bad, 0, 1}, {gone, time.Minute, 0}, {good, 61 * time.Second, 0}, {bad, 67 * time.Second, 0},
		{good, 3 * time.Minute, 0}, {bad, 4 * time.Minute, 1}, // it was mended, and is wrong again
	} {
		if list, _ := n.Step(w.v, t0.Add(w.at)); len(list) != w.told {
			t.Errorf("step %d: %+v", i, list)
		}
	}
}

// TestNotifierTellsOfTheEnd a month ahead, a week and a day, with no new View.
func TestNotifierTellsOfTheEnd(t *testing.T) {
	var n Notifier
	const day = 24 * time.Hour
	v := with(ipc.Health{Code: ipc.HealthExpiring, Severity: ipc.SeverityWarning, Network: "home", Args: map[string]string{"at": t0.Add(30 * day).Format(time.RFC3339)}}).View(t0)
	var told []time.Duration
	for now := t0; !now.IsZero(); {
		list, next := n.Step(v, now)
		if len(list) > 0 {
			told = append(told, now.Sub(t0))
		}
		if list, _ := n.Step(v, now.Add(time.Hour)); len(list) > 0 {
			t.Errorf("told again: %+v", list)
		}
		now = next
	}
	if d := cmp.Diff([]time.Duration{0, 23 * day, 29 * day}, told); d != "" {
		t.Error(d)
	}
}

func TestNotifierTellsOfAJoin(t *testing.T) {
	waiting := change(up(status()), func(st *ipc.Status) {
		st.Joining = []ipc.Joining{{Network: "home", ID: "id-home", Sponsor: "nas", Stage: ipc.JoinAsking}}
	}).View(t0)
	var n Notifier
	n.Step(waiting, t0)
	list, _ := n.Step(up(status(network("home"))).View(t0), t0)
	if len(list) != 1 || c.Say(list[0].Body) != "This device is in home now." {
		t.Errorf("%+v", list)
	}
}

// TestMenuHasExitNodesAlone: a menu is the same without the devices that it does
// not show.
func TestMenuHasExitNodesAlone(t *testing.T) {
	st := withExit(ipc.ExitOn)
	st.Networks[0].Peers = append(st.Networks[0].Peers, peer("phone", true), peer("tablet", false))
	st.Networks[0].Peers[0].Exit = false // in use all the same
	all, menu := up(st).View(t0), New("1.4").ForMenu().Take(st).View(t0)
	var names []string
	for _, d := range menu.Devices {
		names = append(names, d.Peer.Name)
	}
	if !slices.Equal(names, []string{"cabin", "nas", "vps"}) {
		t.Errorf("devices %v", names)
	}
	for _, v := range []*View{&all, &menu} {
		v.Devices = nil
		for i := range v.Exit.Nodes {
			v.Exit.Nodes[i].Device.Haystack = ""
		}
	}
	if d := cmp.Diff(all, menu, cmp.AllowUnexported(View{}), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); d != "" {
		t.Error(d)
	}
}

func BenchmarkView5000(b *testing.B) {
	peers := make([]ipc.Peer, 5000)
	for i := range peers {
		peers[i] = peer("host-"+text.Number(i), i%2 == 0)
	}
	s := up(status(network("home", peers...)))
	for b.Loop() {
		s.View(t0)
	}
}
