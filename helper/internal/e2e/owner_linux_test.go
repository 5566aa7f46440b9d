package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kith.internal/ipc"
)

// founded is members, with the root phrase.
func founded(t *testing.T, names ...string) (bed *bed, nodes []*node, phrase string) {
	t.Helper()
	bed, nodes = members(t, names...)
	b, err := os.ReadFile(filepath.Join(nodes[0].dir, "phrase-home"))
	must(t, err)
	return bed, nodes, string(b)
}

func TestNetnsRecover(t *testing.T) {
	bed, nodes, phrase := founded(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	agree(t, patience, nodes...)
	if got := b.tryIn("abandon "+phrase, "recover", "--cut", "a", "--yes"); got.code != ipc.ExitFailed {
		t.Errorf("recover with 25 words: %+v", got)
	}
	// The owner is stolen and apart; what it writes there must not count.
	a.host.Detach(bed.lan)
	a.kith("device", "rename", "c", "stolen")
	link := a.invite()

	b.kithIn(phrase, "recover", "--cut", "a", "--yes")
	if got := b.network().Self.Role; got != ipc.RoleOwner {
		t.Errorf("b recovered and is %s right after", got)
	}
	until(t, "c hears that a is cut", patience, func() bool { return c.peer("a").Key == "" && c.peer("b").Role == ipc.RoleOwner })
	agree(t, patience, b, c)
	b.reach("c.home.internal", patience)
	digest := b.digest()

	a.host.Attach(bed.lan, prefix("192.168.77.1/24"))
	took := until(t, "a hears that it is cut", 2*patience, func() bool { return a.network().Self.Role == ipc.RoleRemoved })
	t.Logf("the owner that was cut while it was away hears of it after %v", took)
	for _, n := range []*node{b, c} {
		if n.digest() != digest || n.peer("stolen").Key != "" {
			t.Errorf("what a wrote apart counts on %s", n.name)
		}
	}
	if c.network().Self.Name != "c" {
		t.Error("c has the name that a gave it")
	}
	if got := a.try("invite"); got.code != ipc.ExitNoAnswer {
		t.Errorf("a invites: %+v", got)
	}
	// The link that a wrote apart lets nobody in, at the new owner either.
	d := a // its host is free: nobody else is
	d.kith("leave", "--yes")
	if got := d.tryIn(link, "join", "-", "--wait", "3s"); got.code == 0 {
		t.Errorf("a's own link lets it in: %+v", got)
	}
	d.try("leave", "--yes")
	// The new owner's does.
	d.join(b)
	d.reach("c.home.internal", patience)
	agree(t, patience, nodes...)
}

// Two owners apart both write; one of them comes with what a third has to hear.
func TestNetnsApartAndTogether(t *testing.T) {
	bed, nodes, phrase := founded(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	b.kithIn(phrase, "recover")
	until(t, "all know b as an owner", patience, func() bool { return a.peer("b").Role == ipc.RoleOwner && c.peer("b").Role == ipc.RoleOwner })
	agree(t, patience, nodes...)
	var took []time.Duration
	name := "c"
	for round := range 5 {
		bed.SetCarrier(bed.lan, false)
		until(t, "they are apart", patience, func() bool { return !b.ping("a.home.internal") })
		next := "c" + string(rune('0'+round))
		a.kith("device", "rename", name, next)
		name = next
		b.kith("device", "rename", "b"+string(rune('0'+round)))
		if a.digest() == b.digest() {
			t.Fatal("apart, the rosters agree")
		}
		plain := b.pingAlong("192.168.77.1", 10*time.Millisecond)
		bed.SetCarrier(bed.lan, true)
		agree(t, patience, nodes...)
		met := time.Now()
		until(t, "the LAN itself is back", patience, func() bool { return !plain.first().IsZero() })
		took = append(took, met.Sub(plain.first()))
		plain.stop()
		if a.peer(name).Key == "" || b.peer(name).Key == "" {
			t.Errorf("c is not %s for all", name)
		}
		c.reach("a.home.internal", patience)
	}
	slices.Sort(took)
	t.Logf("meeting again to the same roster on all three: median %v, of %v (budget 1 s)", took[len(took)/2], took)
}

// Apart, and no link of either's tells that they meet again: a switch between
// them was unplugged, for a moment or until all noticed.
func TestNetnsApartUnnoticed(t *testing.T) {
	_, nodes := members(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	b.reach("a.home.internal", patience)
	name := "c"
	for i, outage := range []time.Duration{time.Second, 3 * time.Second, 5 * time.Second, 0} {
		b.host.NFT(`table inet far {
			chain in { type filter hook input priority 0; iifname "lan" drop; }
			chain out { type filter hook output priority 0; oifname "lan" drop; }
		}`)
		next := "c" + string(rune('0'+i))
		a.kith("device", "rename", name, next)
		name = next
		if outage > 0 {
			<-time.After(outage)
		} else {
			until(t, "a notices that b is away", time.Minute, func() bool { return !a.peer("b").Online })
			until(t, "b notices that it is alone", time.Minute, func() bool { return !b.peer("a").Online && !b.peer("c").Online })
		}
		b.host.NFT("delete table inet far")
		took := agree(t, patience, nodes...)
		t.Logf("apart for %v (0: until noticed): the same roster %v after meeting again (budget 1 s)", outage, took)
		t.Logf("and the first ping by name: %v", b.reach(name+".home.internal", patience))
	}
	c.reach("b.home.internal", patience)
}

// user is what runs a command as a user without rights of its own.
func user(uid string) []string {
	return []string{"setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs"}
}

// as runs kith as such a user.
func (n *node) as(uid string, args ...string) answer {
	n.t.Helper()
	return n.exec("", append(append(user(uid), program(n.t, "kith"), "--socket", n.socket()), args...)...)
}

func TestNetnsOperator(t *testing.T) {
	const uid = "12345"
	_, a, b := pair(t)
	a.create("home")
	b.join(a)
	b.reach("a.home.internal", patience)

	may := func(when string, want int) {
		t.Helper()
		if got := a.as(uid, "invite"); got.code != want {
			t.Errorf("%s: kith invite: exit code %d, want %d: %s", when, got.code, want, got.err)
		}
		if got := a.as(uid, "ping", "b", "-c", "1"); got.code != want {
			t.Errorf("%s: kith ping: exit code %d, want %d: %s", when, got.code, want, got.err)
		}
		if got := a.as(uid, "peers"); got.code != 0 {
			t.Errorf("%s: kith peers: exit code %d: %s", when, got.code, got.err)
		}
		// Naming operators stays with the machine's owner.
		if got := a.as(uid, "operator", "add", "54321"); got.code != ipc.ExitPermission {
			t.Errorf("%s: kith operator add: exit code %d: %s", when, got.code, got.err)
		}
	}
	may("a stranger", ipc.ExitPermission)
	a.kith("operator", "add", uid)
	may("an operator", 0)
	a.term()
	a.start()
	may("an operator after a restart", 0)
	a.kith("operator", "remove", uid)
	may("no operator any more", ipc.ExitPermission)
}
