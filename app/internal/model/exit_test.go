package model

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

// withExit is a network that uses nas as an exit node.
func withExit(state ipc.ExitState) ipc.Status {
	st := status(network("home", peer("nas", state != ipc.ExitBlocked), peer("vps", true), peer("cabin", false)))
	n := &st.Networks[0]
	for i := range n.Peers {
		n.Peers[i].Exit = true
	}
	n.Exit = ipc.Exit{Using: ptr("nas"), State: state, Recent: []string{"nas", "cabin"}, LANAllowed: true, AllowLAN: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}
	if state == ipc.ExitBlocked {
		st.Health = append(st.Health, blocked("offline"))
	}
	return st
}

// blocked is the helper's warning of an exit node that does not work.
func blocked(why string) ipc.Health {
	return ipc.Health{Code: ipc.HealthExitBlocked, Severity: ipc.SeverityError, Args: map[string]string{"device": "nas", "why": why}}
}

// TestExitBlockedSaysWhy: who is not offline is not said to be.
func TestExitBlockedSaysWhy(t *testing.T) {
	for why, want := range map[string]string{
		"offline":      "Internet blocked — nas is offline. Exit node nas is offline. Internet traffic is blocked.",
		"gone":         "Internet blocked — nas cannot be used. Exit node nas is not in the network any more. Internet traffic is blocked.",
		"not-approved": "Internet blocked — nas cannot be used. No admin lets nas be an exit node any more. Internet traffic is blocked.",
		"refuses":      "Internet blocked — nas cannot be used. nas no longer offers to be an exit node. Internet traffic is blocked.",
		"failed":       "Internet blocked — nas cannot be used. The network of exit node nas does not come up. Internet traffic is blocked.",
		"unshared":     "Internet blocked — nas cannot be used. nas is no longer shared with you. Internet traffic is blocked.",
		"forbidden":    "Internet blocked — nas cannot be used. The network's policy lets this device send nothing through nas. Internet traffic is blocked.",
		"of a newer":   "Internet blocked — nas cannot be used. Exit node nas does not work. Internet traffic is blocked.",
	} {
		st := withExit(ipc.ExitBlocked)
		st.Health = []ipc.Health{blocked(why)}
		got := see(up(st), t0)
		if got.Title+". "+got.Banner != want {
			t.Errorf("%s: %q, %q", why, got.Title, got.Banner)
		}
		if page := ExitWords(c, up(st).View(t0).Exit); page != got.Banner {
			t.Errorf("%s: the page says %q, the banner %q", why, page, got.Banner)
		}
	}
}

func TestExitStates(t *testing.T) {
	cases := []struct {
		name  string
		state ipc.ExitState
		want  seen
	}{
		{"on", ipc.ExitOn, seen{IconExit, "Connected — 3 of 4 devices", "", "", SwitchDisconnect}},
		{"connecting", ipc.ExitConnecting, seen{IconConnecting, "Connecting to exit node nas…", "", "", SwitchDisconnect}},
		{"blocked", ipc.ExitBlocked, seen{IconProblem, "Internet blocked — nas is offline", "Exit node nas is offline. Internet traffic is blocked.", "Turn off", SwitchDisconnect}},
		{"of a newer helper", "odd", seen{IconOn, "Connected — 3 of 4 devices", "", "", SwitchDisconnect}},
	}
	for _, tc := range cases {
		if d := cmp.Diff(tc.want, see(up(withExit(tc.state)), t0)); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
	off := withExit(ipc.ExitBlocked)
	off.State, off.Health = ipc.StateOff, nil
	if got := see(up(off), t0); got.Banner != "" || got.Icon != IconOff {
		t.Errorf("disconnected, and yet %+v", got)
	}
	v := up(withExit(ipc.ExitBlocked)).View(t0)
	if v.Banner.Other != ActExits {
		t.Error("no way to another exit node")
	}
	var order []string
	for _, n := range v.Exit.Nodes {
		order = append(order, n.Device.Peer.Name)
	}
	if got := strings.Join(order, " "); got != "nas cabin vps" {
		t.Errorf("order %s", got)
	}
}

func TestDerivedProblems(t *testing.T) {
	st := status(network("home", peer("nas", true)))
	n := &st.Networks[0]
	n.Shares = []ipc.Share{{ID: "s", Name: "nas", Label: "Ben", Direction: "out", State: ipc.ShareConfirm}}
	st.Nearby.Asking = []ipc.NearbyAsking{{ID: "a", Network: "home", Name: "tablet"}}
	said := func(st ipc.Status) (list []string) {
		for _, p := range up(st).View(t0).Problems {
			list = append(list, Say(c, p, t0))
		}
		return list
	}
	st.Health = []ipc.Health{health(ipc.HealthLANOnly, ipc.SeverityInfo, "")}
	n.Shares = append(n.Shares, ipc.Share{ID: "t", Name: "media", Direction: "in", State: ipc.ShareActive, Devices: []ipc.SharedDevice{
		{Name: "media", Online: true, Path: ipc.PathLAN}, {Name: "attic", Online: true, Path: ipc.PathDirect}}})
	want := []string{
		"tablet asks to join home. Compare the digits.",
		"Ben accepted your share of nas. Compare the words.",
		"No internet. Reaching 2 devices on this network.", // hides none that asks
	}
	if d := cmp.Diff(want, said(st)); d != "" {
		t.Error(d)
	}
	st.May = nil
	if got := said(st); len(got) != 2 { // who may only look is asked for nothing
		t.Error(got)
	}
}

func TestNoticesOfRequests(t *testing.T) {
	var n Notifier
	ask := func(names ...string) (list []string) {
		st := status(network("home", peer("nas", true)))
		for _, x := range names {
			st.Nearby.Asking = append([]ipc.NearbyAsking{{ID: x, Network: "home", Name: x}}, st.Nearby.Asking...)
		}
		got, _ := n.Step(up(st).View(t0), t0)
		for _, x := range got {
			list = append(list, c.Say(x.Body))
		}
		return list
	}
	var got [][]string
	for _, names := range [][]string{nil, {"tablet"}, {"tablet"}, {"tablet", "phone"}, nil} {
		got = append(got, ask(names...))
	}
	want := [][]string{nil, {"tablet asks to join home. Compare the digits."}, nil, {"phone asks to join home. Compare the digits."}, nil}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestNoticesOfRefusals: one for each share and reason, of those that a person
// should know of, and none of what was so before.
func TestNoticesOfRefusals(t *testing.T) {
	var n Notifier
	step := func(list ...ipc.Refusal) (out []string) {
		st := status(network("home", peer("nas", true)))
		st.Networks[0].Shares = []ipc.Share{{ID: "s1", Name: "nas", Direction: "out", State: ipc.ShareActive, Label: "anna", Refused: list}}
		got, _ := n.Step(up(st).View(t0), t0)
		for _, x := range got {
			out = append(out, c.Say(x.Body))
		}
		return out
	}
	used := ipc.Refusal{At: t0, Code: ipc.CodeLinkUsed, Label: "eve", Link: true, Device: "nas", Count: 1}
	pass, denied, expired := used, used, used
	pass.Code, denied.Code, expired.Code = ipc.CodePassInvalid, ipc.CodeGuestDenied, ipc.CodePassExpired
	got := [][]string{step(pass), step(used, pass), step(used, pass), step(denied, expired, used), step()}
	want := [][]string{nil, {"Somebody tried to accept your share of nas again and was refused: anna has accepted it already."}, nil, nil, nil}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	r := used
	r.Label, r.Link, r.Code, r.Text = "", false, "from-a-later-version", "it is not wanted"
	if got := RefusalWords(c, r, t0.Add(time.Hour)); got != "Refused 1 h ago: somebody came to nas. it is not wanted" {
		t.Error(got)
	}
}

func TestSharedDevices(t *testing.T) {
	st := status(network("home", peer("nas", true)))
	st.Networks[0].Shares = []ipc.Share{
		{ID: "s1", Network: "oak", Direction: "in", State: ipc.ShareActive, Label: "Chris", Exit: true,
			Devices: []ipc.SharedDevice{{Name: "media", FQDN: "media.oak.internal", Online: true, Path: ipc.PathDirect, Exit: true}, {Name: "media2", FQDN: "media2.oak.internal"}}},
		{ID: "s2", Network: "elm", Direction: "in", State: ipc.ShareExpired, Devices: []ipc.SharedDevice{{Name: "old"}}},
		{ID: "s3", Network: "home", Direction: "out", State: ipc.ShareActive, Devices: []ipc.SharedDevice{{Name: "nas"}}},
	}
	v := up(st).View(t0)
	var rows []string
	for _, d := range Search(v.Devices, "chris", FilterAll) {
		rows = append(rows, d.Peer.Name+" "+d.NetName+" "+Path(c, d, t0))
	}
	if d := cmp.Diff([]string{"media oak Direct", "media2 oak Not seen yet"}, rows); d != "" {
		t.Error(d)
	}
	if len(v.Devices) != 3 || len(v.Exit.Nodes) != 1 || v.Exit.Nodes[0].Target() != "media.oak.internal" || v.Exit.Nodes[0].Using {
		t.Errorf("%d devices, exits %+v", len(v.Devices), v.Exit.Nodes)
	}
	st.Networks[0].Exit.Using, st.Networks[0].Exit.State = ptr("media.oak"), ipc.ExitOn
	if v := up(st).View(t0); len(v.Exit.Nodes) != 1 || !v.Exit.Nodes[0].Using {
		t.Errorf("in use: %+v", v.Exit.Nodes)
	}
}

func TestReport(t *testing.T) {
	st := withExit(ipc.ExitOn)
	st.Networks[0].Peers[1].Via, st.Networks[0].Peers[1].Path = ptr("nas"), ipc.PathForwarded
	st.Networks[0].Self.IPv6 = ptr(netip.MustParseAddr("fd12:3456:789a:1::2"))
	diag := &ipc.Diag{Checks: []ipc.Check{{Code: ipc.CheckUDP, OK: true, Text: "UDP", Detail: "by 192.168.1.9:41641 and [fe80::1%eth0]:5, key " + strings.Repeat("a1", 26)}}}
	v := up(st).View(t0)
	plain, anon := Report(v, diag, t0, false), Report(v, diag, t0, true)
	for _, secret := range []string{"nas", "vps", "cabin", "laptop", "home", "192.168", "100.70", "fe80", "fd12", "a1a1"} {
		if strings.Contains(anon, secret) {
			t.Errorf("%q is in the anonymous report:\n%s", secret, anon)
		}
		if !strings.Contains(plain, secret) && secret != "100.70" {
			t.Errorf("%q is not in the report:\n%s", secret, plain)
		}
	}
	if !strings.Contains(anon, "2026-03-04T12:00:00Z") || !strings.Contains(anon, "path forwarded, via device-") {
		t.Error(anon)
	}
	if got := Report(New("1").View(t0), nil, t0.Add(time.Hour), true); !strings.Contains(got, "not run") {
		t.Error(got)
	}
}
