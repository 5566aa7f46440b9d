package simnet

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"kith.internal/helper/internal/osnet/portal"
	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

const signIn = "HTTP/1.1 302 Found\r\nLocation: http://signin.hotel.example/\r\nContent-Length: 0\r\n\r\n"

// captive is a host at home and a relay, and a hotel where nothing gets out and
// everything over HTTP is answered by a sign-in page. Names are asked for in the
// mesh.
func captive(t *testing.T, n *Net) (a *Host, hotel *Site) {
	t.Helper()
	a = n.Host("a", n.Home("home a").LAN)
	a.upstream = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}
	s := n.Server("s")
	relayed(t, s, a)
	if _, err := addRecords(s, ".", "NS", "100.64.9.9"); err != nil {
		t.Fatal(err)
	}
	a.Until(5*time.Second, "the resolver in the mesh", func() bool { return a.firstAsked(t) != a.upstream[0] })
	hotel = n.Home("hotel")
	hotel.Router.SetFilter(udptest.OnlyTCP())
	return a, hotel
}

// firstAsked is the first resolver that is asked for names of the world.
func (h *Host) firstAsked(t *testing.T) netip.AddrPort {
	t.Helper()
	st, err := h.Engine.DNSStatus(t.Context(), server.Caller{}, struct{}{})
	if err != nil || len(st.Upstreams) == 0 {
		return netip.AddrPort{}
	}
	return st.Upstreams[0]
}

func (h *Host) openPortal(t *testing.T, open bool) ipc.Portal {
	t.Helper()
	ans, err := h.Engine.Portal(t.Context(), server.Caller{}, ipc.PortalRequest{Open: open})
	if err != nil {
		t.Fatal(err)
	}
	return ans.Portal
}

// TestPortalByRelay: where the system has no word, a page in the name of our
// relay tells. Nothing is let go before the user says so, and then for five
// minutes, or until the sign-in is done.
func TestPortalByRelay(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		a, hotel := captive(t, n)
		page := answersWith(signIn)
		a.bad.portal.Store(&page)
		a.Move(hotel.LAN)
		a.Until(30*time.Second, "the portal is noticed", func() bool { return a.health(ipc.HealthPortal) != "" })
		if p := a.Status().Portal; !p.Noticed || p.By != "s" || p.OpenUntil != nil {
			t.Errorf("the portal is %+v", p)
		}
		if c := a.check(ipc.CheckCaptive); c.OK || c.Detail != "noticed by s" {
			t.Errorf("kith diag says %+v", c)
		}
		if at := a.firstAsked(t); slices.Contains(a.upstream, at) {
			t.Error("names went past the mesh before anybody said so")
		}
		p := a.openPortal(t, true)
		if p.OpenUntil == nil || time.Until(*p.OpenUntil) > 5*time.Minute {
			t.Fatalf("open: %+v", p)
		}
		if at := a.firstAsked(t); at != a.upstream[0] {
			t.Errorf("while open, names are asked at %v", at)
		}
		time.Sleep(4*time.Minute + 55*time.Second)
		if a.health(ipc.HealthPortalOpen) == "" {
			t.Error("it closed early, or nobody was told")
		}
		time.Sleep(10 * time.Second)
		if p := a.Status().Portal; p.OpenUntil != nil || !p.Noticed || a.firstAsked(t) == a.upstream[0] {
			t.Errorf("after five minutes: %+v, names at %v", p, a.firstAsked(t))
		}
		a.openPortal(t, true)
		hotel.Router.SetFilter(nil)
		a.bad.portal.Store(nil)
		a.Until(time.Minute, "the sign-in is noticed", func() bool { return !a.Status().Portal.Noticed })
		if p := a.Status().Portal; p.OpenUntil != nil || p.Noticed {
			t.Errorf("after the sign-in: %+v", p)
		}
		if c := a.check(ipc.CheckCaptive); !c.OK {
			t.Errorf("after the sign-in kith diag says %+v", c)
		}
		a.openPortal(t, true)
		if p := a.openPortal(t, false); p.OpenUntil != nil {
			t.Errorf("closed by hand: %+v", p)
		}
	})
}

// TestPortalBySystem: the system's word counts before ours, both ways.
func TestPortalBySystem(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		a, hotel := captive(t, n)
		a.Stop()
		a.verdict = newVerdict()
		page := answersWith(signIn)
		a.bad.portal.Store(&page)
		a.verdict.say(portal.Open)
		a.Move(hotel.LAN)
		a.Start()
		time.Sleep(time.Minute)
		if a.Status().Portal.Noticed {
			t.Error("noticed against the system's word")
		}
		a.verdict.say(portal.Captive)
		a.Until(10*time.Second, "the system's word", func() bool { return a.Status().Portal.By == "NetworkManager" })
		if _, err := a.Engine.Down(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
		a.Until(10*time.Second, "it is no matter while nothing is up", func() bool { return !a.Status().Portal.Noticed })
		if _, err := a.Engine.Up(t.Context(), server.Caller{}, ipc.UpRequest{}); err != nil {
			t.Fatal(err)
		}
		a.Until(10*time.Second, "it is, once something is", func() bool { return a.Status().Portal.Noticed })
		a.verdict.say(portal.Open)
		a.Until(10*time.Second, "the portal is gone", func() bool { return !a.Status().Portal.Noticed })
	})
}

// TestPortalIsNone: a web server beside a relay that is off is no portal, nor is
// silence.
func TestPortalIsNone(t *testing.T) {
	for name, answer := range map[string]string{
		"no page":       "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"over TLS":      "HTTP/1.1 301 Moved Permanently\r\nLocation: https://vps.example/\r\nContent-Length: 0\r\n\r\n",
		"nothing":       "",
		"not even HTTP": "SSH-2.0-OpenSSH_9.2\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			row(t, func(t *testing.T, n *Net) {
				a, hotel := captive(t, n)
				page := answersWith(answer)
				a.bad.portal.Store(&page)
				a.Move(hotel.LAN)
				time.Sleep(time.Minute)
				if p := a.Status().Portal; p.Noticed {
					t.Errorf("noticed: %+v", p)
				}
			})
		})
	}
}
