package roster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// These tests are named after the flaws that an obvious reading of the rules has.

func TestUnsolicitedGrantMakesAnAncestor(t *testing.T) {
	l := family(t)
	l.grant("carol", "alice", Grant{Caps: CapAdmit})
	l.revoke("carol", "alice")
	l.revoke("bob", "carol") // with all that she granted
	l.rank("alice", 1)
	l.member("alice", true)
	l.admit("alice", "tv")
	l.member("tv", true)
}

func TestResurrectionByGrant(t *testing.T) {
	l := family(t)
	l.revoke("alice", "carol", l.last["carol"])
	l.member("carol", false)
	t.Run("by an equal of the revoker below it", func(t *testing.T) {
		g := l.grant("bob", "carol", AdminGrant())
		l.rank("carol", 4)
		l.member("carol", false)
		l.write("carol", g, 0, admission("ghost"))
		l.member("ghost", false)
	})
	t.Run("by a junior", func(t *testing.T) {
		l.grant("dave", "carol", Grant{Caps: CapAdmit})
		l.rank("carol", 4)
		l.member("carol", false)
	})
	t.Run("by a senior it is meant", func(t *testing.T) {
		l.grant("root", "carol", OwnerGrant())
		l.rank("carol", 1)
		l.member("carol", true)
	})
}

func TestRevokerIsRevoked(t *testing.T) {
	l := family(t)
	tv := l.admit("dave", "tv")
	before := l.last["carol"]
	r := l.revoke("carol", "tv")
	l.member("tv", false)
	t.Run("its removal falls if it is not kept", func(t *testing.T) {
		cut := l.revoke("alice", "carol", before)
		l.member("tv", true)
		if l.set.View().Class(r.ID) != ClassCut {
			t.Fatal("the removal is still wanted")
		}
		_, _ = cut, tv
	})
}

func TestRevokerIsRevokedButItsRemovalKept(t *testing.T) {
	l := family(t)
	l.admit("dave", "tv")
	r := l.revoke("carol", "tv")
	l.revoke("alice", "carol", r)
	l.member("tv", false)
}

func TestMissingKeepHeadFailsOpen(t *testing.T) {
	l := family(t)
	start := l.set.View()
	head := l.admit("carol", "tv")
	late := l.admit("carol", "ghost")
	cut := l.revoke("alice", "carol", head)
	other := l.replica()
	for r := range start.Wanted() {
		if r.ID != l.set.Genesis().ID {
			feed(t, other, "n1", r)
		}
	}
	if v := feed(t, other, "n1", cut); v != Pending {
		t.Fatalf("a revocation without its keep head is %v", v)
	}
	if d := cmp.Diff([]ID{head.ID}, other.Missing()); d != "" {
		t.Fatal(d)
	}
	feed(t, other, "n2", head) // a withheld closure supplied by another neighbour
	feed(t, other, "n1", late)
	if d := cmp.Diff(worldOf(l.set.View()), worldOf(other.View())); d != "" {
		t.Fatal(d)
	}
}

func TestWithheldClosureSuppliedByAnotherNeighbour(t *testing.T) {
	l := family(t)
	a := l.admit("carol", "tv")
	b := l.admit("carol", "nas")
	c := l.put("carol", KeyPolicy, "p")
	other := l.replica()
	var rest []*Record
	for r := range l.set.All() {
		if r != a && r != b && r != c && r.Type != TypeGenesis {
			rest = append(rest, r)
		}
	}
	feed(t, other, "n1", c, b)
	feed(t, other, "n1", rest...)
	if got := other.View(); got.Member(who("nas")) != nil || len(other.Missing()) != 1 {
		t.Fatal("records without their closure count")
	}
	feed(t, other, "n2", a)
	if l.set.View().Digest().Sum != other.View().Digest().Sum {
		t.Fatal("the digests differ")
	}
	froms := map[string]bool{}
	for _, s := range other.Settled() {
		froms[s.Record.ID.Short()+s.From.Short()] = true
	}
	if !froms[b.ID.Short()+who("n1").Short()] {
		t.Fatal("a record that was pending is not reported with the neighbour that sent it")
	}
}

func TestExpiryInTheMiddleOfAChain(t *testing.T) {
	// Nothing in the evaluation reads a clock: an expired admission or invite
	// holds up neither the chain behind it nor itself.
	l := family(t)
	inv := &Invite{Key: who("i"), Sponsor: who("carol"), Uses: 1, Expires: 1}
	i := l.write("carol", nil, 0, inv)
	a := admission("tv")
	a.Expires, a.Invite, a.InviteSig = 2, i.ID, [64]byte{1}
	l.write("carol", nil, 0, a)
	l.admit("carol", "nas")
	l.member("nas", true)
	if m := l.set.View().Member(who("tv")); m == nil || !m.Expires.Equal(Time(2)) {
		t.Fatalf("%+v", m)
	}
}

func TestSelfRevocationAndItsForks(t *testing.T) {
	l := family(t)
	g := l.last["carol"] // her grant
	tv := l.admit("carol", "tv")
	name := l.put("carol", DevKey(who("tv"), FieldName), "telly")
	dropped := l.put("carol", KeyPolicy, "p")
	s1 := l.revoke("carol", "carol", name)
	l.member("carol", false)
	l.member("tv", true)
	l.value(DevKey(who("tv"), FieldName), "telly")
	l.value(KeyPolicy, "") // a leaf that is not listed
	l.rank("carol", 4)

	// A thief with her key forks from before and goes on.
	ghost := l.write("carol", g, 0, admission("ghost"))
	l.member("ghost", false)
	// Its own self-revocation, on the fork, cannot drop hers or bring her back.
	s2 := l.write("carol", ghost, 0, revocation("carol", ghost))
	l.member("ghost", false)
	l.member("tv", false) // each is held to what the other names
	l.member("carol", false)
	v := l.set.View()
	for _, r := range []*Record{s1, s2} {
		if !v.Live(r.ID) || v.Class(r.ID) != ClassWanted {
			t.Fatalf("self-cut %s is not in effect", r.ID.Short())
		}
	}
	if v.Live(dropped.ID) || v.Live(tv.ID) {
		t.Fatal("records that a self-cut does not name are live")
	}
	if d := cmp.Diff(worldOf(v), worldOf(wantedOnly(t, l.set).View())); d != "" {
		t.Fatal(d)
	}
}

func TestEqualsAndJuniorsRevoke(t *testing.T) {
	for _, c := range []struct{ name, by, target string }{
		{"equal owner", "alice", "bob"},
		{"equal admin", "carol", "dave"},
		{"equal admin of another owner", "erin", "carol"},
		{"senior", "carol", "alice"},
		{"senior of another branch", "carol", "bob"},
		{"the root", "alice", "root"},
		{"the root by a junior", "carol", "root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := family(t)
			l.admit(c.target, "tv")
			before := worldOf(l.set.View())
			l.revoke(c.by, c.target)
			if d := cmp.Diff(before, worldOf(l.set.View())); d != "" {
				t.Fatal(d)
			}
		})
	}
	t.Run("a grant of an equal and of a senior", func(t *testing.T) {
		l := family(t)
		g := l.grant("alice", "frank", AdminGrant())
		l.admit("alice", "frank")
		before := worldOf(l.set.View())
		l.revoke("carol", g)
		for r := range l.set.All() {
			if b, ok := r.Body.(*Grant); ok && b.Subject == who("bob") {
				l.revoke("alice", r)
				l.revoke("carol", r)
				break
			}
		}
		if d := cmp.Diff(before, worldOf(l.set.View())); d != "" {
			t.Fatal(d)
		}
	})
	t.Run("the invite of a senior device", func(t *testing.T) {
		l := family(t)
		inv := l.invite("alice", "alice")
		l.admitBy("alice", "gina", inv)
		l.grant("root", "gina", OwnerGrant())
		plain := l.admitBy("alice", "tv", inv)
		l.revoke("carol", inv)
		l.member("gina", true)
		l.member("tv", false)
		if x, _ := l.set.View().Explain(plain.ID); x.Valid {
			t.Fatal(x.Why)
		}
	})
	t.Run("the root by itself is unacceptable", func(t *testing.T) {
		l := family(t)
		l.refused("root", nil, revocation("root"))
	})
}

func TestTwoCuttersWithDifferentKeeps(t *testing.T) {
	l := family(t)
	a := l.admit("carol", "one")
	b := l.admit("carol", "two")
	c := l.admit("carol", "three")
	l.revoke("alice", "carol", b)
	l.member("two", true)
	l.member("three", false)
	cut := l.revoke("bob", "carol", a)
	l.member("one", true)
	l.member("two", false)
	t.Run("a cut undone", func(t *testing.T) {
		// Bob's grant is cut back to before his cut: Alice's alone holds.
		l.revoke("root", "bob", l.set.Get(cut.Prev))
		l.member("two", true)
		l.member("three", false)
		if cl := l.set.View().Class(c.ID); cl != ClassCut {
			t.Fatal(cl)
		}
	})
	if d := cmp.Diff(worldOf(l.set.View()), worldOf(wantedOnly(t, l.set).View())); d != "" {
		t.Fatal(d)
	}
}

func TestCutUndoneMakesWantedAgain(t *testing.T) {
	l := family(t)
	tv := l.admit("carol", "tv")
	prev := l.last["bob"]
	l.revoke("bob", "carol")
	if l.set.View().Class(tv.ID) != ClassCut {
		t.Fatal("not cut")
	}
	l.revoke("root", "bob", prev)
	if l.set.View().Class(tv.ID) != ClassWanted {
		t.Fatal("not wanted again")
	}
	l.member("tv", true)
	l.member("carol", true)
}

// wantedOnly is a replica that got what is wanted, and nothing else.
func wantedOnly(t testing.TB, s *Set) *Set {
	t.Helper()
	out := newSet(s.Genesis())
	for r := range s.View().Wanted() {
		if r.Type == TypeGenesis {
			continue
		}
		if v, err := out.AddRecord(r, AddOptions{Verified: true}); v != Accepted {
			t.Fatalf("a wanted %s is %v: %v", r.Type, v, err)
		}
	}
	return out
}
