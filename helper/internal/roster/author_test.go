package roster

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
)

// clock is a wall clock that tests move.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { c.at = c.at.Add(time.Second); return c.at }

// device is a device's keys in a test.
type device struct {
	key     key.Private
	wg      key.Exchange
	control key.Exchange
}

func newDevice() device {
	return device{key.New(), key.NewExchange().Public(), key.NewExchange().Public()}
}

func (d device) pub() key.Public { return d.key.Public() }

func (d device) admission(network ID, name string) Admission {
	return Admission{
		Device: d.pub(), WG: d.wg, Control: d.control, N: 1, Name: name,
		Pop: SignPop(network, d.key, d.wg, d.control, 1),
	}
}

// home is a founded network.
type home struct {
	t     *testing.T
	clock *clock
	set   *Set
	root  key.Private
	owner device
}

func newHome(t *testing.T) *home {
	t.Helper()
	h := &home{t: t, clock: newClock(), owner: newDevice()}
	var err error
	h.set, h.root, err = Found(Founding{
		Name: "home", Device: h.owner.key, WG: h.owner.wg, Control: h.owner.control, DeviceName: "laptop", Now: h.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *home) as(d device) *Author { return NewAuthor(h.set, d.key, h.clock.now) }

func (h *home) byRoot() *Author { return NewAuthor(h.set, h.root, h.clock.now) }

// admit has by admit a fresh device.
func (h *home) admit(by device, name string) device {
	h.t.Helper()
	d := newDevice()
	if _, err := h.as(by).Admit(d.admission(h.set.Network(), name)); err != nil {
		h.t.Fatal(err)
	}
	return d
}

// admin has by admit a fresh device and grant it g.
func (h *home) admin(by device, name string, g Grant) device {
	h.t.Helper()
	d := h.admit(by, name)
	if _, err := h.as(by).Grant(d.pub(), g); err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *home) names() []string { return names(h.set.View()) }

func names(v *View) (out []string) {
	for _, m := range v.Members {
		out = append(out, m.Name)
	}
	return sorted(out)
}

func (h *home) want(names ...string) {
	h.t.Helper()
	if d := cmp.Diff(sorted(names), h.names()); d != "" {
		h.t.Fatalf("members (-want +got):\n%s", d)
	}
}

func check[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestFoundInviteAdmitRemove(t *testing.T) {
	h := newHome(t)
	v := h.set.View()
	me := v.ByName("laptop")
	if me == nil || me.Role != RoleOwner || me.Rank != 1 || v.ByAddr(me.IPv4) != me || v.ByAddr(me.IPv6) != me || v.Member(me.Key) != me {
		t.Fatalf("the founder is %+v", me)
	}
	ik := key.New()
	inv := check[*Record](t)(h.as(h.owner).Invite(InviteRequest{
		Key: ik.Public(), Sponsor: h.owner.pub(), Uses: 1, Expires: h.clock.at.Add(time.Hour), Tags: []string{"phone"},
	}))
	d := newDevice()
	a := d.admission(h.set.Network(), "laptop")
	a.Invite, a.Tags = inv.ID, []string{"phone"}
	a.InviteSig = SignInvite(key.New(), inv.ID, d.pub(), d.wg)
	if _, err := h.as(h.owner).Admit(a); !errors.Is(err, ErrSignature) {
		t.Fatalf("an invite signed by another key: %v", err)
	}
	a.InviteSig = SignInvite(ik, inv.ID, d.pub(), d.wg)
	check[*Record](t)(h.as(h.owner).Admit(a))
	h.want("laptop", "laptop-2")
	if _, err := h.as(d).Set(DevKey(d.pub(), FieldName), []byte("x")); !errors.Is(err, ErrNotPermitted) {
		t.Fatalf("a plain device renamed itself: %v", err)
	}
	check[*Record](t)(h.as(h.owner).Rename(d.pub(), "phone"))
	check[*Record](t)(h.as(h.owner).ApproveRoutes(d.pub(), []netip.Prefix{netip.MustParsePrefix("192.168.7.9/24")}))
	m := h.set.View().ByName("phone")
	if m == nil || len(m.Routes) != 1 || m.Routes[0].String() != "192.168.7.0/24" || m.Tags[0] != "phone" {
		t.Fatalf("renamed and approved: %+v", m)
	}
	if _, err := h.as(h.owner).Remove(d.pub(), RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	h.want("laptop")
	if by := h.set.View().RemovedBy(d.pub()); by == nil || by.Author != h.owner.pub() {
		t.Fatalf("removed by %v", by)
	}
	e := h.admit(h.owner, "tv")
	check[*Record](t)(h.as(e).Leave())
	h.want("laptop")
}

func TestReplicaAgrees(t *testing.T) {
	h := newHome(t)
	a := h.admin(h.owner, "nas", AdminGrant())
	h.admit(a, "tv")
	check[*Record](t)(h.as(a).Set(KeyPolicy, []byte("{}")))
	other := check[*Set](t)(NewSet(h.set.Genesis().Raw))
	for r := range h.set.View().Wanted() {
		if v, err := other.Add(r.Raw, AddOptions{}); v != Accepted && v != Duplicate {
			t.Fatal(v, err)
		}
	}
	if h.set.View().Digest().Sum != other.View().Digest().Sum {
		t.Fatal("the digests differ")
	}
	if d := cmp.Diff(names(h.set.View()), names(other.View())); d != "" {
		t.Fatal(d)
	}
}

func TestAdmittingAnew(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	tv := h.admit(h.owner, "tv")
	a := tv.admission(h.set.Network(), "")
	if _, err := h.as(carol).Admit(a); !errors.Is(err, ErrNotPermitted) {
		t.Fatalf("a junior's admission without effect: %v", err)
	}
	ip := h.set.View().ByName("tv").IPv4
	tv.wg, a.N = key.NewExchange().Public(), 2
	a.WG, a.Pop = tv.wg, SignPop(h.set.Network(), tv.key, tv.wg, tv.control, 2)
	check[*Record](t)(h.as(carol).Admit(a)) // a key rollover is the device's own
	if m := h.set.View().ByName("tv"); m == nil || m.WG != tv.wg || m.N != 2 || m.IPv4 != ip {
		t.Fatalf("%+v", m)
	}
	a.Expires = h.clock.at.Add(time.Hour)
	check[*Record](t)(h.as(h.owner).Admit(a))
	m := h.set.View().ByName("tv")
	if !m.Expires.Equal(a.Expires.Truncate(time.Millisecond)) || m.IPv4 != ip {
		t.Fatalf("%+v", m)
	}
	if Expired(m.Expires, m.Expires.Add(ClockSlack)) || !Expired(m.Expires, m.Expires.Add(ClockSlack+1)) || Expired(time.Time{}, m.Expires) {
		t.Fatal("expiry is judged by ten minutes either way")
	}
}

func TestInviteKeyClaimedByAJunior(t *testing.T) {
	h := newHome(t)
	carol := h.admin(h.owner, "carol", AdminGrant())
	ik := key.New()
	q := InviteRequest{Key: ik.Public(), Expires: h.clock.at.Add(time.Hour)}
	for range 4 {
		check[*Record](t)(h.as(carol).Invite(q))
	}
	inv := check[*Record](t)(h.as(h.owner).Invite(q))
	check[*Record](t)(h.as(carol).Invite(q))
	if i := h.set.View().Invite(ik.Public()); i.ID != inv.ID {
		t.Fatal("a junior's invite stands before the owner's")
	}
	d := newDevice()
	a := d.admission(h.set.Network(), "tv")
	a.Invite, a.InviteSig = inv.ID, SignInvite(ik, inv.ID, d.pub(), d.wg)
	check[*Record](t)(h.as(h.owner).Admit(a))
	if x, _ := h.set.View().Explain(h.set.View().ByName("tv").Admit.ID); !x.Valid {
		t.Fatal(x)
	}
}
