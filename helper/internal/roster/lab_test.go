package roster

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
)

// lab builds rosters record by record, with made-up keys and no signatures:
// what is tested there is the rules. Each author goes on behind its own last
// authority record unless a test says otherwise.
type lab struct {
	t    testing.TB
	set  *Set
	tick uint64
	last map[string]*Record
}

// who is the made-up key of a name.
func who(name string) key.Public { return key.Public(sha256.Sum256([]byte(name))) }

func exchange(name string) key.Exchange {
	return key.Exchange(sha256.Sum256([]byte("exchange " + name)))
}

// unsigned is a record with an arbitrary signature.
func unsigned(author key.Public, network, prev ID, clock uint64, body Body) (*Record, error) {
	b, err := marshal(body)
	if err != nil {
		return nil, err
	}
	payload, err := marshal(&envelope{
		Version: Version, Type: uint64(body.recordType()), Network: network, Author: author, Prev: prev, Clock: clock, Body: b,
	})
	if err != nil {
		return nil, err
	}
	return Decode(append(payload, make([]byte, signatureSz)...))
}

func newLab(t testing.TB) *lab {
	t.Helper()
	g, err := unsigned(who("root"), ID{}, ID{}, 1, &Genesis{Name: "home"})
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, set: newSet(g), tick: 1000, last: map[string]*Record{"root": g}}
}

// family is a lab with owners alice and bob, admins carol and dave by alice,
// erin by bob, and a device of each.
func family(t testing.TB) *lab {
	l := newLab(t)
	for _, n := range []string{"alice", "bob"} {
		l.grant("root", n, OwnerGrant())
		l.admit(n, n)
	}
	for _, p := range [][2]string{{"alice", "carol"}, {"alice", "dave"}, {"bob", "erin"}} {
		l.admit(p[0], p[1])
		l.grant(p[0], p[1], AdminGrant())
	}
	return l
}

// try makes a record and offers it. Prev and clock may be zero: the author's
// last record, the next tick.
func (l *lab) try(author string, prev *Record, clock uint64, body Body) (*Record, Verdict, error) {
	l.t.Helper()
	if prev == nil {
		prev = l.last[author]
	}
	if clock == 0 {
		l.tick++
		clock = l.tick
	}
	r, err := unsigned(who(author), l.set.Network(), prev.ID, clock, body)
	if err != nil {
		l.t.Fatal(err)
	}
	v, err := l.set.AddRecord(r, AddOptions{Verified: true, At: time.UnixMilli(int64(l.tick))})
	return r, v, err
}

func (l *lab) write(author string, prev *Record, clock uint64, body Body) *Record {
	l.t.Helper()
	r, v, err := l.try(author, prev, clock, body)
	if v != Accepted {
		l.t.Fatalf("%s by %s: %v %v", r.Type, author, v, err)
	}
	if !r.Type.leaf() {
		l.last[author] = r
	}
	return r
}

func (l *lab) refused(author string, prev *Record, body Body) {
	l.t.Helper()
	if r, v, err := l.try(author, prev, 0, body); v != Unacceptable || err == nil {
		l.t.Fatalf("%s by %s: %v instead of unacceptable", r.Type, author, v)
	}
}

func (l *lab) grant(by, to string, g Grant) *Record {
	l.t.Helper()
	g.Subject = who(to)
	r := l.write(by, nil, 0, &g)
	if l.last[to] == nil {
		l.last[to] = r
	}
	return r
}

func admission(device string) *Admit {
	return &Admit{Device: who(device), WG: exchange(device), Control: exchange(device + " control"), N: 1, Name: device}
}

func (l *lab) admit(by, device string) *Record {
	l.t.Helper()
	return l.write(by, nil, 0, admission(device))
}

func (l *lab) admitBy(by, device string, invite *Record) *Record {
	l.t.Helper()
	a := admission(device)
	a.Invite, a.InviteSig = invite.ID, [64]byte{1}
	return l.write(by, nil, 0, a)
}

func (l *lab) invite(by, sponsor string) *Record {
	l.t.Helper()
	i := &Invite{Key: who(fmt.Sprint("invite", l.tick)), Expires: 1 << 50, Any: sponsor == ""}
	if !i.Any {
		i.Sponsor, i.Uses = who(sponsor), 1
	}
	return l.write(by, nil, 0, i)
}

// revocation is of a name's key, or of a *Record.
func revocation(target any, keep ...*Record) *Revoke {
	v := &Revoke{}
	switch t := target.(type) {
	case string:
		v.Key = who(t)
	case *Record:
		v.Record = t.ID
	}
	for _, k := range keep {
		v.Keep = append(v.Keep, k.ID)
	}
	slices.SortFunc(v.Keep, compareID)
	v.Keep = slices.Compact(v.Keep)
	return v
}

func (l *lab) revoke(by string, target any, keep ...*Record) *Record {
	l.t.Helper()
	return l.write(by, nil, 0, revocation(target, keep...))
}

func (l *lab) put(by, k, value string) *Record {
	l.t.Helper()
	return l.write(by, nil, 0, &Setting{Key: k, Value: []byte(value)})
}

func (l *lab) leave(device string, admit *Record) *Record {
	l.t.Helper()
	l.tick++
	return l.write(device, admit, l.tick, &Leave{})
}

// member tells whether a name's key is a member, and is to be.
func (l *lab) member(name string, want bool) {
	l.t.Helper()
	if got := l.set.View().Member(who(name)) != nil; got != want {
		l.t.Fatalf("member %s: %v, want %v", name, got, want)
	}
}

func (l *lab) rank(name string, want int) {
	l.t.Helper()
	if got := l.set.View().Rank(who(name)); got != want {
		l.t.Fatalf("rank of %s: %d, want %d", name, got, want)
	}
}

func (l *lab) value(k, want string) {
	l.t.Helper()
	if got, _ := l.set.View().Value(k); string(got) != want {
		l.t.Fatalf("%s is %q, want %q", k, got, want)
	}
}

// replica is a set of the same network with some of the records.
func (l *lab) replica() *Set { return newSet(l.set.Genesis()) }

// feed offers records to a set, as from a neighbour.
func feed(t testing.TB, s *Set, from string, recs ...*Record) (last Verdict) {
	t.Helper()
	for _, r := range recs {
		var err error
		if last, err = s.AddRecord(r, AddOptions{Verified: true, From: who(from)}); last == Unacceptable {
			t.Fatal(err)
		}
	}
	return last
}

// world sums up a view for comparison.
type world struct {
	Members map[string]string
	Values  map[string]string
	Ranks   map[key.Public]uint8
	Invites []string
}

func worldOf(v *View) world {
	w := world{Members: map[string]string{}, Values: map[string]string{}, Ranks: map[key.Public]uint8{}}
	for _, m := range v.Members {
		w.Members[m.Name] = fmt.Sprintf("%s %x %x %d %v %v %v %v %v %v", m.Key.Short(), m.WG, m.Control, m.N, m.IPv4, m.Tags, m.Rank, m.Role, m.Admit.ID.Short(), m.Exit)
	}
	for k, b := range v.Values("") {
		w.Values[k] = string(b)
	}
	for k, r := range v.eval.rank {
		w.Ranks[k] = r
	}
	for _, i := range v.Invites {
		w.Invites = append(w.Invites, fmt.Sprint(i.ID.Short(), i.Revoked))
	}
	return w
}
