package roster

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
)

// undo has the owner remove a device with all that it did since a time.
func (h *home) undo(target device, since time.Time) *Removal {
	h.t.Helper()
	return check[*Removal](h.t)(h.as(h.owner).Remove(target.pub(), RemoveOptions{Since: since, Readmit: true}))
}

// copied is the set as another member holds it who joined at a time.
func copied(t *testing.T, s *Set, at time.Time) *Set {
	t.Helper()
	c := check[*Set](t)(NewSet(s.Genesis().Raw))
	for r := range s.View().Wanted() {
		c.AddRecord(r, AddOptions{Verified: true, At: at})
	}
	return c
}

// TestSinceUndoesExactly has a thief outdo what the admin did in person: the
// world is again what it was.
func TestSinceUndoesExactly(t *testing.T) {
	for name, theft := range map[string]func(t *testing.T, h *home, carol device, nas device){
		"the admin's own settings outdone": func(t *testing.T, h *home, carol, nas device) {
			check[*Record](t)(h.as(carol).SetPolicy([]byte("thief's")))
			check[*Record](t)(h.as(carol).Rename(nas.pub(), "pwned"))
		},
		"its authority given up": func(t *testing.T, h *home, carol, _ device) {
			v := h.set.View()
			w := h.as(carol).writer(v, v.grants[carol.pub()][0])
			check[*Record](t)(w.writeBehind(v.eval.nodes[w.grant].rec.ID, w.clock+1, &Revoke{Key: carol.pub()}))
			if h.set.View().ByName("nas") != nil {
				t.Fatal("the thief has not cut what it was to cut")
			}
		},
		"what it had admitted removed": func(t *testing.T, h *home, carol, nas device) {
			check[*Removal](t)(h.as(carol).Remove(nas.pub(), RemoveOptions{}))
		},
		"devices, admins and invites": func(t *testing.T, h *home, carol, _ device) {
			h.admit(carol, "ghost")
			check[*Record](t)(h.as(carol).Invite(InviteRequest{Key: key.Public{9}, Expires: h.clock.at.Add(time.Hour)}))
			h.admin(carol, "league", SponsorGrant())
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			carol := h.admin(h.owner, "carol", AdminGrant())
			nas := h.admit(carol, "nas")
			check[*Record](t)(h.as(carol).Rename(nas.pub(), "store"))
			check[*Record](t)(h.as(carol).SetPolicy([]byte("honest")))
			since := h.clock.now()
			without := copied(t, h.set, since)
			theft(t, h, carol, nas)
			joined := copied(t, h.set, h.clock.now()) // holds nothing of what was outdone
			h.undo(carol, since)
			check[*Removal](t)(NewAuthor(without, h.owner.key, h.clock.now).Remove(carol.pub(), RemoveOptions{}))
			want := worldOf(without.View())
			if d := cmp.Diff(want, worldOf(h.set.View())); d != "" {
				t.Fatalf("(-without the thief +undone):\n%s", d)
			}
			if p := string(h.set.View().Policy); p != "honest" || h.set.View().ByName("store") == nil {
				t.Fatalf("the policy is %q, members are %v", p, h.names())
			}
			gossip(t, []*Set{h.set, joined})
			if d := cmp.Diff(want, worldOf(joined.View())); d != "" {
				t.Fatalf("at another (-without the thief +undone):\n%s", d)
			}
			compareOracle(t, h.set)
		})
	}
}

// TestSinceWithLateNews: what the admin did before but this device heard of
// later falls, and the plan says how much; a device's own leave stands.
func TestSinceWithLateNews(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	nas, phone := h.admit(carol, "nas"), h.admit(carol, "phone")
	away := copied(t, h.set, h.clock.now()) // carol's, on the other side of a partition
	there := &home{t: t, set: away, clock: h.clock, owner: h.owner}
	late := there.admit(carol, "late")
	check[*Record](t)(there.as(carol).SetPolicy([]byte("before")))
	since := h.clock.now()
	check[*Record](t)(there.as(carol).Rename(nas.pub(), "pwned"))
	for r := range away.View().Wanted() { // the partition ends
		h.set.AddRecord(r, AddOptions{Verified: true, At: h.clock.now()})
	}
	check[*Record](t)(h.as(phone).Leave())
	h.want("carol", "laptop", "late", "pwned")
	plan := check[*Removal](t)(h.as(h.owner).PlanRemove(carol.pub(), RemoveOptions{Since: since, Readmit: true}))
	if d := cmp.Diff([]string{"late"}, memberNames(plan.Drops)); d != "" || plan.Undone != 3 || plan.Early != 2 {
		t.Fatalf("%s%d undone, %d of them early", d, plan.Undone, plan.Early)
	}
	if err := h.as(h.owner).Apply(plan); err != nil {
		t.Fatal(err)
	}
	h.want("laptop", "nas")
	check[*Record](t)(h.as(h.owner).Readmit(late.pub()))
	h.want("laptop", "late", "nas")
}

// TestSinceBeforeTheAdmin: before it was one nothing is to be kept. Who removes
// it stays, whoever had let it in.
func TestSinceBeforeTheAdmin(t *testing.T) {
	h := newHome(t)
	early := h.clock.now()
	carol := h.admin(h.owner, "carol", AdminGrant())
	h.admit(carol, "nas")
	desk := h.admit(carol, "desk")
	check[*Record](t)(h.byRoot().Grant(desk.pub(), OwnerGrant()))
	r := check[*Removal](t)(h.as(desk).Remove(carol.pub(), RemoveOptions{Since: early, Readmit: true}))
	h.want("desk", "laptop")
	if d := cmp.Diff([]string{"nas"}, memberNames(r.Drops)); d != "" || h.set.View().Role(desk.pub()) != RoleOwner {
		t.Fatalf("%s%+v", d, r)
	}
}

// TestSinceAfterAPlainRemoval: who removed the device in haste can still undo
// what it had done.
func TestSinceAfterAPlainRemoval(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	h.admit(carol, "nas")
	check[*Record](t)(h.as(carol).SetPolicy([]byte("honest")))
	check[*Record](t)(h.as(carol).Rename(h.set.View().ByName("nas").Key, "store"))
	since := h.clock.now()
	h.admit(carol, "ghost")
	check[*Record](t)(h.as(carol).SetPolicy([]byte("thief's")))
	late := h.clock.now()
	check[*Record](t)(h.as(carol).SetPolicy([]byte("thief's again")))
	check[*Removal](t)(h.as(h.owner).Remove(carol.pub(), RemoveOptions{}))
	h.want("ghost", "laptop", "store")
	r := h.undo(carol, since)
	h.want("laptop", "store")
	if d := cmp.Diff([]string{KeyPolicy}, r.Settings); d != "" {
		t.Fatal(d)
	}
	policy := func(want string) {
		t.Helper()
		if p := string(h.set.View().Policy); p != want {
			t.Fatalf("the policy is %q, not %q", p, want)
		}
	}
	policy("honest")
	// A later time brings nothing back of what the earlier one undid.
	if r := h.undo(carol, late); len(r.Settings)+len(r.Returns) > 0 {
		t.Fatalf("%+v", r)
	}
	policy("honest")
	// What its owner has set meanwhile stays.
	check[*Record](t)(h.as(h.owner).SetPolicy([]byte("owner's")))
	h.undo(carol, since)
	policy("owner's")
	compareOracle(t, h.set)
}

// TestRecoverFromThieves: several cut at once do not spoil what each other had
// done before, in whichever order they are named.
func TestRecoverFromThieves(t *testing.T) {
	for _, swap := range []bool{false, true} {
		h := newHome(t)
		carol := h.admin(h.owner, "carol", AdminGrant())
		nas := h.admit(carol, "nas")
		phone := h.admit(h.owner, "phone")
		check[*Record](t)(h.as(carol).SetPolicy([]byte("honest")))
		since := h.clock.now()
		v := h.set.View()
		check[*Record](t)(h.as(h.owner).writer(v, v.grants[h.owner.pub()][0]).write(&Revoke{Key: carol.pub()}))
		h.admit(h.owner, "ghost")
		h.want("ghost", "laptop", "phone")
		cut := []key.Public{h.owner.pub(), carol.pub()}
		if swap {
			cut[0], cut[1] = cut[1], cut[0]
		}
		r := check[*Removal](t)(h.byRoot().Recover(Recovery{Owner: phone.pub(), Remove: cut, Since: since}))
		h.want("nas", "phone")
		if p := string(h.set.View().Policy); p != "honest" || h.set.View().Member(nas.pub()) == nil {
			t.Fatalf("the policy is %q", p)
		}
		if d := cmp.Diff([]string{"ghost"}, memberNames(r.Drops)); d != "" {
			t.Fatal(d)
		}
		compareOracle(t, h.set)
	}
}
