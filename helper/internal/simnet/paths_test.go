package simnet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// The rows of the table of what must work between two members, a and b, with a
// public member s.

// row runs a test in a bubble with an empty world.
func row(t *testing.T, test func(t *testing.T, n *Net)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, New(t)) })
}

// found has the first host found the network and the others join it by its
// links, one after another.
func found(t *testing.T, founder *Host, others ...*Host) {
	t.Helper()
	founder.Start()
	founder.Create("home")
	join(t, founder, others...)
}

// relayed has a relay found the network and the others join it.
func relayed(t *testing.T, s *Host, others ...*Host) {
	t.Helper()
	s.Start()
	s.Create("home")
	relayOn(t, s)
	join(t, s, others...)
}

func join(t *testing.T, founder *Host, others ...*Host) {
	t.Helper()
	for _, h := range others {
		h.Start()
		began := time.Now()
		if err := h.Join(founder.Invite("", 1)); err != nil {
			t.Fatalf("%s joins: %v", h.name, err)
		}
		took := time.Since(began)
		ping, path := h.Reach(founder.name, 5*time.Second)
		t.Logf("%s joins in %v and reaches %s after %v on a path that is %s", h.name, took, founder.name, ping, path)
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("%s: join to first ping took %v", h.name, d)
		}
	}
}

// direct wants a direct path between two within a second of their first words.
func direct(t *testing.T, a, b *Host) { onPath(t, a, b, time.Second, ipc.PathDirect) }

// onPath wants a path of a kind, both ways, within a limit of first words.
func onPath(t *testing.T, a, b *Host, limit time.Duration, kinds ...ipc.PathKind) {
	t.Helper()
	p := a.Pings(b.name)
	defer p.Stop()
	began := time.Now()
	var first, right time.Duration
	for {
		paths := p.Paths()
		if p.Answered() > 0 && first == 0 {
			first = time.Since(began)
		}
		if first != 0 && len(paths) > 0 && slices.Contains(kinds, paths[len(paths)-1]) {
			right = time.Since(began)
			break
		}
		if time.Since(began) > limit {
			t.Errorf("%s to %s: after %v first answer after %v, paths %v, want %v", a.name, b.name, limit, first, paths, kinds)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%s to %s: first answer after %v, %v after %v", a.name, b.name, first, kinds, right)
	if _, path := b.Reach(a.name, time.Second); !slices.Contains(kinds, path) {
		t.Errorf("%s to %s: path %s", b.name, a.name, path)
	}
}

func TestPath01SameLAN(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		home := n.Home("home")
		s, a, b := n.Server("s"), n.Host("a", home.LAN), n.Host("b", home.LAN)
		found(t, s, a, b)
		onPath(t, a, b, time.Second, ipc.PathLAN)
	})
}

func TestPath02BothPublic(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		a, b := n.Server("a"), n.Server("b")
		found(t, a, b)
		direct(t, a, b)
	})
}

func TestPath03OneNAT(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		a, b := n.Server("a"), n.Host("b", n.Home("home").LAN)
		found(t, a, b)
		direct(t, a, b)
	})
}

// relayOn gives a host the relay role.
func relayOn(t *testing.T, h *Host) {
	t.Helper()
	if _, err := h.Engine.RelayOn(t.Context(), server.Caller{}, ipc.RelayRequest{}); err != nil {
		t.Fatalf("%s: relay on: %v", h.name, err)
	}
}

func TestPath04TwoNATs(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a, b := n.Server("s"), n.Host("a", n.Home("home a").LAN), n.Host("b", n.Home("home b").LAN)
		relayed(t, s, a, b)
		direct(t, a, b)
	})
}
