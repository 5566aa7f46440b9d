package roster

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
)

func memberNames(list []*Member) (out []string) {
	for _, m := range list {
		out = append(out, m.Name)
	}
	return sorted(out)
}

// TestRemovingAnAdmin has an admin work honestly, its key stolen, and an owner
// remove it as of a time in between.
func TestRemovingAnAdmin(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	nas, tv, bad := h.admit(carol, "nas"), h.admit(h.owner, "tv"), h.admit(h.owner, "bad")
	phone := h.admit(carol, "phone")
	check[*Record](t)(h.as(carol).Rename(nas.pub(), "store"))
	check[*Record](t)(h.as(phone).Leave())
	check[*Removal](t)(h.as(carol).Remove(bad.pub(), RemoveOptions{}))
	stolen := h.clock.now()
	late := h.admit(carol, "late")
	check[*Removal](t)(h.as(carol).Remove(tv.pub(), RemoveOptions{}))
	check[*Record](t)(h.as(carol).SetPolicy([]byte("thief's")))
	h.want("carol", "laptop", "late", "store")

	a := h.as(h.owner)
	before := h.set.Len()
	plan := check[*Removal](t)(a.PlanRemove(carol.pub(), RemoveOptions{Since: stolen}))
	if h.set.Len() != before {
		t.Fatal("a plan wrote")
	}
	if d := cmp.Diff([]string{"late"}, memberNames(plan.Drops)); d != "" {
		t.Errorf("drops: %s", d)
	}
	if d := cmp.Diff([]string{"tv"}, memberNames(plan.Returns)); d != "" {
		t.Errorf("returns: %s", d)
	}
	if d := cmp.Diff([]string{KeyPolicy}, plan.Settings); d != "" {
		t.Errorf("settings: %s", d)
	}
	// First the removal that stands, in the owner's name, then the cut.
	if len(plan.Records) != 2 || plan.Records[0].Body.(*Revoke).Key != bad.pub() || plan.Records[1].Body.(*Revoke).Key != carol.pub() {
		t.Fatalf("records: %+v", plan.Records)
	}
	if err := a.Apply(plan); err != nil {
		t.Fatal(err)
	}
	h.want("laptop", "store", "tv")
	if h.set.View().Member(bad.pub()) != nil || h.set.View().Member(phone.pub()) != nil {
		t.Fatal("a removal or a leave that stood fell")
	}
	t.Run("a dropped device is admitted anew with its own proof", func(t *testing.T) {
		r := check[*Record](t)(h.as(h.owner).Readmit(late.pub()))
		if b := r.Body.(*Admit); b.Pop != SignPop(h.set.Network(), late.key, late.wg, late.control, 1) || !b.Invite.IsZero() {
			t.Fatalf("%+v", b)
		}
		h.want("laptop", "late", "store", "tv")
	})
	t.Run("with Readmit what Since drops stays out", func(t *testing.T) {
		h := newHome(t)
		carol := h.admin(h.owner, "carol", AdminGrant())
		h.admit(carol, "nas")
		since := h.clock.now()
		late := newDevice()
		a := late.admission(h.set.Network(), "late")
		check[*Record](t)(h.as(carol).Grant(late.pub(), Grant{Caps: CapSponsor, Tags: []string{"servers"}}))
		a.Tags = []string{"servers"}
		check[*Record](t)(h.as(carol).Admit(a))
		r := check[*Removal](t)(h.as(h.owner).Remove(carol.pub(), RemoveOptions{Since: since, Readmit: true}))
		h.want("laptop", "nas")
		if d := cmp.Diff([]string{"late"}, memberNames(r.Drops)); d != "" || len(r.Records) != 1 || r.Undone != 2 || r.Early != 0 {
			t.Fatalf("%s%+v", d, r)
		}
		b := check[*Record](t)(h.as(h.owner).Readmit(late.pub())).Body.(*Admit)
		h.want("laptop", "late", "nas")
		if len(b.Tags) > 0 || h.set.View().Role(late.pub()) != RolePlain {
			t.Fatalf("what the thief gave it came back: %+v", b)
		}
	})
	compareOracle(t, h.set)
}

func TestDemoting(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	h.admit(carol, "nas")
	r := check[*Removal](t)(h.as(h.owner).Remove(carol.pub(), RemoveOptions{GrantsOnly: true}))
	h.want("carol", "laptop", "nas")
	if m := h.set.View().ByName("carol"); m.Role != RolePlain || len(r.Drops) != 0 {
		t.Fatalf("%+v %+v", m, r)
	}
	if _, err := h.as(h.owner).Remove(carol.pub(), RemoveOptions{GrantsOnly: true}); !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	// Removed afterwards, what she did before stays kept.
	check[*Removal](t)(h.as(h.owner).Remove(carol.pub(), RemoveOptions{}))
	h.want("laptop", "nas")
}

func TestRemovingNeedsAuthorityAbove(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	dave := h.admin(h.owner, "dave", AdminGrant())
	tv := h.admit(h.owner, "tv")
	for name, c := range map[string]struct {
		by     device
		target device
		want   error
	}{
		"an equal":        {carol, dave, ErrNotPermitted},
		"a senior":        {carol, h.owner, ErrNotPermitted},
		"oneself":         {carol, carol, ErrNotPermitted},
		"by a plain one":  {tv, dave, ErrNotPermitted},
		"one who is none": {carol, newDevice(), ErrUnknown},
		"a plain one":     {carol, tv, nil},
	} {
		if _, err := h.as(c.by).Remove(c.target.pub(), RemoveOptions{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := h.as(h.owner).Admit(tv.admission(h.set.Network(), "tv")); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("admitting a removed device: %v", err)
	}
	if _, err := h.as(h.owner).Grant(tv.pub(), AdminGrant()); err != nil {
		t.Errorf("a senior's grant to what a junior removed: %v", err)
	}
}

func TestMoreLeavesThanARevocationCanName(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	v := h.set.View()
	w := h.as(carol).writer(v, v.grants[carol.pub()][0])
	for i := range uint64(MaxKeep + 50) {
		k := ShareKey("s" + ID{byte(i >> 8), byte(i)}.Short())
		check[*Record](t)(w.write(&Setting{Key: k, Value: []byte("x")}))
	}
	r := check[*Removal](t)(h.as(h.owner).Remove(carol.pub(), RemoveOptions{}))
	n := 0
	for range h.set.View().Values("share/") {
		n++
	}
	if len(r.Settings) != 0 || n != MaxKeep+50 {
		t.Fatalf("%d of %d settings stay; said to change: %d", n, MaxKeep+50, len(r.Settings))
	}
	if _, err := h.as(carol).Retire(); !errors.Is(err, ErrNotPermitted) {
		t.Fatal(err)
	}
}

func TestRetire(t *testing.T) {
	h := newHome(t)
	bob := h.admin(h.owner, "bob", AdminGrant())
	h.admit(bob, "nas")
	check[*Record](t)(h.byRoot().Grant(bob.pub(), OwnerGrant()))
	if _, err := h.as(bob).Leave(); !errors.Is(err, ErrNotPermitted) {
		t.Fatalf("an owner left as a plain device: %v", err)
	}
	tv := h.admit(bob, "tv")
	check[*Record](t)(h.as(bob).Rename(tv.pub(), "telly"))
	before := worldOf(h.set.View())
	recs := check[[]*Record](t)(h.as(bob).Retire())
	if len(recs) != 2 {
		t.Fatalf("%d records for two grants", len(recs))
	}
	for _, r := range recs {
		if !h.set.View().Live(r.ID) {
			t.Fatal("one self-revocation cuts the other")
		}
	}
	h.want("laptop", "nas", "telly")
	after := worldOf(h.set.View())
	if d := cmp.Diff(before.Members["telly"], after.Members["telly"]); d != "" {
		t.Fatal(d)
	}
	if _, err := h.as(bob).SetPolicy(nil); !errors.Is(err, ErrNotPermitted) {
		t.Fatal(err)
	}
	compareOracle(t, h.set)
}

func TestRecover(t *testing.T) {
	h := newHome(t)
	nas := h.admit(h.owner, "nas")
	lost := h.clock.now()
	// Whoever found the laptop admits a ghost, removes the nas and locks all out.
	ghost := h.admin(h.owner, "ghost", AdminGrant())
	check[*Removal](t)(h.as(h.owner).Remove(nas.pub(), RemoveOptions{}))
	h.want("ghost", "laptop")

	root := check[*Set](t)(NewSet(h.set.Genesis().Raw))
	for r := range h.set.View().Wanted() {
		root.AddRecord(r, AddOptions{Verified: true, At: h.set.Arrival(r.ID)})
	}
	h.set = root
	byRoot := NewAuthor(h.set, check[key.Private](t)(ParsePhrase(Phrase(h.root))), h.clock.now)
	phone := newDevice()
	a := phone.admission(h.set.Network(), "phone")
	r := check[*Removal](t)(byRoot.Recover(Recovery{Owner: phone.pub(), Admit: &a, Remove: []key.Public{h.owner.pub()}, Since: lost}))
	h.want("nas", "phone")
	if d := cmp.Diff([]string{"ghost"}, memberNames(r.Drops)); d != "" {
		t.Fatal(d)
	}
	if m := h.set.View().ByName("phone"); m.Role != RoleOwner || m.Rank != 1 {
		t.Fatalf("%+v", m)
	}
	if _, err := h.as(ghost).SetPolicy(nil); !errors.Is(err, ErrNotPermitted) {
		t.Fatal(err)
	}
	if _, err := h.as(phone).Recover(Recovery{Owner: nas.pub()}); !errors.Is(err, ErrNotPermitted) {
		t.Fatal(err)
	}
	t.Run("to a device that is a member already", func(t *testing.T) {
		h := newHome(t)
		since := h.clock.now()
		nas := h.admit(h.owner, "nas")
		check[*Removal](t)(h.byRoot().Recover(Recovery{Owner: nas.pub(), Remove: []key.Public{h.owner.pub()}, Since: since}))
		h.want("nas")
		if h.set.View().Role(nas.pub()) != RoleOwner {
			t.Fatal("no owner")
		}
	})
}

func TestWritersRefuseEarly(t *testing.T) {
	h := newHome(t)
	a := h.as(h.owner)
	for i := range MaxInvites {
		k := ID{byte(i), byte(i >> 8), 1}
		check[*Record](t)(a.Invite(InviteRequest{Key: key.Public(k), Expires: h.clock.at.Add(time.Hour)}))
	}
	if _, err := a.Invite(InviteRequest{Key: key.Public{1}, Expires: h.clock.at.Add(time.Hour)}); !errors.Is(err, ErrTooMany) {
		t.Fatal(err)
	}
	h.clock.at = h.clock.at.Add(2 * time.Hour) // they have expired
	check[*Record](t)(a.Invite(InviteRequest{Key: key.Public{1}, Expires: h.clock.at.Add(time.Hour)}))
	for i := len(h.set.View().Admins()); i < MaxAdmins; i++ {
		check[*Record](t)(a.Grant(key.Public{byte(i), 2}, SponsorGrant()))
	}
	if _, err := a.Grant(key.Public{99, 99}, SponsorGrant()); !errors.Is(err, ErrTooMany) {
		t.Fatal(err)
	}
	if _, err := a.RaiseFormat(1); err == nil {
		t.Fatal("the format in force was set again")
	}
}

func TestFoundAvoidsLocalPrefixes(t *testing.T) {
	half := netip.MustParsePrefix("100.64.0.0/11")
	for range 5 {
		s, _, err := Found(Founding{Name: "home", Device: newDevice().key, WG: exchange("a"), Control: exchange("b"), DeviceName: "x", Avoid: []netip.Prefix{half}, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if r := Range4(s.Network()); r.Overlaps(half) {
			t.Fatalf("%v meets %v", r, half)
		}
		if got := s.Settled(); len(got) != 3 || got[0].Record.Type != TypeGenesis {
			t.Fatalf("%d records to store", len(got))
		}
	}
	all := []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}
	if _, _, err := Found(Founding{Name: "home", Device: newDevice().key, WG: exchange("a"), Control: exchange("b"), DeviceName: "x", Avoid: all, Now: time.Now}); err != nil {
		t.Fatalf("with no range free IPv6 is left: %v", err)
	}
	if _, _, err := Found(Founding{Name: "google", Device: newDevice().key, WG: exchange("a"), Control: exchange("b"), DeviceName: "x", Now: time.Now}); !errors.Is(err, ErrName) {
		t.Fatal(err)
	}
}
