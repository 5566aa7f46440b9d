package simnet

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"kith.internal/ipc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two hosts on one LAN, of which a has founded "home" and b joined it.
func pair(t *testing.T, lan func(*Net) *LAN) (a, b *Host) {
	t.Helper()
	net := New(t)
	l := lan(net)
	a, b = net.Host("a", l), net.Host("b", l)
	a.Start()
	b.Start()
	a.Create("home")
	if err := b.Join(a.Invite("", 1)); err != nil {
		t.Fatalf("join: %v", err)
	}
	return a, b
}

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func oneLAN(n *Net) *LAN { return n.LAN("lan") }

// answered wants an answer over the LAN within a limit.
func answered(t *testing.T, from *Host, to string, limit time.Duration) {
	t.Helper()
	if d, path := from.Reach(to, limit); path != ipc.PathLAN {
		t.Errorf("%s reaches %s after %v on path %s, want the LAN", from.name, to, d, path)
	}
}

func TestSimJoin(t *testing.T) {
	for name, lan := range map[string]func(*Net) *LAN{
		"lan":        oneLAN,
		"link-local": func(n *Net) *LAN { return n.LinkLocal("lan") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				a, b := pair(t, lan)
				answered(t, b, "a", time.Second)
				t.Logf("create, invite, join and first ping: %v", time.Since(began))
				answered(t, a, "b", time.Second)
				for _, h := range []*Host{a, b} {
					for _, name := range []string{"a", "b", "a.home.internal", "b.home.internal"} {
						if got, err := h.Resolve(name); err != nil || len(got) != 2 {
							t.Errorf("%s resolves %s: %v, %v", h.name, name, got, err)
						}
					}
				}
			})
		})
	}
}
