package roster

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFloodLeavesNoRoomForItsOwnRevocation(t *testing.T) {
	l := family(t)
	l.set.quota = quotas{all: 60, reserved: 20, branch: 30, cut: 40}
	flood := func(by string) (n int) {
		for {
			l.tick++
			r, err := unsigned(who(by), l.set.Network(), l.last[by].ID, l.tick, admission(fmt.Sprint(by, n)))
			if err != nil {
				t.Fatal(err)
			}
			if v, err := l.set.AddRecord(r, AddOptions{Verified: true}); v != Accepted {
				if v != Full {
					t.Fatal(v, err)
				}
				return n
			}
			l.last[by] = r
			n++
		}
	}
	before := l.last["carol"]
	if n := flood("carol"); n != 30 {
		t.Fatalf("a depth-2 subtree took %d records", n)
	}
	flood("dave")
	if l.set.load.wanted != 60 {
		t.Fatalf("%d records wanted", l.set.load.wanted)
	}
	if _, v, _ := l.try("erin", nil, 0, admission("x")); v != Full {
		t.Fatal(v)
	}
	l.revoke("alice", "carol", before)
	l.member("carol0", false)
	l.write("erin", nil, 0, admission("x")) // what is cut leaves room
	t.Run("an owner's flood leaves room for the root", func(t *testing.T) {
		flood("bob")
		if _, v, _ := l.try("alice", nil, 0, admission("y")); v != Full {
			t.Fatal(v)
		}
		l.revoke("root", "bob")
		l.write("alice", nil, 0, admission("y"))
		l.member("bob0", false)
	})
}

func TestIDsNamedInAKeepPassTheQuota(t *testing.T) {
	l := family(t)
	small := wantedOnly(t, l.set)
	var chain []*Record
	for i := range 4 {
		chain = append(chain, l.admit("carol", fmt.Sprint("d", i)))
	}
	late := l.admit("carol", "late")
	cut := l.revoke("alice", "carol", chain[3])
	small.quota.branch = 1
	feed(t, small, "n", chain[0])
	if v := feed(t, small, "n", chain[1]); v != Full {
		t.Fatalf("over the quota: %v", v)
	}
	if v := feed(t, small, "n", cut); v != Pending {
		t.Fatal(v)
	}
	for _, c := range slices.Backward(chain[1:]) {
		feed(t, small, "n", c)
	}
	if v := feed(t, small, "n", late); v != Full {
		t.Fatalf("what no keep names: %v", v)
	}
	if small.View().Member(who("d3")) == nil || small.View().Member(who("carol")) != nil || len(small.pend.byID) != 0 {
		t.Fatal("the revocation is not in effect")
	}
	t.Run("a pending revocation without authority opens nothing", func(t *testing.T) {
		l := family(t)
		s := wantedOnly(t, l.set)
		a, b := l.admit("carol", "a"), l.admit("carol", "b")
		bad := l.revoke("carol", "tv", b)
		s.quota.branch = 0
		for _, r := range []*Record{bad, b, a} {
			feed(t, s, "n", r)
		}
		if s.Has(a.ID) {
			t.Fatal("it passed")
		}
	})
}

func TestPendingIsBoundedANeighbour(t *testing.T) {
	l := family(t)
	s := l.replica()
	other := l.admit("alice", "other")
	feed(t, s, "honest", other)
	var first, last *Record
	for i := range 90 {
		r := l.write("alice", nil, 0, &Setting{Key: ShareKey(fmt.Sprint("s", i)), Value: make([]byte, 3800)})
		feed(t, s, "thief", r)
		if last = r; first == nil {
			first = r
		}
	}
	if b := s.pend.bytes[who("thief")]; b > pendingBytes || b < pendingBytes-2*MaxRecord {
		t.Fatalf("%d bytes pending", b)
	}
	if s.pend.has(first.ID) || !s.pend.has(last.ID) || !s.pend.has(other.ID) {
		t.Fatal("not the oldest of the neighbour's own was dropped")
	}
	if v := feed(t, s, "thief", last); v != Duplicate {
		t.Fatal(v)
	}
	s.DropPending(who("thief"))
	if len(s.pend.byID) != 1 || len(s.pend.bytes) != 1 || len(s.pend.for_) != 1 {
		t.Fatalf("left behind: %d %d %d", len(s.pend.byID), len(s.pend.bytes), len(s.pend.for_))
	}
}

func TestPendingTurnsOutUnacceptable(t *testing.T) {
	l := family(t)
	s := l.replica()
	tv := l.admit("alice", "tv")
	bad, err := unsigned(who("tv"), l.set.Network(), tv.ID, 1<<40, admission("ghost"))
	if err != nil {
		t.Fatal(err)
	}
	feed(t, s, "thief", bad)
	for r := range l.set.All() {
		feed(t, s, "n", r)
	}
	var blamed []Settled
	for _, x := range s.Settled() {
		if x.Verdict == Unacceptable {
			blamed = append(blamed, x)
		}
	}
	if len(blamed) != 1 || blamed[0].Record != bad || blamed[0].From != who("thief") || !errors.Is(blamed[0].Err, ErrUnacceptable) {
		t.Fatalf("%+v", blamed)
	}
}

func TestReferencePrunedWhileARecordWaits(t *testing.T) {
	l := family(t)
	s := wantedOnly(t, l.set)
	before := l.last["alice"]
	one, two := l.admit("carol", "one"), l.admit("dave", "two")
	waits, err := unsigned(who("alice"), l.set.Network(), before.ID, 1<<40, revocation("erin", one, two))
	if err != nil {
		t.Fatal(err)
	}
	feed(t, s, "n", one, waits)
	s.Forget(one.ID)
	feed(t, s, "n", two)
	if s.Has(waits.ID) {
		t.Fatal("accepted without a reference")
	}
	if d := cmp.Diff([]ID{one.ID}, s.Missing()); d != "" {
		t.Fatal(d)
	}
	feed(t, s, "n", one)
	if !s.Has(waits.ID) {
		t.Fatal("not accepted with all references")
	}
}

func TestDroppedRecordsDiverge(t *testing.T) {
	l := family(t)
	kept := l.admit("carol", "tv")
	gone := l.admit("carol", "ghost")
	mine := l.put("alice", KeyPolicy, "x")
	l.put("alice", KeyPolicy, "y")
	cut := l.revoke("alice", "carol", kept)
	before := worldOf(l.set.View())
	sum := l.set.View().Digest().Sum
	now := l.set.Arrival(cut.ID)
	if ids := l.set.Prune(now.Add(KeepCut-time.Hour), who("alice")); ids != nil {
		t.Fatalf("pruned early: %v", ids)
	}
	if d := cmp.Diff([]ID{gone.ID}, l.set.Prune(now.Add(KeepCut+time.Hour), who("alice"))); d != "" {
		t.Fatal(d)
	}
	if !l.set.Has(mine.ID) || l.set.Has(gone.ID) || !l.set.Has(kept.ID) {
		t.Fatal("the wrong ones went")
	}
	if d := cmp.Diff(before, worldOf(l.set.View())); d != "" || l.set.View().Digest().Sum != sum {
		t.Fatalf("pruning changed the world: %s", d)
	}
	if v := feed(t, l.set, "n", gone); v != Accepted { // a neighbour that has it still
		t.Fatal(v)
	}
	if d := cmp.Diff(before, worldOf(l.set.View())); d != "" || l.set.View().Digest().Sum != sum {
		t.Fatalf("what was pruned changed the world: %s", d)
	}
}

func TestDigestWithChosenCollisions(t *testing.T) {
	a, b, c := ID{7, 1}, ID{7, 2}, ID{7, 4}
	var d ID
	for i := range d {
		d[i] = a[i] ^ b[i] ^ c[i]
	}
	one, two := []ID{a, b}, []ID{c, d}
	slices.SortFunc(two, compareID)
	x, y := makeDigest(one), makeDigest(two)
	if x.Buckets[7] == y.Buckets[7] || x.Sum == y.Sum {
		t.Fatal("sets with one XOR have one digest")
	}
	if x.Buckets[6] != y.Buckets[6] {
		t.Fatal("empty buckets differ")
	}
	l := family(t)
	n := 0
	for i := range 256 {
		for _, id := range l.set.View().Bucket(byte(i)) {
			if n++; id[0] != byte(i) || !l.set.Has(id) {
				t.Fatal(id)
			}
		}
	}
	if n != l.set.Len() {
		t.Fatalf("%d of %d IDs are in buckets", n, l.set.Len())
	}
}

func TestSendingOrder(t *testing.T) {
	c := newChaos(t, 5)
	for range 120 {
		c.step()
	}
	l := c.lab
	l.admit("alice", "tv")
	l.revoke("alice", "tv")
	v := l.set.View()
	sent := map[ID]bool{}
	lastRevoke, n, refs := 0, 0, map[ID]bool{}
	for r := range v.Wanted() {
		n++
		if r.Type != TypeGenesis {
			for _, id := range r.references() {
				if !sent[id] {
					t.Fatal("sent before its reference")
				}
			}
		}
		sent[r.ID] = true
		if r.Type == TypeRevoke {
			lastRevoke = n
			for todo := []*Record{r}; len(todo) > 0; todo = todo[1:] {
				if x := todo[0]; !refs[x.ID] {
					refs[x.ID] = true
					for _, id := range x.references() {
						if y := l.set.Get(id); y != nil {
							todo = append(todo, y)
						}
					}
				}
			}
		}
	}
	if lastRevoke != len(refs) {
		t.Fatalf("the last revocation was sent as number %d; %d records are revocations or their references", lastRevoke, len(refs))
	}
}

func TestForget(t *testing.T) {
	l := family(t)
	a := l.admit("carol", "a")
	b := l.admit("carol", "b")
	if kept := l.set.Forget(a.ID); len(kept) != 1 || !l.set.Has(a.ID) {
		t.Fatal("a record that another refers to is gone")
	}
	if kept := l.set.Forget(b.ID, a.ID, l.set.Genesis().ID); len(kept) != 1 || l.set.Has(a.ID) || l.set.Has(b.ID) {
		t.Fatal("not forgotten")
	}
	l.last["carol"] = l.set.Get(a.Prev)
	l.admit("carol", "c")
	compareOracle(t, l.set)
}

func TestCloneIsIndependent(t *testing.T) {
	l := family(t)
	c := l.set.Clone()
	l.admit("alice", "tv")
	if c.View().Member(who("tv")) != nil || c.Len() == l.set.Len() {
		t.Fatal("the copy follows")
	}
	l.set = c
	l.last["alice"] = c.Get(l.last["alice"].Prev)
	l.admit("alice", "nas")
	l.member("nas", true)
}
