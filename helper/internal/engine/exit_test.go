package engine

import (
	"net/netip"
	"testing"

	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// TestJudgeExit: whatever becomes of an exit node, nothing but the user's word
// lets traffic go in clear.
func TestJudgeExit(t *testing.T) {
	for _, c := range []struct {
		name  string
		f     exitFacts
		state ipc.ExitState
		why   exitWhy
	}{
		{"it works", exitFacts{up: true, member: true, approved: true, path: true}, ipc.ExitOn, exitFine},
		{"the user has disconnected", exitFacts{down: true, member: true, approved: true}, ipc.ExitOff, exitFine},
		{"chosen a moment ago", exitFacts{up: true, member: true, approved: true}, ipc.ExitConnecting, exitFine},
		{"chosen a while ago", exitFacts{up: true, member: true, approved: true, waited: connectFor}, ipc.ExitBlocked, exitOffline},
		{"it has worked, and is gone", exitFacts{up: true, member: true, approved: true, worked: true}, ipc.ExitBlocked, exitOffline},
		{"no consent, whatever it says", exitFacts{up: true, member: true, path: true}, ipc.ExitBlocked, exitNotApproved},
		{"it refuses", exitFacts{up: true, member: true, approved: true, path: true, refuses: true}, ipc.ExitBlocked, exitRefuses},
		{"a friend's, not shared any more", exitFacts{up: true, shared: true, path: true}, ipc.ExitBlocked, exitUnshared},
		{"the policy forbids it", exitFacts{up: true, member: true, approved: true, path: true, denied: true}, ipc.ExitBlocked, exitForbidden},
		{"no member any more", exitFacts{up: true, path: true}, ipc.ExitBlocked, exitGone},
		{"the network does not come up", exitFacts{member: true, approved: true, path: true}, ipc.ExitBlocked, exitFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if state, why := c.f.judge(); state != c.state || why != c.why {
				t.Errorf("%s, because %q", state, why)
			}
		})
	}
}

// TestSubnetRefused: what can be no subnet route is neither offered nor approved
// nor accepted.
func TestSubnetRefused(t *testing.T) {
	n := &network{e: &Engine{}, id: roster.ID{1}, alias: "home"}
	n.e.nets = []*network{n}
	for _, s := range []string{"0.0.0.0/1", "128.0.0.0/1", "::/0", "2000::/3", "10.0.0.1/8", "127.0.0.0/8", "224.0.0.0/24", "169.254.0.0/16", "::ffff:10.0.0.0/104", "100.64.0.0/10", overlay(n.id)[1].String()} {
		if n.checkSubnet(netip.MustParsePrefix(s)) == nil {
			t.Errorf("%s may be routed", s)
		}
	}
	for _, s := range []string{"192.168.7.0/24", "10.0.0.0/8", "192.168.7.9/32", "fd12::/48"} {
		if err := n.checkSubnet(netip.MustParsePrefix(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}
