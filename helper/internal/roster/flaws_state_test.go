package roster

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
)

func TestCollectedSetFailsOpenOrLeavesAHole(t *testing.T) {
	l := family(t)
	l.put("alice", KeyPolicy, "alice's")
	first := l.put("carol", KeyPolicy, "carol's first")
	second := l.put("carol", KeyPolicy, "carol's second")
	v := l.set.View()
	if v.Class(first.ID) != ClassCollected || v.Class(second.ID) != ClassWanted {
		t.Fatalf("classes %v %v", v.Class(first.ID), v.Class(second.ID))
	}
	other := wantedOnly(t, l.set) // it never saw the first
	t.Run("a later one that is cut", func(t *testing.T) {
		cut := l.revoke("alice", "carol", first)
		l.value(KeyPolicy, "carol's first")
		if l.set.View().Class(first.ID) != ClassWanted {
			t.Fatal("a listed leaf is collected")
		}
		if v := feed(t, other, "n1", cut); v != Pending {
			t.Fatalf("a cut that lists what was collected is %v", v)
		}
		feed(t, other, "n1", first)
		if d := cmp.Diff(worldOf(l.set.View()), worldOf(other.View())); d != "" {
			t.Fatal(d)
		}
	})
	t.Run("one that a dead revocation lists stays for the closure", func(t *testing.T) {
		l := family(t)
		one := l.put("carol", KeyPolicy, "1")
		l.put("carol", KeyPolicy, "2")
		l.revoke("dave", "carol", one) // of an equal: live, without effect
		kept := l.admit("dave", "tv")
		prev := l.last["alice"]
		l.revoke("alice", "dave", kept)
		l.revoke("bob", "dave", l.set.Get(kept.Prev), l.last["erin"])
		l.revoke("root", "alice", prev)
		if d := cmp.Diff(worldOf(l.set.View()), worldOf(wantedOnly(t, l.set).View())); d != "" {
			t.Fatal(d)
		}
	})
	t.Run("another grant's is not collected", func(t *testing.T) {
		l := family(t)
		one := l.put("carol", KeyPolicy, "1")
		l.put("dave", KeyPolicy, "2")
		if c := l.set.View().Class(one.ID); c != ClassWanted {
			t.Fatal(c)
		}
	})
}

func TestBackdatedClaim(t *testing.T) {
	l := family(t)
	l.admit("alice", "nas") // by an owner
	l.admit("dave", "tv")
	prev := l.last["carol"]
	thief := func(name string) *Record {
		a := admission(name + " of the thief")
		a.Name = name
		return l.write("carol", nil, prev.Clock+1, a)
	}
	r := thief("nas")
	l.last["carol"] = prev
	thief("tv")
	v := l.set.View()
	if m := v.ByName("nas"); m == nil || m.Key != who("nas") {
		t.Fatal("a junior took an owner's device's name by an early clock")
	}
	if m := v.Member(who("nas of the thief")); m == nil || !m.Renamed || len(m.Name) != len("nas-")+4 || m.Name[:4] != "nas-" {
		t.Fatalf("the loser is %+v", m)
	}
	if m := v.ByName("tv"); m.Key != who("tv of the thief") {
		t.Fatal("among equals the lowest clock is first")
	}
	l.revoke("alice", "carol", prev)
	if m := l.set.View().ByName("tv"); m == nil || m.Key != who("tv") {
		t.Fatal("the cut did not give the name back")
	}
	_ = r
}

func TestClockAt2To53Minus1(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	v := h.set.View()
	w := h.as(carol).writer(v, v.grants[carol.pub()][0])
	start := w.head
	last := check[*Record](t)(w.writeBehind(start, MaxClock, &Setting{Key: KeyPolicy, Value: []byte("thief")}))
	if _, err := Sign(carol.key, h.set.Network(), start, MaxClock+1, &Setting{Key: KeyPolicy}); !errors.Is(err, ErrMalformed) {
		t.Fatalf("a clock past 2^53-1: %v", err)
	}
	for range 3 { // an honest author is not led to use up its own numbers
		r := check[*Record](t)(h.as(h.owner).SetPolicy([]byte("honest")))
		if r.Clock >= highClock {
			t.Fatalf("clock %d", r.Clock)
		}
	}
	if got := string(h.set.View().Policy); got != "thief" {
		t.Fatalf("policy %q", got)
	}
	check[*Removal](t)(h.as(h.owner).Remove(carol.pub(), RemoveOptions{Since: h.set.Arrival(last.ID).Add(-1)}))
	if got := string(h.set.View().Policy); got != "honest" {
		t.Fatalf("policy %q after the thief was cut", got)
	}
}

func TestUseCountInAPartitionAndARestoredSponsor(t *testing.T) {
	l := family(t)
	inv := l.invite("carol", "carol") // one use
	start := l.last["carol"]
	l.admitBy("carol", "one", inv)
	// The sponsor's backup is restored in another part of the network and
	// admits again: a fork. Neither the order nor the count matters.
	l.last["carol"] = start
	l.admitBy("carol", "two", inv)
	l.member("one", true)
	l.member("two", true)
	if f := l.set.View().Forks; len(f) != 1 || f[0].Author != who("carol") || len(f[0].Next) != 2 {
		t.Fatalf("forks %+v", f)
	}
}

func TestThiefsInviteAtAnHonestSponsor(t *testing.T) {
	l := family(t)
	l.admit("alice", "relay")
	l.grant("alice", "relay", SponsorGrant())
	before := l.last["carol"]
	inv := l.invite("carol", "") // carol's key is stolen by now
	l.admitBy("relay", "ghost", inv)
	l.member("ghost", true)
	l.revoke("alice", "carol", before)
	l.member("ghost", false)
	l.member("relay", true)
}

func TestStolenSponsor(t *testing.T) {
	l := family(t)
	l.admit("alice", "relay")
	l.grant("alice", "relay", SponsorGrant())
	mine, other, any := l.invite("carol", "relay"), l.invite("carol", "dave"), l.invite("carol", "")
	by := func(i *Record) *Admit {
		a := admission("ghost")
		a.Invite, a.InviteSig = i.ID, [64]byte{1}
		return a
	}
	l.refused("relay", nil, admission("ghost"))
	l.refused("relay", nil, by(other))
	l.refused("relay", nil, &Invite{Key: who("k"), Any: true, Expires: 1})
	l.refused("relay", nil, &Setting{Key: KeyPolicy, Value: []byte("x")})
	l.refused("relay", nil, revocation("carol"))
	l.write("relay", nil, 0, by(mine))
	l.write("relay", nil, 0, by(any))
	h := newHome(t)
	relay := h.admin(h.owner, "relay", SponsorGrant())
	ik := key.New()
	inv := check[*Record](t)(h.as(h.owner).Invite(InviteRequest{Key: ik.Public(), Uses: 0, Expires: h.clock.at.Add(time.Hour)}))
	ghost := newDevice()
	a := ghost.admission(h.set.Network(), "ghost")
	g := &Admit{
		Device: a.Device, WG: a.WG, Control: a.Control, N: 1, Pop: a.Pop, Name: "ghost", Invite: inv.ID,
		InviteSig: SignInvite(relay.key, inv.ID, a.Device, a.WG),
	}
	v := h.set.View()
	r := check[*Record](t)(Sign(relay.key, h.set.Network(), v.eval.nodes[v.grants[relay.pub()][0]].rec.ID, MaxClock, g))
	if got, err := h.set.Add(r.Raw, AddOptions{}); got != Unacceptable || !errors.Is(err, ErrSignature) {
		t.Fatalf("an admission without the invite's key: %v %v", got, err)
	}
}

func TestAcceptanceReadsBeyondItsReferences(t *testing.T) {
	// A record of a thief that is cut already is acceptable, and merely not
	// live: every replica gives one verdict, whatever it heard first.
	l := family(t)
	prev := l.last["carol"]
	other := wantedOnly(t, l.set)
	cut := l.revoke("alice", "carol", prev)
	late := l.write("carol", prev, 0, admission("ghost"))
	if v := feed(t, other, "n", late); v != Accepted {
		t.Fatal(v)
	}
	feed(t, other, "n", cut)
	for _, s := range []*Set{l.set, other} {
		if s.View().Member(who("ghost")) != nil || s.View().Class(late.ID) != ClassCut {
			t.Fatal("what came after the cut counts")
		}
	}
}

func TestUnknownTypeFreezesAll(t *testing.T) {
	l := family(t)
	newer := func(author key.Public, prev ID) []byte {
		payload, err := marshal(map[uint64]any{1: 2, 2: 9, 3: l.set.Network(), 4: author, 5: prev, 6: 5000, 7: map[uint64]any{}, 8: "pq"})
		if err != nil {
			t.Fatal(err)
		}
		return append(payload, make([]byte, 64)...)
	}
	before := worldOf(l.set.View())
	if v, err := l.set.Add(newer(who("carol"), l.last["carol"].ID), AddOptions{}); v != Unacceptable || !errors.Is(err, ErrNewer) {
		t.Fatalf("a newer type while format 1 is in force: %v %v", v, err)
	}
	two, _ := EncodeUint(2)
	l.refused("carol", nil, &Setting{Key: KeyFormat, Value: two})
	l.admit("alice", "tv")
	if l.set.View().UpgradeRequired {
		t.Fatal("frozen")
	}
	t.Run("a format that owners raised", func(t *testing.T) {
		l.admit("alice", "nas")
		l.set.View()
		raised := l.last["alice"]
		l.put("alice", KeyFormat, string(two))
		l.admit("alice", "later")
		l.revoke("alice", "tv")
		v := l.set.View()
		if !v.UpgradeRequired || v.Format != 2 || v.Member(who("nas")) == nil || v.Member(who("later")) != nil || v.Member(who("tv")) != nil {
			t.Fatalf("not the last view less the removals: %v", names(v))
		}
		if got, _ := l.set.Add(newer(who("x"), raised.ID), AddOptions{}); got != Newer {
			t.Fatalf("a newer type while a newer format is in force: %v", got)
		}
		a := NewAuthor(l.set, key.New(), time.Now)
		if _, err := a.SetPolicy(nil); !errors.Is(err, ErrUpgrade) {
			t.Fatalf("writes: %v", err)
		}
		l.revoke("root", "alice", raised) // a thief's raise is undone
		if v := l.set.View(); v.UpgradeRequired || v.Member(who("later")) != nil || v.Member(who("nas")) == nil {
			t.Fatal("still frozen")
		}
	})
	_ = before
}

func TestLeafAsPrev(t *testing.T) {
	l := family(t)
	leaf := l.put("carol", KeyPolicy, "x")
	l.refused("carol", leaf, admission("tv"))
	l.refused("carol", leaf, &Setting{Key: KeyPolicy})
	tv := l.admit("carol", "tv")
	left := l.leave("tv", tv)
	l.refused("tv", left, &Leave{})
	l.refused("nas", tv, &Leave{})
	l.refused("carol", nil, &Leave{})
}

func TestLeafKeptOnlyIfListed(t *testing.T) {
	l := family(t)
	a := l.put("carol", KeyPolicy, "x")
	tv := l.admit("carol", "tv")
	left := l.leave("tv", tv)
	nas := l.admit("carol", "nas")
	l.leave("nas", nas)
	head := l.admit("carol", "last")
	l.revoke("alice", "carol", head, left)
	l.value(KeyPolicy, "")
	l.member("tv", false) // its leave is listed
	l.member("nas", true) // its leave is not
	_ = a
}

func TestLeaveCountsAtRank4Alone(t *testing.T) {
	l := family(t)
	tv := l.admit("alice", "tv")
	l.leave("tv", tv)
	l.member("tv", false)
	l.grant("alice", "tv", SponsorGrant())
	l.member("tv", true)
}

func TestGoneClock(t *testing.T) {
	l := family(t)
	want := func(what string, clock uint64) {
		t.Helper()
		if got := l.set.View().GoneClock; got != clock {
			t.Fatalf("%s: %d, want %d", what, got, clock)
		}
	}
	want("nobody is gone", 0)
	tv := l.admit("alice", "tv")
	l.admit("alice", "nas")
	want("a leave", l.leave("tv", tv).Clock)
	removed := l.revoke("carol", "nas")
	want("a removal", removed.Clock)
	l.revoke("carol", "dave")
	l.revoke("carol", "alice")
	want("revocations of an equal and a senior", removed.Clock)
	l.revoke("alice", l.invite("alice", "carol"))
	want("an invite's end", removed.Clock)
	want("an admin that retires", l.revoke("erin", "erin", l.last["erin"]).Clock)
	car := l.admit("alice", "car")
	l.write("car", car, MaxClock, &Leave{})
	want("a clock that nobody follows", l.tick)
}
