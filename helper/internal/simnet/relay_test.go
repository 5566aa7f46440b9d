package simnet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// relay asks for the relay role and returns what became of it.
func (h *Host) relay(t *testing.T, req ipc.RelayRequest) (ipc.Relay, error) {
	t.Helper()
	a, err := h.Engine.RelayOn(t.Context(), server.Caller{}, req)
	return a.Relay, err
}

// asks is what a device asks for, as h lists it, "" for nothing.
func (h *Host) asks(t *testing.T, device string) string {
	t.Helper()
	list, err := h.Engine.DeviceList(t.Context(), server.Caller{}, ipc.NetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Devices {
		if d.Name == device && d.Pending != nil {
			return d.Pending.Kind + " " + d.Pending.Value
		}
	}
	return ""
}

func (h *Host) seesRelay(name string) func() bool {
	return func() bool { p, ok := h.Peer(name); return ok && p.Relay }
}

func not(f func() bool) func() bool { return func() bool { return !f() } }

// TestSimRelayOfOwner: an owner's relay is one at once, lasts over restarts, and
// ends when it is turned off.
func TestSimRelayOfOwner(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a := n.Server("s"), n.Host("a", n.Home("home").LAN)
		found(t, s, a)
		r, err := s.relay(t, ipc.RelayRequest{})
		if err != nil || !r.On || r.Pending || r.Listen != ":443" || len(r.Advertised) == 0 {
			t.Fatalf("relay on: %+v, %v", r, err)
		}
		a.Until(time.Second, "s is a relay", a.seesRelay("s"))
		again, err := s.relay(t, ipc.RelayRequest{})
		if err != nil || !again.On || !slices.Equal(again.Advertised, r.Advertised) {
			t.Errorf("relay on again: %+v, %v", again, err)
		}
		records := s.records(t)
		s.Restart()
		s.Until(2*time.Second, "it is a relay again", func() bool { return s.Network("").Relay.On })
		time.Sleep(time.Minute)
		if got := s.records(t); got != records {
			t.Errorf("a restart wrote %d records", got-records)
		}
		if !a.seesRelay("s")() {
			t.Error("a takes s for no relay after its restart")
		}
		// Elsewhere.
		r, err = s.relay(t, ipc.RelayRequest{Listen: "8443", Limit: 50})
		if err != nil || r.Listen != ":8443" || r.Limit != 50 || !strings.HasSuffix(r.Advertised[0], ":8443") {
			t.Errorf("relay on another port: %+v, %v", r, err)
		}
		if _, err := s.Engine.RelayOff(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
		a.Until(time.Second, "s is no relay", not(a.seesRelay("s")))
		s.Restart()
		time.Sleep(time.Minute)
		if r := s.Network("").Relay; r.On || r.Pending || r.Listen != "" {
			t.Errorf("off, and after a restart: %+v", r)
		}
		// The ports are free again.
		if r, err := s.relay(t, ipc.RelayRequest{}); err != nil || !r.On {
			t.Errorf("on again: %+v, %v", r, err)
		}
	})
}

// records is how many records a host's network has.
func (h *Host) records(t *testing.T) int {
	t.Helper()
	list, err := h.Engine.Roster(t.Context(), server.Caller{}, ipc.NetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Records)
}

// approved is an owner in public, and a plain device that it has made a relay.
func approved(t *testing.T, n *Net) (owner, s *Host) {
	t.Helper()
	owner, s = n.Server("owner"), n.Server("s")
	found(t, owner, s)
	r, err := s.relay(t, ipc.RelayRequest{})
	if err != nil || r.On || !r.Pending {
		t.Fatalf("a plain device's relay: %+v, %v", r, err)
	}
	owner.Until(time.Second, "the owner sees the request", func() bool { return strings.HasPrefix(owner.asks(t, "s"), "relay ") })
	if owner.seesRelay("s")() {
		t.Error("it is a relay before it was approved")
	}
	// The request, and that it serves, outlast a restart.
	s.Restart()
	s.Until(2*time.Second, "it waits", func() bool { return s.Network("").Relay.Pending })
	if err := owner.grant(t, "s", asked(t, owner, "s")...); err != nil {
		t.Fatal(err)
	}
	s.Until(time.Second, "it relays", func() bool { r := s.Network("").Relay; return r.On && !r.Pending })
	owner.Until(time.Second, "it is a relay", owner.seesRelay("s"))
	if got := owner.asks(t, "s"); got != "" {
		t.Errorf("it still asks: %s", got)
	}
	return owner, s
}

// TestSimRelayByApproval: a plain device's relay waits for an admin's word, and
// ends by its own.
func TestSimRelayByApproval(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		owner, s := approved(t, n)
		if _, err := s.Engine.RelayOff(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
		owner.Until(time.Second, "it is no relay", not(owner.seesRelay("s")))
		// The approval stands: its own word is enough.
		if r, err := s.relay(t, ipc.RelayRequest{}); err != nil || !r.On || r.Pending {
			t.Errorf("on again: %+v, %v", r, err)
		}
		owner.Until(3*time.Second, "it is a relay again", owner.seesRelay("s"))
	})
}

// TestSimInviteByRelay: the owner sits behind a NAT, and so does who joins by
// its link alone.
func TestSimInviteByRelay(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		owner, s := approved(t, n)
		owner.Move(n.Home("home o").LAN)
		owner.Reach("s", 5*time.Second)
		b := n.Host("b", n.Home("home b").LAN)
		b.Start()
		began := time.Now()
		if err := b.Join(owner.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		_, path := b.Reach("owner", 5*time.Second)
		t.Logf("joined and reached the owner within %v, %s", time.Since(began), path)
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("join to first ping took %v", d)
		}
		_ = s
	})
}

// TestSimInviteBySponsor: where a relay may admit, the inviting device need not
// be there when its link is used.
func TestSimInviteBySponsor(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a, b := n.Server("s"), n.Host("a", n.Home("home a").LAN), n.Host("b", n.Home("home b").LAN)
		s.Start()
		phrase := s.Create("home")
		relayOn(t, s)
		join(t, s, a)
		if _, err := a.Engine.Recover(t.Context(), server.Caller{}, ipc.RecoverRequest{Phrase: phrase}); err != nil {
			t.Fatal(err)
		}
		for _, uses := range []int{1, 0} {
			a.Until(time.Second, "a is up", func() bool { return a.Network("").Active })
			began := time.Now()
			link := a.Invite("", uses)
			if d := time.Since(began); d > time.Second {
				t.Errorf("the invite took %v", d)
			}
			p, err := a.Engine.Preview(t.Context(), server.Caller{}, ipc.LinkRequest{Link: link})
			if err != nil || p.Sponsor != "s" {
				t.Fatalf("sponsor %q, %v", p.Sponsor, err)
			}
			a.Stop()
			b.Start()
			if err := b.Join(link); err != nil {
				t.Fatalf("%d uses: %v", uses, err)
			}
			b.Reach("s", 5*time.Second)
			a.Start()
			if _, err := b.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
				t.Fatal(err)
			}
			b.Stop()
		}
		// While it is away, this device sponsors.
		s.Stop()
		link := a.Invite("", 1)
		if p, err := a.Engine.Preview(t.Context(), server.Caller{}, ipc.LinkRequest{Link: link}); err != nil || p.Sponsor != "a" {
			t.Errorf("without s: sponsor %q, %v", p.Sponsor, err)
		}
	})
}

// TestSimRelayRefused: what cannot work is said, with a code.
func TestSimRelayRefused(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a := n.Server("s"), n.Host("a", n.Home("home").LAN)
		found(t, s, a)
		l, err := s.boot.ListenTCP(t.Context(), ":443")
		if err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			host *Host
			req  ipc.RelayRequest
			want ipc.Code
		}{
			{s, ipc.RelayRequest{}, ipc.CodePortTaken},
			{s, ipc.RelayRequest{Listen: "nowhere"}, ipc.CodeUsage},
			{s, ipc.RelayRequest{Limit: -1}, ipc.CodeUsage},
			{s, ipc.RelayRequest{Listen: ":8443", Advertise: "no such name"}, ipc.CodeUsage},
			{s, ipc.RelayRequest{Listen: ":8443", Advertise: "no-such.example"}, ipc.CodeUnresolved},
			{a, ipc.RelayRequest{}, ipc.CodeNoAddress},
		}
		for _, tt := range tests {
			if _, err := tt.host.relay(t, tt.req); ipc.CodeOf(err) != tt.want {
				t.Errorf("%s %+v: %v, want %s", tt.host.name, tt.req, err, tt.want)
			}
			if r := tt.host.Network("").Relay; r.On || r.Pending {
				t.Errorf("%s %+v: %+v", tt.host.name, tt.req, r)
			}
		}
		l.Close()
		if r, err := s.relay(t, ipc.RelayRequest{}); err != nil || !r.On {
			t.Fatalf("once the port is free: %+v, %v", r, err)
		}
		// Taken when it starts again: said, and tried until it is free.
		s.Stop()
		if l, err = s.udp.ListenTCP(":443"); err != nil {
			t.Fatal(err)
		}
		s.Start()
		s.Until(10*time.Second, "it says so", func() bool { return s.health(ipc.HealthRelayPort) != "" })
		if r := s.Network("").Relay; r.On {
			t.Errorf("relays on a port that another program holds: %+v", r)
		}
		l.Close()
		s.Until(2*time.Minute, "it relays", func() bool { return s.Network("").Relay.On && s.health(ipc.HealthRelayPort) == "" })
	})
}

// TestSimRelayOfTwo: the relays of two networks of one device have a port each;
// that one holds the other's is said, at once and after a start.
func TestSimRelayOfTwo(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s := n.Server("s")
		s.Start()
		s.Create("first")
		s.Create("second")
		on := func(network, listen string) (ipc.Relay, error) {
			return s.relay(t, ipc.RelayRequest{Network: network, Listen: listen})
		}
		if r, err := on("first", ""); err != nil || !r.On {
			t.Fatalf("%+v, %v", r, err)
		}
		if _, err := on("second", ""); ipc.CodeOf(err) != ipc.CodePortTaken || !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "--listen") {
			t.Errorf("the port of the other network's relay: %v", err)
		}
		if r, err := on("second", "8443"); err != nil || !r.On {
			t.Errorf("a port of its own: %+v, %v", r, err)
		}
		// Both were made to want one port while the other was down.
		if _, err := s.Engine.Down(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "first"}); err != nil {
			t.Fatal(err)
		}
		if r, err := on("second", ""); err != nil || !r.On {
			t.Errorf("a port that is free now: %+v, %v", r, err)
		}
		if _, err := s.Engine.Up(t.Context(), server.Caller{}, ipc.UpRequest{Network: "first"}); err != nil {
			t.Fatal(err)
		}
		s.Until(10*time.Second, "it says so", func() bool { return strings.Contains(s.health(ipc.HealthRelayPort), "network second") })
	})
}

// TestSimForward: the switch lasts, and the others hear of it.
func TestSimForward(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a := n.Server("s"), n.Host("a", n.Home("home").LAN)
		found(t, s, a)
		if !a.Network("").Forward.On {
			t.Error("off by default")
		}
		for _, on := range []bool{false, true} {
			if _, err := a.Engine.Forward(t.Context(), server.Caller{}, ipc.ForwardRequest{On: on}); err != nil {
				t.Fatal(err)
			}
			a.Restart()
			if got := a.Network("").Forward.On; got != on {
				t.Errorf("forwarding %v after a restart, want %v", got, on)
			}
		}
	})
}
