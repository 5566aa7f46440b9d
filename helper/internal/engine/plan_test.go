package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kith.internal/dns"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
)

// board is a roster with an owner "a" and devices admitted by it.
type board struct {
	t      *testing.T
	set    *roster.Set
	owner  *roster.Author
	root   key.Private
	now    time.Time
	device map[string]key.Private
}

func newBoard(t *testing.T) *board {
	t.Helper()
	b := &board{t: t, now: time.UnixMilli(1_700_000_000_000), device: map[string]key.Private{"a": key.New()}}
	var err error
	b.set, b.root, err = roster.Found(roster.Founding{
		Name: "home", Device: b.device["a"], DeviceName: "a", Now: b.clock,
		WG: key.NewExchange().Public(), Control: key.NewExchange().Public(),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.owner = roster.NewAuthor(b.set, b.device["a"], b.clock)
	return b
}

func (b *board) clock() time.Time { return b.now }

func (b *board) admit(name string, expires time.Time) key.Public {
	b.t.Helper()
	k := key.New()
	wg, control := key.NewExchange().Public(), key.NewExchange().Public()
	_, err := b.owner.Admit(roster.Admission{
		Device: k.Public(), WG: wg, Control: control, N: 1, Name: name, Expires: expires,
		Pop: roster.SignPop(b.set.Network(), k, wg, control, 1),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.device[name] = k
	return k.Public()
}

func (b *board) key(name string) key.Public { return b.device[name].Public() }

func (b *board) decide(self string, change func(*input)) decision {
	return decide(b.input(self, change))
}

func (b *board) input(self string, change func(*input)) input {
	in := input{
		view: b.set.View(), self: b.key(self), use4: true, use6: true, now: b.now,
		presence: func(key.Public) (replica.Presence, bool) { return replica.Presence{}, false },
	}
	if change != nil {
		change(&in)
	}
	return in
}

var prefixes = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(x, y netip.Prefix) bool { return x == y }),
	cmp.Comparer(func(x, y netip.Addr) bool { return x == y }),
}

func TestDecideFamilies(t *testing.T) {
	b := newBoard(t)
	b.admit("b", time.Time{})
	v := b.set.View()
	me, other := v.ByName("a"), v.ByName("b")
	for name, c := range map[string]struct {
		change func(*input)
		want   []dns.Host
		addrs  int
	}{
		"both":              {nil, []dns.Host{{Name: "a", V4: me.IPv4, V6: me.IPv6}, {Name: "b", V4: other.IPv4, V6: other.IPv6}}, 2},
		"without IPv4 here": {func(i *input) { i.use4 = false }, []dns.Host{{Name: "a", V6: me.IPv6}, {Name: "b", V6: other.IPv6}}, 1},
		"without IPv6 here": {func(i *input) { i.use6 = false }, []dns.Host{{Name: "a", V4: me.IPv4}, {Name: "b", V4: other.IPv4}}, 1},
		"without IPv4 there": {func(i *input) {
			i.presence = func(k key.Public) (replica.Presence, bool) { return replica.Presence{No4: k == other.Key}, true }
		}, []dns.Host{{Name: "a", V4: me.IPv4, V6: me.IPv6}, {Name: "b", V6: other.IPv6}}, 2},
		"without IPv6 there": {func(i *input) {
			i.presence = func(k key.Public) (replica.Presence, bool) { return replica.Presence{No6: k == other.Key}, true }
		}, []dns.Host{{Name: "a", V4: me.IPv4, V6: me.IPv6}, {Name: "b", V4: other.IPv4}}, 2},
		"what is said of ourselves is nothing": {func(i *input) {
			i.presence = func(k key.Public) (replica.Presence, bool) {
				return replica.Presence{No4: k == me.Key, No6: k == me.Key}, true
			}
		}, []dns.Host{{Name: "a", V4: me.IPv4, V6: me.IPv6}, {Name: "b", V4: other.IPv4, V6: other.IPv6}}, 2},
	} {
		in := b.input("a", c.change)
		d := decide(in)
		hosts, ranges := named(in)
		byName := cmpopts.SortSlices(func(x, y dns.Host) bool { return x.Name < y.Name })
		if diff := cmp.Diff(c.want, hosts, prefixes, byName); diff != "" {
			t.Errorf("%s: hosts (-want +got):\n%s", name, diff)
		}
		if len(d.router.Addrs) != c.addrs || len(d.router.Routes) != c.addrs || len(ranges) != c.addrs || !d.router.Up {
			t.Errorf("%s: %+v, ranges %v", name, d.router, ranges)
		}
		// The tunnel takes both families from a peer, whatever names resolve to.
		if len(d.tunnel) != 1 || len(d.tunnel[0].Addrs) != 2 || len(d.wire) != 1 || len(d.members) != 1 {
			t.Errorf("%s: tunnel %+v, wire %+v", name, d.tunnel, d.wire)
		}
	}
}

func TestDecideMembership(t *testing.T) {
	b := newBoard(t)
	b.admit("b", time.Time{})
	b.admit("guest", b.now.Add(time.Hour))
	at := func(d time.Duration) func(*input) { return func(i *input) { i.now = b.now.Add(d) } }
	for name, c := range map[string]struct {
		self    string
		after   time.Duration
		member  bool
		members int
	}{
		"before the expiry":               {"a", 0, true, 2},
		"clocks may be ten minutes apart": {"a", time.Hour + 9*time.Minute, true, 2},
		"after the expiry":                {"a", time.Hour + 11*time.Minute, true, 1},
		"the guest itself":                {"guest", time.Hour + 9*time.Minute, true, 2},
		"the guest itself, after":         {"guest", time.Hour + 11*time.Minute, false, 0},
	} {
		d := b.decide(c.self, at(c.after))
		if d.member != c.member || len(d.members) != c.members || len(d.wire) != c.members || len(d.tunnel) != c.members {
			t.Errorf("%s: member %v, %d members, %d on the wire, %d in the tunnel", name, d.member, len(d.members), len(d.wire), len(d.tunnel))
		}
	}
	gone := b.key("b")
	if _, err := b.owner.Remove(gone, roster.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := b.decide("b", nil); d.member || len(d.wire)+len(d.tunnel)+len(d.router.Addrs) != 0 || d.router.Up {
		t.Errorf("the removed device does %+v", d)
	}
	if hosts, ranges := named(b.input("b", nil)); len(hosts)+len(ranges) != 0 {
		t.Errorf("the removed device names %v in %v", hosts, ranges)
	}
	d := b.decide("a", nil)
	if len(d.members) != 1 || len(d.tunnel) != 1 || len(d.removed) != 1 || d.removed[0] != gone {
		t.Errorf("members %v, tunnel %v, removed %v", d.members, d.tunnel, d.removed)
	}
	// It is still heard on the wire, so that it can be told.
	if len(d.wire) != 2 {
		t.Errorf("wire %+v", d.wire)
	}
	if d := b.decide("guest", func(i *input) { i.self = key.New().Public() }); d.member {
		t.Error("a stranger is a member")
	}
}

func TestDecideInvites(t *testing.T) {
	b := newBoard(t)
	b.admit("b", time.Time{})
	ours, any := key.New(), key.New()
	for k, sponsor := range map[key.Private]key.Public{ours: b.key("a"), any: {}} {
		uses := uint64(0)
		if !sponsor.IsZero() {
			uses = 1
		}
		if _, err := b.owner.Invite(roster.InviteRequest{Key: k.Public(), Sponsor: sponsor, Uses: uses, Expires: b.now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	shared := func(d decision) (n int) {
		for _, p := range d.wire {
			if p.Shared {
				n++
			}
		}
		return n
	}
	if n := shared(b.decide("a", nil)); n != 2 {
		t.Errorf("the owner answers for %d invites, want 2", n)
	}
	if n := shared(b.decide("b", nil)); n != 0 {
		t.Errorf("a plain device answers for %d invites", n)
	}
}
