package roster

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kith.internal/helper/internal/key"
)

// Member is a device of the network. It is immutable.
type Member struct {
	Key     key.Public
	WG      key.Exchange
	Control key.Exchange
	N       uint64 // counts the key pairs
	Name    string
	IPv4    netip.Addr // invalid for none
	IPv6    netip.Addr
	Tags    []string
	Role    Role
	Rank    int // 0 the root, 1 owners, to 3; 4 without authority
	Caps    Caps
	Admit   *Record   // the governing admission
	Expires time.Time // zero for never; judged where it is used, ± 10 min

	Routes []netip.Prefix // approved
	Exit   bool           // approved
	Relay  *RelayInfo     // approved, or nil

	Renamed bool // it lost its name to another device and goes by a longer one
	NoIPv4  bool // it lost its IPv4 index to another device
}

// InviteState is a live invite.
type InviteState struct {
	ID      ID
	Key     key.Public
	Author  key.Public
	Sponsor key.Public // zero with Any
	Any     bool
	Uses    uint64
	Expires time.Time
	Tags    []string
	Revoked bool
	Record  *Record
}

// DNSSet is the records of one name and type, or the resolvers of a suffix.
type DNSSet struct {
	Name   string
	Type   string
	Values []string
	By     *Record
}

// Fork is a place where an author went on twice: a restored backup, or a stolen key.
type Fork struct {
	Author key.Public
	Prev   ID
	Next   []ID
}

// View is what a set of records says. It is immutable and safe for concurrent use.
type View struct {
	Network         ID
	Name            string
	Root            key.Public
	Members         []*Member // ascending by key
	Invites         []*InviteState
	DNS             []DNSSet // ascending by name and type
	Policy          []byte   // nil for none
	Epoch           [32]byte // the discovery secret's hash; zero for none
	EpochClock      uint64   // of the record that set it
	GoneClock       uint64   // of the latest leave or removal of a device in effect, 0 for none
	Successor       ID       // the network to move to; zero for none
	Forks           []Fork
	Format          uint64
	UpgradeRequired bool   // the format in force is above what this build knows
	Clock           uint64 // the highest live one

	eval    *eval
	range4  netip.Prefix
	byID    func() map[ID]int32
	byKey   map[key.Public]*Member
	byName  map[string]*Member
	byAddr  map[netip.Addr]*Member
	grants  map[key.Public][]int32 // live, not ended
	invites map[key.Public]*InviteState
	digest  func() (*Digest, []ID)
}

// View evaluates the set, unless that was done since the last change.
func (s *Set) View() *View {
	if s.view != nil {
		return s.view
	}
	v := makeView(s)
	s.load.wanted = 0
	for i := range s.nodes {
		if v.eval.wanted[i] {
			s.load.wanted += s.nodes[i].units()
		}
	}
	if v.Format > Format {
		v.UpgradeRequired = true
		if s.last != nil {
			v.freeze(s.last)
		}
	}
	s.view, s.last = v, v
	return v
}

func makeView(s *Set) *View {
	nodes := s.nodes[:len(s.nodes):len(s.nodes)]
	e := evaluate(nodes)
	v := &View{
		Network: s.Network(), Name: s.Name(), Root: s.Root(), Format: e.format(), Clock: e.clock,
		eval: e, range4: Range4(s.Network()), grants: map[key.Public][]int32{},
	}
	v.digest = sync.OnceValues(func() (*Digest, []ID) { ids := e.ids(); return makeDigest(ids), ids })
	v.byID = sync.OnceValue(func() map[ID]int32 {
		m := make(map[ID]int32, len(nodes))
		for i := range nodes {
			m[nodes[i].rec.ID] = int32(i)
		}
		return m
	})
	for i := range nodes {
		if e.live[i] && !e.ended[i] && (i == 0 || nodes[i].rec.Type == TypeGrant) {
			k := nodes[i].subject()
			v.grants[k] = append(v.grants[k], int32(i))
		}
	}
	for _, c := range e.cands {
		if c.member {
			v.Members = append(v.Members, v.member(c))
		}
	}
	v.takeSettings()
	v.takeInvites()
	v.Forks = e.forks()
	v.index()
	return v
}

func (v *View) member(c *candidate) *Member {
	e := v.eval
	a, k := e.admit(c.admits[0]), e.admit(c.keys)
	m := &Member{
		Key: c.device, WG: k.WG, Control: k.Control, N: k.N, Name: c.name,
		IPv4: addr4(v.range4, c.index), IPv6: c.six, Tags: a.Tags,
		Role: v.Role(c.device), Rank: v.Rank(c.device), Caps: v.Caps(c.device),
		Admit: e.nodes[c.admits[0]].rec, Expires: Time(a.Expires),
		Renamed: c.lostName, NoIPv4: c.lostIndex,
	}
	if w := c.set[fieldTags]; w.by > 0 {
		m.Tags = e.nodes[w.by].key.list
	}
	m.Routes, _ = decodeRoutes(c.set[fieldRoute].value)
	m.Exit = len(c.set[fieldExit].value) > 0
	if w := c.set[fieldRelay]; len(w.value) > 0 {
		m.Relay, _ = decodeRelay(w.value)
	}
	return m
}

func (v *View) takeSettings() {
	v.Policy = v.eval.values[KeyPolicy].value
	copy(v.Epoch[:], v.eval.values[KeyEpoch].value)
	copy(v.Successor[:], v.eval.values[KeySuccessor].value)
	if w, ok := v.eval.values[KeyEpoch]; ok {
		v.EpochClock = v.eval.nodes[w.by].rec.Clock
	}
	v.GoneClock = v.eval.goneClock()
	for _, w := range v.eval.values {
		n := &v.eval.nodes[w.by]
		if n.key.class != classDNS || len(w.value) == 0 {
			continue
		}
		v.DNS = append(v.DNS, DNSSet{Name: n.key.name, Type: n.key.rtype, Values: n.key.list, By: n.rec})
	}
	slices.SortFunc(v.DNS, func(a, b DNSSet) int {
		return strings.Compare(a.Name+"/"+a.Type, b.Name+"/"+b.Type)
	})
}

func (v *View) takeInvites() {
	e := v.eval
	for i := range e.nodes {
		b, ok := e.nodes[i].rec.Body.(*Invite)
		if !ok || !e.live[i] {
			continue
		}
		r := e.nodes[i].rec
		v.Invites = append(v.Invites, &InviteState{
			ID: r.ID, Key: b.Key, Author: r.Author, Sponsor: b.Sponsor, Any: b.Any, Uses: b.Uses,
			Expires: Time(b.Expires), Tags: b.Tags, Revoked: len(e.ofRecord[int32(i)]) > 0, Record: r,
		})
	}
	slices.SortFunc(v.Invites, func(a, b *InviteState) int { return compareID(a.ID, b.ID) })
}

// index makes the look-ups of what is listed.
func (v *View) index() {
	slices.SortFunc(v.Members, func(a, b *Member) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	v.byKey = make(map[key.Public]*Member, len(v.Members))
	v.byName = make(map[string]*Member, len(v.Members))
	v.byAddr = make(map[netip.Addr]*Member, 2*len(v.Members))
	for _, m := range v.Members {
		v.byKey[m.Key], v.byName[m.Name], v.byAddr[m.IPv6] = m, m, m
		if m.IPv4.IsValid() {
			v.byAddr[m.IPv4] = m
		}
	}
	v.invites = make(map[key.Public]*InviteState, len(v.Invites))
	for _, i := range v.Invites {
		if old := v.invites[i.Key]; old == nil || v.invitesBefore(i, old) {
			v.invites[i.Key] = i
		}
	}
}

// invitesBefore orders invites of one key, so that a junior cannot put its own
// in the way of a senior's.
func (v *View) invitesBefore(a, b *InviteState) bool {
	if a.Revoked != b.Revoked {
		return b.Revoked
	}
	x, y := v.byID()[a.ID], v.byID()[b.ID]
	return v.eval.claimsBefore(x, y) < 0
}

// freeze makes v the last view that this build could make, less the removals
// that it knows of since (rule 13).
func (v *View) freeze(last *View) {
	v.DNS, v.Policy, v.Epoch, v.Successor = last.DNS, last.Policy, last.Epoch, last.Successor
	now := v.byKey
	v.Members = nil
	for _, m := range last.Members {
		n := now[m.Key]
		if n == nil {
			continue
		}
		if n.Rank > m.Rank || n.Caps != m.Caps&n.Caps {
			less := *m
			less.Rank, less.Caps, less.Role = max(m.Rank, n.Rank), m.Caps&n.Caps, min(m.Role, n.Role)
			m = &less
		}
		v.Members = append(v.Members, m)
	}
	live := map[ID]*InviteState{}
	for _, i := range v.Invites {
		live[i.ID] = i
	}
	v.Invites = nil
	for _, i := range last.Invites {
		if n := live[i.ID]; n != nil {
			v.Invites = append(v.Invites, n)
		}
	}
	v.index()
}

// forks lists where an author went on twice under one grant.
func (e *eval) forks() []Fork {
	type place struct{ prev, grant int32 }
	first := map[place]int32{}
	more := map[place][]ID{}
	for i := 1; i < len(e.nodes); i++ {
		n := &e.nodes[i]
		if !e.live[i] || n.rec.Type.leaf() {
			continue
		}
		at := place{n.prev, n.grant}
		if f, ok := first[at]; !ok {
			first[at] = int32(i)
		} else {
			if more[at] == nil {
				more[at] = []ID{e.nodes[f].rec.ID}
			}
			more[at] = append(more[at], n.rec.ID)
		}
	}
	var out []Fork
	for at, next := range more {
		slices.SortFunc(next, compareID)
		out = append(out, Fork{Author: e.nodes[first[at]].rec.Author, Prev: e.nodes[at.prev].rec.ID, Next: next})
	}
	slices.SortFunc(out, func(a, b Fork) int { return compareID(a.Next[0], b.Next[0]) })
	return out
}

// Admins yields the keys with authority, the root's own left out.
func (v *View) Admins() []key.Public {
	ks := slices.Collect(maps.Keys(v.grants))
	ks = slices.DeleteFunc(ks, func(k key.Public) bool { return k == v.Root })
	slices.SortFunc(ks, func(a, b key.Public) int { return bytes.Compare(a[:], b[:]) })
	return ks
}
