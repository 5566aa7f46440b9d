package roster

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// Errors of writers.
var (
	ErrNotPermitted = errors.New("not permitted")
	ErrUpgrade      = errors.New("upgrade required: the network uses a newer format")
	ErrTooMany      = errors.New("too many")
	ErrUnknown      = errors.New("not in the roster")
)

// Bounds that writers keep, below the quotas.
const (
	MaxAdmins  = 64
	MaxInvites = 256
)

// highClock is where writers no longer follow the highest clock held: a hostile
// one must not use up the numbers that an honest author still needs.
const highClock = 1 << 52

// Author writes records for one key. What it writes is in the set at once; the
// caller stores it, and then sends it. It is as little safe for concurrent use as the set.
type Author struct {
	set  *Set
	priv key.Private
	pub  key.Public
	now  func() time.Time
}

// NewAuthor writes into set with a device's key, or the root's.
func NewAuthor(set *Set, priv key.Private, now func() time.Time) *Author {
	return &Author{set: set, priv: priv, pub: priv.Public(), now: now}
}

// Key is whom it writes for.
func (a *Author) Key() key.Public { return a.pub }

// writer adds records under one grant, one behind the other.
type writer struct {
	*Author
	view  *View // before the first record
	grant int32
	depth uint8
	own   *Grant
	head  ID
	last  uint64 // clock of head
	clock uint64 // highest to be outdone
	recs  []*Record
}

// under picks the seniormost of the author's grants that ok takes.
func (a *Author) under(what string, ok func(g *Grant, depth uint8) bool) (*writer, error) {
	v := a.set.View()
	if v.UpgradeRequired && a.pub != v.Root {
		return nil, ErrUpgrade
	}
	best := int32(-1)
	for _, g := range v.grants[a.pub] {
		depth := v.eval.nodes[g].confers()
		if ok(v.grantOf(g), depth) && (best < 0 || depth < v.eval.nodes[best].confers()) {
			best = g
		}
	}
	if best < 0 {
		return nil, fmt.Errorf("%s: %w to %s", what, ErrNotPermitted, v.NameOf(a.pub))
	}
	return a.writer(v, best), nil
}

func (a *Author) writer(v *View, g int32) *writer {
	w := &writer{Author: a, view: v, grant: g, depth: v.eval.nodes[g].confers(), own: v.grantOf(g)}
	h := v.eval.head(g)
	w.head, w.last = v.eval.nodes[h].rec.ID, v.eval.nodes[h].rec.Clock
	if w.clock = v.Clock; w.clock >= highClock {
		w.clock = 0
		for i := range v.eval.nodes {
			if c := v.eval.nodes[i].rec.Clock; v.eval.live[i] && c < highClock {
				w.clock = max(w.clock, c)
			}
		}
	}
	return w
}

// head is the last live authority record under a grant, or the grant itself.
// Among a fork's heads it is the one with the highest clock.
func (e *eval) head(g int32) int32 {
	best := g
	for i := range e.nodes {
		n := &e.nodes[i]
		if n.grant != g || i == 0 || !e.live[i] || n.rec.Type.leaf() {
			continue
		}
		b := &e.nodes[best]
		if best == g || cmp.Or(cmp.Compare(n.rec.Clock, b.rec.Clock), compareID(b.rec.ID, n.rec.ID)) > 0 {
			best = int32(i)
		}
	}
	return best
}

func (w *writer) write(body Body) (*Record, error) {
	clock := max(Millis(w.now()), w.last+1, w.clock+1)
	return w.writeBehind(w.head, clock, body)
}

func (w *writer) writeBehind(prev ID, clock uint64, body Body) (*Record, error) {
	if clock > MaxClock {
		return nil, fmt.Errorf("write %s: the author's clock is used up", body.recordType())
	}
	r, err := Sign(w.priv, w.set.Network(), prev, clock, body)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", body.recordType(), err)
	}
	v, err := w.set.AddRecord(r, AddOptions{Verified: true, At: w.now(), From: w.pub})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", body.recordType(), err)
	}
	if v != Accepted {
		return nil, fmt.Errorf("write %s: the set is %s", body.recordType(), v)
	}
	w.clock = max(w.clock, clock)
	if !r.Type.leaf() {
		w.head, w.last = r.ID, clock
	}
	w.recs = append(w.recs, r)
	return r, nil
}

// has asks for capabilities.
func has(caps Caps) func(*Grant, uint8) bool {
	return func(g *Grant, _ uint8) bool { return g.Caps&caps == caps }
}

// Grant gives a key authority. It sets g's subject.
func (a *Author) Grant(subject key.Public, g Grant) (*Record, error) {
	g.Subject = subject
	g.Tags, g.Prefixes = sorted(g.Tags), sorted(g.Prefixes)
	w, err := a.under("grant", func(own *Grant, depth uint8) bool {
		return own.Caps&CapGrant != 0 && depth < maxDepth && g.within(own)
	})
	if err != nil {
		return nil, err
	}
	if w.view.grants[subject] == nil && len(w.view.Admins()) >= MaxAdmins {
		return nil, fmt.Errorf("grant: %w admins: %d", ErrTooMany, MaxAdmins)
	}
	for _, c := range w.view.eval.ofKey[subject] {
		if w.view.eval.nodes[c].depth <= w.depth {
			return nil, fmt.Errorf("grant: %w: %s", ErrNotPermitted, w.view.cutter(c))
		}
	}
	return w.write(&g)
}

// InviteRequest describes an invite. Without a sponsor any may use it, and
// uses are not counted.
type InviteRequest struct {
	Key     key.Public
	Sponsor key.Public
	Uses    uint64
	Expires time.Time
	Tags    []string
}

// Invite writes an invite.
func (a *Author) Invite(q InviteRequest) (*Record, error) {
	tags := sorted(q.Tags)
	w, err := a.under("invite", func(g *Grant, _ uint8) bool { return g.Caps&CapAdmit != 0 && tagsWithin(tags, g.Tags) })
	if err != nil {
		return nil, err
	}
	live, now := 0, a.now()
	for _, i := range w.view.Invites {
		if !i.Revoked && i.Expires.After(now) {
			live++
		}
	}
	if live >= MaxInvites {
		return nil, fmt.Errorf("invite: %w live invites: %d", ErrTooMany, live)
	}
	b := &Invite{Key: q.Key, Sponsor: q.Sponsor, Any: q.Sponsor.IsZero(), Uses: q.Uses, Expires: Millis(q.Expires), Tags: tags}
	if b.Any {
		b.Uses = 0
	}
	return w.write(b)
}

// Admission describes a device to admit.
type Admission struct {
	Device    key.Public
	WG        key.Exchange
	Control   key.Exchange
	N         uint64
	Pop       [64]byte // SignPop by the device
	Name      string   // made unique unless it is the device's own already; none keeps a member's
	Index     uint16   // of IPv4; 0 picks one
	NoIPv4    bool
	Tags      []string
	Expires   time.Time // zero for never
	Invite    ID
	InviteSig [64]byte // SignInvite by the invite's key
}

// Admit writes an admission. The invite's expiry and uses are for the caller to
// judge: the roster never counts.
func (a *Author) Admit(q Admission) (*Record, error) {
	tags := sorted(q.Tags)
	if !VerifyPop(a.set.Network(), q.Device, q.WG, q.Control, q.N, q.Pop) {
		return nil, fmt.Errorf("admit: proof of possession: %w", ErrSignature)
	}
	w, err := a.under("admit", func(g *Grant, _ uint8) bool {
		return tagsWithin(tags, g.Tags) && (g.Caps&CapAdmit != 0 || g.Caps&CapSponsor != 0 && a.sponsors(q.Invite))
	})
	if err != nil {
		return nil, err
	}
	if err := w.checkAdmission(&q); err != nil {
		return nil, fmt.Errorf("admit: %w", err)
	}
	return w.write(&Admit{
		Device: q.Device, WG: q.WG, Control: q.Control, N: q.N, Pop: q.Pop,
		Name: w.view.FreeName(q.Name, q.Device), IP: w.view.index4(q), Tags: tags,
		Expires: Millis(q.Expires), Invite: q.Invite, InviteSig: q.InviteSig,
	})
}

// checkAdmission refuses an admission that would have no effect.
func (w *writer) checkAdmission(q *Admission) error {
	v := w.view
	if by := v.RemovedBy(q.Device); by != nil {
		return fmt.Errorf("%w: the device was removed by %s", ErrNotPermitted, v.NameOf(by.Author))
	}
	if m := v.Member(q.Device); m != nil {
		if q.Name == "" {
			q.Name = m.Name
		}
		if i, _ := v.find(m.Admit.ID); v.eval.nodes[i].depth < w.depth && q.N <= m.N {
			return fmt.Errorf("%w: %s was admitted by a senior of %s", ErrNotPermitted, m.Name, v.NameOf(w.pub))
		}
	}
	if q.Invite.IsZero() {
		return nil
	}
	at := slices.IndexFunc(v.Invites, func(i *InviteState) bool { return i.ID == q.Invite && !i.Revoked })
	if at < 0 {
		return fmt.Errorf("invite %s: %w", q.Invite.Short(), ErrUnknown)
	}
	if !VerifyInvite(v.Invites[at].Key, q.Invite, q.Device, q.WG, q.InviteSig) {
		return fmt.Errorf("invite %s: %w", q.Invite.Short(), ErrSignature)
	}
	return nil
}

func (a *Author) sponsors(id ID) bool {
	r := a.set.Get(id)
	if r == nil || r.Type != TypeInvite {
		return false
	}
	b := r.Body.(*Invite)
	return b.Any || b.Sponsor == a.pub
}

// FreeName is the name, or the first of name-2, name-3… that no other device has.
func (v *View) FreeName(name string, device key.Public) string {
	try := name
	for n := 2; ; n++ {
		if m := v.byName[try]; m == nil || m.Key == device {
			return try
		}
		try = suffixed(name, fmt.Sprint(n))
	}
}

// index4 is the index to admit with: the one asked for, the device's own, or the
// first free one from where its key points.
func (v *View) index4(q Admission) uint16 {
	if q.NoIPv4 {
		return 0
	}
	first := cmp.Or(q.Index, firstIndex(q.Device))
	if m := v.byKey[q.Device]; m != nil && m.IPv4.IsValid() && q.Index == 0 {
		b := m.IPv4.As4()
		return uint16(b[2])<<8 | uint16(b[3])
	}
	for n := range maxIndex {
		i := uint16((int(first)-1+n)%maxIndex + 1)
		if m := v.ByIndex(i); m == nil || m.Key == q.Device {
			return i
		}
	}
	return 0
}

func sorted(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(s)))
}
