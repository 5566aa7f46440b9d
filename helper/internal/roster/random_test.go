package roster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kith.internal/helper/internal/key"
)

// chaos writes random records by everyone who ever had a grant: forks,
// backdated clocks, re-grants, cuts with random keeps, foreign claims.
type chaos struct {
	*lab
	rng   *rand.Rand
	names []string
}

func newChaos(t testing.TB, seed uint64) *chaos {
	c := &chaos{lab: family(t), rng: rand.New(rand.NewPCG(seed, 7))}
	for i := range 9 {
		c.names = append(c.names, fmt.Sprint("k", i))
	}
	c.names = append(c.names, "alice", "bob", "carol", "dave", "erin")
	return c
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (c *chaos) records(ok func(*Record) bool) (out []*Record) {
	for r := range c.set.All() {
		if ok(r) {
			out = append(out, r)
		}
	}
	return out
}

// authors yields who may write behind a record.
func (c *chaos) authors(prev *Record) []key.Public {
	ks := []key.Public{prev.Author}
	switch b := prev.Body.(type) {
	case *Grant:
		ks = append(ks, b.Subject, b.Subject)
	case *Admit:
		ks = append(ks, b.Device)
	}
	return ks
}

func (c *chaos) keep() *Revoke {
	var keep []*Record
	for range c.rng.IntN(4) {
		keep = append(keep, pick(c.rng, c.records(func(r *Record) bool { return true })))
	}
	if c.rng.IntN(2) == 0 { // what a careful writer would keep
		leaves := c.records(func(r *Record) bool { return r.Type.leaf() || c.rng.IntN(3) == 0 })
		keep = append(keep, leaves[:min(len(leaves), 20)]...)
	}
	return revocation("", keep...)
}

func (c *chaos) body() Body {
	k := who(pick(c.rng, c.names))
	tags := [][]string{nil, {"a"}, {"a", "b"}}
	switch n := c.rng.IntN(20); {
	case n < 3:
		g := pick(c.rng, []Grant{OwnerGrant(), AdminGrant(), SponsorGrant(), {Caps: CapGrant | CapRemove | CapAdmit, Tags: []string{"a"}, Prefixes: []string{"dev/", KeyPolicy}}})
		g.Subject = k
		return &g
	case n < 5:
		return &Invite{Key: k, Any: true, Expires: 9, Tags: pick(c.rng, tags)}
	case n < 11:
		name := pick(c.rng, c.names)
		a := admission(name)
		a.Device, a.N = k, uint64(1+c.rng.IntN(3))
		a.IP, a.Tags = uint16(c.rng.IntN(5)), pick(c.rng, tags)
		if c.rng.IntN(3) > 0 {
			a.Control, a.WG = key.Exchange(k), key.Exchange(k)
		}
		if inv := c.records(func(r *Record) bool { return r.Type == TypeInvite }); len(inv) > 0 && c.rng.IntN(2) == 0 {
			a.Invite, a.InviteSig = pick(c.rng, inv).ID, [64]byte{1}
		}
		return a
	case n < 15:
		v := c.keep()
		targets := c.records(func(r *Record) bool { return r.Type == TypeGrant || r.Type == TypeInvite })
		if v.Key = k; c.rng.IntN(3) == 0 {
			v.Key, v.Record = key.Public{}, pick(c.rng, targets).ID
		}
		return v
	case n < 19:
		ip, _ := EncodeUint(uint64(c.rng.IntN(6)))
		return pick(c.rng, []*Setting{
			{Key: KeyPolicy, Value: []byte{byte(c.rng.IntN(256))}},
			{Key: DevKey(k, FieldName), Value: []byte(pick(c.rng, c.names))},
			{Key: DevKey(k, FieldIP), Value: ip},
			{Key: NetKey(k, FieldExit), Value: []byte{1}},
		})
	}
	return &Leave{}
}

func (c *chaos) step() {
	prev := pick(c.rng, c.records(func(r *Record) bool { return !r.Type.leaf() }))
	if last := c.set.nodes[len(c.set.nodes)-1].rec; c.rng.IntN(2) == 0 && !last.Type.leaf() {
		prev = last
	}
	clock := prev.Clock + 1 + uint64(c.rng.IntN(3)*c.rng.IntN(500))
	body := c.body()
	author := pick(c.rng, c.authors(prev))
	if g, ok := body.(*Grant); ok && g.Subject == author {
		return
	}
	r, err := unsigned(author, c.set.Network(), prev.ID, clock, body)
	if err != nil {
		c.t.Fatal(err)
	}
	c.tick++
	c.set.AddRecord(r, AddOptions{Verified: true, At: Time(c.tick)})
}

// compareOracle checks a view against the rules as they read.
func compareOracle(t *testing.T, s *Set) {
	t.Helper()
	o, v := newOracle(s), s.View()
	for id, r := range o.recs {
		if o.live[id] != v.Live(id) {
			t.Fatalf("%s %s: live %v, the rules say %v", r.Type, id.Short(), v.Live(id), o.live[id])
		}
	}
	want, got := o.people(), map[key.Public]*person{}
	for _, m := range v.Members {
		p := &person{Name: m.Name, WG: m.WG, Governs: m.Admit.ID, Rank: m.Rank}
		if m.IPv4.IsValid() {
			b := m.IPv4.As4()
			p.Index = uint16(b[2])<<8 | uint16(b[3])
		}
		got[m.Key] = p
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(person{})); d != "" {
		t.Fatalf("members (-rules +evaluator):\n%s", d)
	}
	values := map[string]string{}
	for k, r := range o.winners(want) {
		if b := r.Body.(*Setting); len(b.Value) > 0 {
			values[k] = string(b.Value)
		}
	}
	if d := cmp.Diff(values, worldOf(v).Values); d != "" {
		t.Fatalf("values (-rules +evaluator):\n%s", d)
	}
}

const worlds = 60

func TestRandomWorldsAgreeWithTheRules(t *testing.T) {
	members, dead := 0, 0
	for seed := range uint64(worlds) {
		c := newChaos(t, seed)
		for range 70 {
			c.step()
		}
		compareOracle(t, c.set)
		v := c.set.View()
		members += len(v.Members)
		for x := range v.Explanations() {
			if x.Why == "" || x.Says == "" || x.Valid && !v.Live(x.Record.ID) {
				t.Fatalf("seed %d: %+v", seed, x)
			}
			if !v.Live(x.Record.ID) {
				dead++
				if x.Why == "not in force" {
					t.Fatalf("seed %d: no reason why %s is not live", seed, x.Record.ID.Short())
				}
			}
		}
	}
	if members < worlds || dead < 10*worlds {
		t.Fatalf("the worlds are too tame: %d members, %d dead records", members, dead)
	}
}

func TestEvaluationOfWantedIsEvaluationOfAll(t *testing.T) {
	for seed := range uint64(worlds) {
		c := newChaos(t, 1000+seed)
		for range 70 {
			c.step()
		}
		w := wantedOnly(t, c.set)
		if d := cmp.Diff(worldOf(c.set.View()), worldOf(w.View())); d != "" {
			t.Fatalf("seed %d:\n%s", seed, d)
		}
		if c.set.View().Digest().Sum != w.View().Digest().Sum {
			t.Fatalf("seed %d: what is wanted of what is wanted differs", seed)
		}
	}
}

// TestRandomDeliveryPruneAndGossip has three replicas hear random parts in
// random order and drop what is cut, and then tell each other what they want.
func TestRandomDeliveryPruneAndGossip(t *testing.T) {
	for seed := range uint64(worlds / 2) {
		c := newChaos(t, 2000+seed)
		for range 60 {
			c.step()
		}
		all := c.records(func(r *Record) bool { return r.Type != TypeGenesis })
		replicas := []*Set{c.replica(), c.replica(), c.replica()}
		prune := seed%2 == 0
		for i, s := range replicas {
			c.rng.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
			part := all[:len(all)*(2+i)/4]
			feed(t, s, "n", part...)
			if prune {
				s.View()
				s.drop(unwanted(s))
			}
		}
		gossip(t, replicas)
		if !prune { // the third had everything
			replicas = append(replicas, c.set)
		}
		for _, s := range replicas[1:] {
			if d := cmp.Diff(worldOf(replicas[0].View()), worldOf(s.View())); d != "" {
				t.Fatalf("seed %d: replicas disagree:\n%s", seed, d)
			}
			if replicas[0].View().Digest().Sum != s.View().Digest().Sum {
				t.Fatalf("seed %d: digests differ", seed)
			}
		}
	}
}

func unwanted(s *Set) []bool {
	drop := make([]bool, len(s.nodes))
	for i, w := range s.View().eval.wanted {
		drop[i] = !w
	}
	return drop
}

func gossip(t testing.TB, replicas []*Set) {
	for range 20 {
		same := true
		for i, from := range replicas {
			to := replicas[(i+1)%len(replicas)]
			for b := range 256 {
				if from.View().Digest().Buckets[b] == to.View().Digest().Buckets[b] {
					continue
				}
				same = false
				for _, id := range from.View().Bucket(byte(b)) {
					feed(t, to, fmt.Sprint("r", i), from.Get(id))
				}
			}
			for _, id := range to.Missing() {
				if r := from.Get(id); r != nil {
					feed(t, to, fmt.Sprint("r", i), r)
				}
			}
		}
		if same {
			return
		}
	}
	t.Fatal("gossip does not settle")
}

// TestFullUndo lets a thief do what it likes with an admin's or an owner's key,
// and a senior cut it: the outcome is the world without the thief.
func TestFullUndo(t *testing.T) {
	for seed := range uint64(2 * worlds) {
		thief, senior := "carol", "alice"
		if seed%3 == 0 {
			thief, senior = "bob", "root"
		}
		c := newChaos(t, 3000+seed)
		c.admit(thief, "k0")
		c.put(thief, DevKey(who("k0"), FieldName), "honest")
		stays := c.records(func(r *Record) bool { return r.Type != TypeGenesis })
		keep := c.set.View().eval.standing(c.set.View().eval.grantsTo(who(thief), 0))
		cut := revocation(thief)
		cut.Keep = c.set.View().eval.idsOf(keep.heads, keep.leaves)

		at := Time(c.tick)
		stolen := map[key.Public]bool{who(thief): true}
		for range 40 {
			c.theft(stolen)
		}
		others := []string{"dave", "alice", "erin"}
		for i := range 5 { // honest work meanwhile
			by := others[i%len(others)]
			if by != thief {
				stays = append(stays, c.admit(by, fmt.Sprint("h", i)), c.put(by, KeyPolicy, fmt.Sprint(i)))
			}
		}
		e := c.set.View().eval.before(at, []key.Public{who(thief)})
		keep = e.standing(e.grantsTo(who(thief), 0))
		if d := cmp.Diff(cut.Keep, e.idsOf(keep.heads, keep.leaves)); d != "" {
			t.Fatalf("seed %d: what is to be kept, found before the theft and after:\n%s", seed, d)
		}
		stays = append(stays, c.write(senior, nil, 0, cut))
		without := c.replica()
		feed(t, without, "n", stays...)
		if d := cmp.Diff(worldOf(without.View()), worldOf(c.set.View())); d != "" {
			t.Fatalf("seed %d (-without the thief +with it cut):\n%s", seed, d)
		}
		if without.View().Digest().Sum != c.set.View().Digest().Sum {
			t.Fatalf("seed %d: the digests differ", seed)
		}
	}
}

// theft writes a random record with one of the stolen keys; whom they grant
// anything is in league.
func (c *chaos) theft(stolen map[key.Public]bool) {
	prev := pick(c.rng, c.records(func(r *Record) bool {
		return !r.Type.leaf() && slices.ContainsFunc(c.authors(r), func(k key.Public) bool { return stolen[k] })
	}))
	authors := slices.DeleteFunc(c.authors(prev), func(k key.Public) bool { return !stolen[k] })
	body := c.body()
	author := pick(c.rng, authors)
	if g, ok := body.(*Grant); ok && g.Subject == author {
		return
	}
	if _, ok := body.(*Leave); ok && !stolen[prev.Author] {
		return // a device's own leave is not of its authority: it stays, without effect on one that is revoked
	}
	clock := prev.Clock + 1
	if c.rng.IntN(2) == 0 {
		clock = max(clock, MaxClock-100+uint64(c.rng.IntN(100)))
	}
	r, err := unsigned(author, c.set.Network(), prev.ID, min(clock, MaxClock), body)
	if err != nil {
		c.t.Fatal(err)
	}
	if v, _ := c.set.AddRecord(r, AddOptions{Verified: true, At: Time(1 << 40)}); v == Accepted {
		if g, ok := body.(*Grant); ok && !slices.Contains([]key.Public{who("alice"), who("bob"), who("carol"), who("dave"), who("erin")}, g.Subject) {
			stolen[g.Subject] = true
		}
	}
}
