package engine

import (
	"errors"
	"slices"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/visit"
	"kith.internal/ipc"
)

// Bounds on what is remembered and told of those who are refused: all of it is
// theirs to cause.
const (
	refusalsMost = 8                // of one share, by one device
	refusedEvery = 10 * time.Second // how often the owner is told of those of one share
)

// refuser is a device of ours that lets somebody in by a share, or does not.
type refuser struct {
	sid    guest.SID
	device key.Public
}

// refusal is somebody who was not let in; equal ones are one.
type refusal struct {
	Code  ipc.Code `cbor:"1,keyasint"`
	Text  string   `cbor:"2,keyasint,omitempty"`
	Label string   `cbor:"3,keyasint,omitempty"`
	Key   string   `cbor:"4,keyasint,omitempty"`
	Link  bool     `cbor:"5,keyasint,omitempty"`
	At    int64    `cbor:"6,keyasint"` // ms, the last time
	Count int      `cbor:"7,keyasint"`
}

// same leaves the key out: each acceptance has a new one.
func (r refusal) same(o refusal) bool {
	return r.Code == o.Code && r.Label == o.Label && r.Link == o.Link
}

// refusals are the latest of one share by one device, the latest first.
type refusals struct {
	list  []refusal
	told  time.Time // when the owner was told of them last
	timer *time.Timer
}

// refusedNote is a shared device's word to the owner's admins.
type refusedNote struct {
	Share [16]byte  `cbor:"1,keyasint"`
	List  []refusal `cbor:"2,keyasint"`
}

// knock is who asks to be let in, and by which of our shares.
type knock struct {
	s          *guest.State // nil: by none of ours
	label, key string
	link       bool
}

// knockOf is who holds a share's link or door. The session's key says which share
// that is, whatever is asked for.
func (n *network) knockOf(id key.Public, req visit.Request) knock {
	k := knock{s: guest.ByKey(n.shares(), id)}
	if len(req.Accept) == 0 {
		k.claim(req.Pass)
		return k
	}
	k.link = true
	if a, err := guest.DecodeAcceptance(req.Accept); err == nil {
		k.label, k.key = a.Label, a.Issuer.Short()
	}
	return k
}

// helloOf is a guest that was let in before.
func (n *network) helloOf(id key.Public, req visit.Request) knock {
	k := knock{key: id.Short()}
	if p := k.claim(req.Pass); p != nil {
		if k.s = guest.Read(n.book.View(), p.SID); k.s != nil {
			return k
		}
	}
	for at, g := range n.visitors {
		if at.key == id {
			k.s, k.label = guest.Read(n.book.View(), at.sid), g.pass.Label
		}
	}
	return k
}

// claim notes whose pass is shown, as it says.
func (k *knock) claim(raw []byte) *guest.Pass {
	p, err := guest.PeekPass(raw)
	if err != nil {
		return nil
	}
	k.label, k.key = p.Label, p.Guest.Short()
	return p
}

// refuse remembers for the owner that somebody was not let in. Who holds no key of
// a share leaves nothing here.
func (n *network) refuse(k knock, why error) {
	var e *ipc.Error
	if k.s == nil || !errors.As(why, &e) {
		return
	}
	switch e.Code {
	case ipc.CodeBusy, ipc.CodeDiskFull, ipc.CodeInternal:
		return // this device's fault
	}
	at := refuser{k.s.SID, n.self}
	q := n.refused[at]
	if q == nil {
		q = &refusals{}
		n.refused[at] = q
	}
	q.add(refusal{Code: e.Code, Text: frame.Clean(e.Msg), Label: k.label, Key: k.key, Link: k.link, At: time.Now().UnixMilli(), Count: 1})
	if q.timer != nil {
		return
	}
	q.timer = time.AfterFunc(max(0, refusedEvery-time.Since(q.told)), func() {
		n.e.post(func() {
			q.timer, q.told = nil, time.Now()
			r := q.list[0]
			n.e.log.Info("somebody was refused at a share", "network", n.alias, "share", at.sid.String()[:8], "label", r.Label, "why", r.Text, "times", r.Count)
			n.tellRefused(at.sid, q.list)
			n.e.publishSoon()
		})
	})
}

// add puts one in front. Where there are too many the oldest of the same code goes
// first: who makes up names drives no other kind out.
func (q *refusals) add(r refusal) {
	if i := slices.IndexFunc(q.list, r.same); i >= 0 {
		r.Count += q.list[i].Count
		q.list = slices.Delete(q.list, i, i+1)
	}
	if len(q.list) >= refusalsMost {
		last := len(q.list) - 1
		for i, o := range q.list {
			if o.Code == r.Code {
				last = i
			}
		}
		q.list = slices.Delete(q.list, last, last+1)
	}
	q.list = slices.Insert(q.list, 0, r)
}

// tellRefused tells the admins of this network: they may not be what is shared.
func (n *network) tellRefused(sid guest.SID, list []refusal) {
	for id := range n.on.linked() {
		n.tellRefusedTo(id, sid, list)
	}
}

func (n *network) tellRefusedTo(id key.Public, sid guest.SID, list []refusal) {
	if m := n.book.View().Member(id); m != nil && m.Caps&roster.CapShare != 0 {
		n.say(id, note{Refused: &refusedNote{sid, list}})
	}
}

// tellAllRefused is for an admin that was away.
func (n *network) tellAllRefused(id key.Public) {
	for at, q := range n.refused {
		if at.device == n.self {
			n.tellRefusedTo(id, at.sid, q.list)
		}
	}
}

// heardRefused keeps what a shared device, or a share's sponsor, says of those
// that it has refused.
func (n *network) heardRefused(from key.Public, m *refusedNote) {
	v := n.book.View()
	s := guest.Read(v, m.Share)
	if s == nil || v.Caps(n.self)&roster.CapShare == 0 || !slices.Contains(s.Reach(v), from) {
		return
	}
	list := m.List[:min(len(m.List), refusalsMost)]
	for i := range list {
		r := &list[i]
		if r.Label != "" && roster.ValidLabel(r.Label) != nil || len(r.Key) > 16 || len(r.Code) > 32 || r.Count < 1 {
			return
		}
		r.Text, r.Key, r.Code = frame.Clean(r.Text), frame.Clean(r.Key), ipc.Code(frame.Clean(string(r.Code)))
		r.At = min(r.At, time.Now().UnixMilli())
	}
	n.refused[refuser{s.SID, from}] = &refusals{list: list}
	n.e.publishSoon()
}

// refusedBy is who was not let in by a share lately, as clients see it.
func (n *network) refusedBy(sid guest.SID) []ipc.Refusal {
	out := []ipc.Refusal{}
	v := n.book.View()
	for at, q := range n.refused {
		if at.sid != sid {
			continue
		}
		for _, r := range q.list {
			out = append(out, ipc.Refusal{
				At: time.UnixMilli(r.At).UTC(), Code: r.Code, Text: r.Text, Label: r.Label, Key: r.Key, Link: r.Link,
				Device: v.NameOf(at.device), Count: r.Count,
			})
		}
	}
	slices.SortFunc(out, func(a, b ipc.Refusal) int { return b.At.Compare(a.At) })
	return out[:min(len(out), refusalsMost)]
}

// forgetRefused drops what is of shares that are gone, or of devices that are.
func (n *network) forgetRefused() {
	v := n.book.View()
	for at, q := range n.refused {
		if guest.Read(v, at.sid) == nil || v.Member(at.device) == nil {
			if q.timer != nil {
				q.timer.Stop()
			}
			delete(n.refused, at)
		}
	}
}
