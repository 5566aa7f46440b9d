package simnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// only resolves a name and wants addresses of one family alone.
func only(t *testing.T, h *Host, name string, v4, v6 bool) {
	t.Helper()
	got, err := h.Resolve(name)
	if err != nil {
		t.Errorf("%s resolves %s: %v", h.name, name, err)
	}
	var has4, has6 bool
	for _, a := range got {
		has4, has6 = has4 || a.Is4(), has6 || a.Is6()
	}
	if has4 != v4 || has6 != v6 {
		t.Errorf("%s resolves %s: %v, want IPv4 %v, IPv6 %v", h.name, name, got, v4, v6)
	}
}

// TestSimIPv4Conflict: where another VPN or a firewall rule holds the range, the
// device runs on IPv6 alone, says so, and is back when that is gone.
func TestSimIPv4Conflict(t *testing.T) {
	for name, c := range map[string]struct {
		set, clear func(*Host)
		code       string
	}{
		"another VPN": {
			func(h *Host) {
				h.SetRoutes([]netmon.Interface{{Index: 500, Name: "ts0", Up: true, PointToPoint: true}},
					netmon.Route{Prefix: netip.MustParsePrefix("100.64.0.0/10"), Index: 500})
			},
			func(h *Host) { h.SetRoutes(nil) }, ipc.HealthIPv4Conflict,
		},
		"a firewall rule": {
			func(h *Host) { h.SetFirewallRule("drop 100.64.0.0/10") },
			func(h *Host) {
				h.SetFirewallRule("")
				h.SetRoutes([]netmon.Interface{{Index: 501, Name: "eth9", Up: true}})
			},
			ipc.HealthIPv4Blocked,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := New(t)
				l := net.LAN("lan")
				a, b := net.Host("a", l), net.Host("b", l)
				c.set(b)
				a.Start()
				b.Start()
				a.Create("home")
				if err := b.Join(a.Invite("", 1)); err != nil {
					t.Fatal(err)
				}
				check := func(v4 bool) {
					t.Helper()
					a.Until(5*time.Second, "the other side knows", func() bool { p, _ := a.Peer("b"); return (p.IPv4 != nil) == v4 })
					for _, h := range []*Host{a, b} {
						only(t, h, "b", v4, true)
					}
					only(t, b, "a", v4, true)
					if self := b.Network("").Self; (self.IPv4 != nil) != v4 || self.DNS == nil || self.DNS.Addr().Is4() != v4 {
						t.Errorf("self: IPv4 %v, DNS %v", self.IPv4, self.DNS)
					}
					answered(t, a, "b", time.Second)
					answered(t, b, "a", time.Second)
				}
				check(false)
				b.Until(time.Minute, "it says so", func() bool { return b.health(c.code) != "" })
				c.clear(b)
				time.Sleep(time.Second)
				check(true)
				b.Until(time.Minute, "it says so no more", func() bool { return b.health(c.code) == "" })
				b.Restart()
				check(true)
			})
		})
	}
}

// TestSimNoIPv6: a host with IPv6 switched off runs on IPv4 alone, and says so.
func TestSimNoIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b := net.Host("a", l), net.Host("b", l)
		b.SetIPv6(false)
		a.Start()
		b.Start()
		a.Create("home")
		if err := b.Join(a.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		answered(t, b, "a", time.Second)
		answered(t, a, "b", time.Second)
		only(t, b, "a", true, false)
		only(t, a, "b", true, false)
		if self := b.Network("").Self; self.IPv6 != nil || self.IPv4 == nil {
			t.Errorf("self: %v, %v", self.IPv4, self.IPv6)
		}
		b.Until(time.Minute, "it says so", func() bool { return b.health(ipc.HealthNoIPv6) != "" })
	})
}

// TestSimNoTUN: without a TUN a network is not founded, and one that is there is
// up as soon as the host changes.
func TestSimNoTUN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		b.Kill()
		b.SetTUN(false)
		b.Start()
		if n := b.Network(""); n.Active || b.Status().State != ipc.StateError {
			t.Errorf("without a TUN: active %v, state %s", n.Active, b.Status().State)
		}
		b.Until(time.Minute, "it says so", func() bool { return b.health(ipc.HealthNoTUN) != "" })
		_, err := b.Engine.Create(t.Context(), server.Caller{}, ipc.CreateRequest{Name: "work"})
		if ipc.CodeOf(err) != ipc.CodeNoTUN || len(b.Status().Networks) != 1 {
			t.Errorf("create without a TUN: %v, %+v", err, b.Status().Networks)
		}
		b.SetTUN(true)
		if _, err := b.Engine.Up(t.Context(), server.Caller{}, ipc.UpRequest{}); err != nil {
			t.Errorf("up: %v", err)
		}
		answered(t, a, "b", time.Second)
		b.Until(time.Minute, "it says so no more", func() bool { return b.health(ipc.HealthNoTUN) == "" })
	})
}

// epochs is the discovery secrets that a host holds, oldest first.
func (h *Host) epochs() (out [][32]byte) {
	h.tb.Helper()
	n, err := h.store.Networks()
	if err != nil {
		h.tb.Fatal(err)
	}
	s, err := h.store.Secrets(n[0].Network)
	if err != nil {
		h.tb.Fatal(err)
	}
	for _, e := range s.Epochs {
		out = append(out, e.Secret)
	}
	return out
}

// TestSimGoneRenews: who is gone no longer knows the members' tags, whichever of
// those who may sees to it.
func TestSimGoneRenews(t *testing.T) {
	leave := func(t *testing.T, h *Host) {
		if _, err := h.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		goes func(t *testing.T, a, b, c *Host)
	}{
		{"a plain device leaves", func(t *testing.T, _, _, c *Host) { leave(t, c) }},
		{"an owner leaves", func(t *testing.T, _, b, _ *Host) { leave(t, b) }},
		{"who removes dies before it renews", func(t *testing.T, _, b, c *Host) { b.removeAlone("c") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := New(t)
				l := net.LAN("lan")
				one, two, three := net.Host("a", l), net.Host("b", l), net.Host("c", l)
				one.Start()
				phrase := one.Create("home")
				join(t, one, two, three)
				recoverOwner(t, two, phrase)
				agree(t, time.Minute, one, two, three)
				before := one.epochs()
				c.goes(t, one, two, three)
				one.Until(time.Minute, "the secret is renewed", func() bool { return len(one.epochs()) > len(before) })
				time.Sleep(time.Minute)
				all := one.epochs()
				// Two may have done so at the same moment, no more.
				if len(all) > len(before)+2 {
					t.Errorf("renewed %d times", len(all)-len(before))
				}
				for _, h := range []*Host{two, three} {
					if len(h.Status().Networks) == 0 || h.Network("").Self.Role == ipc.RoleRemoved {
						continue
					}
					if last := h.epochs(); last[len(last)-1] != all[len(all)-1] {
						t.Errorf("%s has another secret", h.name)
					}
				}
				time.Sleep(time.Hour)
				if n := len(one.epochs()); n != len(all) {
					t.Errorf("renewed %d times for one that is gone", n-len(before))
				}
			})
		})
	}
}

// removeAlone has the host die in the middle of a removal: all that is on its
// disk of it, and all that it does when it runs again, is the revocation.
func (h *Host) removeAlone(device string) {
	h.tb.Helper()
	h.Kill()
	st, err := store.Open(h.state())
	if err != nil {
		h.tb.Fatal(err)
	}
	defer h.Start()
	defer st.Close()
	nets, err := st.Networks()
	if err != nil {
		h.tb.Fatal(err)
	}
	id := nets[0].Network
	secrets, err := st.Secrets(id)
	if err != nil {
		h.tb.Fatal(err)
	}
	records, err := st.Records(id)
	if err != nil {
		h.tb.Fatal(err)
	}
	set, err := roster.NewSet(records[0].Raw)
	if err != nil {
		h.tb.Fatal(err)
	}
	for _, r := range records[1:] {
		if _, err := set.Add(r.Raw, roster.AddOptions{Verified: true, At: r.Arrival}); err != nil {
			h.tb.Fatal(err)
		}
	}
	removal, err := roster.NewAuthor(set, secrets.Device, time.Now).Remove(set.View().ByName(device).Key, roster.RemoveOptions{})
	if err != nil {
		h.tb.Fatal(err)
	}
	for _, r := range removal.Records {
		if err := st.PutRecords(id, store.Record{ID: r.ID, Raw: r.Raw, Arrival: time.Now(), Verified: true}); err != nil {
			h.tb.Fatal(err)
		}
	}
}

// TestSimEpoch: after a removal the discovery secret is new; a member that
// missed that is found all the same when it comes back.
func TestSimEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l, far := net.LinkLocal("lan"), net.LinkLocal("far")
		a, b, c := net.Host("a", l), net.Host("b", l), net.Host("c", l)
		for _, h := range []*Host{a, b, c} {
			h.Start()
		}
		a.Create("home")
		link := a.Invite("", 0)
		for _, h := range []*Host{b, c} {
			if err := h.Join(link); err != nil {
				t.Fatal(err)
			}
		}
		b.Move(far)
		time.Sleep(time.Minute)
		revoke(t, a, "c")
		c.Stop()
		a.Kill()
		a.Move(far) // another link-local address than b has seen
		a.Start()
		d, _ := a.Reach("b", 3*time.Minute)
		t.Logf("found by an old tag after %v", d)
		time.Sleep(time.Minute)
		epochs := func(h *Host) [32]byte {
			n, err := h.store.Networks()
			if err != nil {
				t.Fatal(err)
			}
			s, err := h.store.Secrets(n[0].Network)
			if err != nil || len(s.Epochs) != 2 {
				t.Fatalf("%s holds %d secrets, %v", h.name, len(s.Epochs), err)
			}
			return s.Epochs[1].Secret
		}
		if epochs(a) != epochs(b) {
			t.Error("the new secret has not come to b")
		}
	})
}
