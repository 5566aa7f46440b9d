package roster

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Explanation is a record in words.
type Explanation struct {
	Record *Record
	Valid  bool   // it counts
	Why    string // why it counts or not
	Says   string // what it says, in one line
}

// Explain tells what a record says and why it counts or not; false if it is not held.
func (v *View) Explain(id ID) (Explanation, bool) {
	i, ok := v.find(id)
	if !ok {
		return Explanation{}, false
	}
	return v.explain(i), true
}

// Explanations yields all records held, each after its references.
func (v *View) Explanations() iter.Seq[Explanation] {
	return func(yield func(Explanation) bool) {
		for i := range v.eval.nodes {
			if !yield(v.explain(int32(i))) {
				return
			}
		}
	}
}

func (v *View) explain(i int32) Explanation {
	x := Explanation{Record: v.eval.nodes[i].rec, Says: v.says(i)}
	x.Valid, x.Why = v.why(i)
	return x
}

func (v *View) why(i int32) (bool, string) {
	e, n := v.eval, &v.eval.nodes[i]
	if !e.live[i] {
		return false, v.whyDead(i)
	}
	switch b := n.rec.Body.(type) {
	case *Genesis:
		return true, "founds the network"
	case *Grant:
		if e.ended[i] {
			return false, "ended: " + v.cutter(e.cutterOf(i))
		}
	case *Invite:
		if rs := e.ofRecord[i]; len(rs) > 0 {
			return false, "ended: " + v.cutter(rs[0])
		}
	case *Admit:
		return v.whyAdmit(i, b)
	case *Revoke:
		return v.whyRevoke(i, b)
	case *Setting:
		return v.whySetting(i, b)
	case *Leave:
		if r := v.Rank(n.rec.Author); r < plainRank {
			return false, "its author has authority, and would retire by a revocation"
		}
	}
	return true, "in force"
}

// cutterOf is a revocation that ends a grant.
func (e *eval) cutterOf(g int32) int32 {
	if c := e.cuts[g]; len(c) > 0 {
		return c[0]
	}
	return e.selfCuts[g][0]
}

func (v *View) cutter(i int32) string {
	r := v.eval.nodes[i].rec
	return fmt.Sprintf("revoked by %s (%s)", v.NameOf(r.Author), r.ID.Short())
}

// dropped is a revocation because of which a record is not live, with the
// record that it hits: this one or the grant above. Both are -1 if there is none.
func (e *eval) dropped(i int32) (by, hit int32) {
	for g := e.nodes[i].grant; ; i, g = g, e.nodes[g].grant {
		for _, c := range e.cuts[g] {
			if !e.keeps(c, i) {
				return c, i
			}
		}
		for _, c := range e.selfCuts[g] {
			if c != i && !e.keeps(c, i) && !(e.pos[c] >= e.pos[i] && e.pos[c] < e.pos[i]+e.size[i]) {
				return c, i
			}
		}
		if g == 0 {
			return -1, -1
		}
	}
}

func (v *View) whyDead(i int32) string {
	by, hit := v.eval.dropped(i)
	if by < 0 {
		return "not in force"
	}
	r := v.eval.nodes[by].rec
	what := "not kept when "
	if hit != i {
		what = "its author's grant was not kept when "
	}
	return what + v.NameOf(r.Author) + " revoked " + v.revoked(by) + " (" + r.ID.Short() + ")"
}

func (v *View) revoked(i int32) string {
	b := v.eval.nodes[i].rec.Body.(*Revoke)
	if b.Record.IsZero() {
		return v.NameOf(b.Key)
	}
	t := v.eval.nodes[v.eval.nodes[i].target].rec
	if g, ok := t.Body.(*Grant); ok {
		return "the grant " + t.ID.Short() + " to " + v.NameOf(g.Subject)
	}
	return "the invite " + t.ID.Short()
}

func (v *View) whyAdmit(i int32, b *Admit) (bool, string) {
	e := v.eval
	c := e.cands[b.Device]
	if by := e.removedBy(b.Device); by >= 0 {
		return false, v.cutter(by)
	}
	if c == nil && v.RemovedBy(b.Device) != nil {
		return false, "the device left"
	}
	valid := false
	if c != nil {
		for _, a := range c.admits {
			valid = valid || a == i
		}
	}
	switch {
	case !valid:
		return false, "its invite is not in force"
	case !c.member:
		return false, c.lost
	case c.admits[0] == i && c.keys == i:
		return true, "admits " + c.name
	case c.admits[0] == i:
		return true, "admits " + c.name + ", whose keys are in a later admission"
	case c.keys == i:
		return true, "has the keys of " + c.name
	}
	return false, "superseded by " + e.nodes[c.admits[0]].rec.ID.Short()
}

func (v *View) whyRevoke(i int32, b *Revoke) (bool, string) {
	n := &v.eval.nodes[i]
	if t := n.target; t >= 0 {
		if g := &v.eval.nodes[t]; g.rec.Type == TypeGrant && g.confers() <= n.depth {
			return false, "its target is not below its author"
		}
		return true, "in force"
	}
	if v.Rank(b.Key) <= int(n.depth) && n.rec.Author != b.Key {
		return false, "its target is not below its author"
	}
	return true, "in force"
}

func (v *View) whySetting(i int32, b *Setting) (bool, string) {
	n := &v.eval.nodes[i]
	w, ok := v.eval.value(b.Key)
	switch {
	case ok && w.by == i:
		return true, "in force"
	case ok:
		return false, "superseded by " + v.eval.nodes[w.by].rec.ID.Short()
	case v.eval.cands[n.key.device] == nil || !v.eval.cands[n.key.device].member:
		return false, "its device is no member"
	}
	return false, "the device was admitted by a senior of its author"
}

// says is a record's content in one line.
func (v *View) says(i int32) string {
	n := &v.eval.nodes[i]
	switch b := n.rec.Body.(type) {
	case *Genesis:
		return "found " + b.Name
	case *Grant:
		return fmt.Sprintf("make %s %s", v.NameOf(b.Subject), b.role(n.confers()))
	case *Invite:
		s := "any sponsor"
		if !b.Any {
			s = fmt.Sprintf("sponsor %s, %s", v.NameOf(b.Sponsor), plural(b.Uses, "use"))
		}
		return fmt.Sprintf("invite until %s, %s%s", stamp(b.Expires), s, tagged(b.Tags))
	case *Admit:
		s := fmt.Sprintf("admit %s (%s)%s", b.Name, b.Device.Short(), tagged(b.Tags))
		if a := Addr4(v.Network, b.IP); a.IsValid() {
			s += " at " + a.String()
		}
		if b.Expires != 0 {
			s += " until " + stamp(b.Expires)
		}
		return s
	case *Revoke:
		return "revoke " + v.revoked(i) + ", keeping " + plural(uint64(len(b.Keep)), "record")
	case *Setting:
		return v.saysSetting(n, b)
	}
	return "leave"
}

func (v *View) saysSetting(n *node, b *Setting) string {
	name := b.Key
	if n.key.ofDevice() {
		name = fieldNames[n.key.field] + " of " + v.NameOf(n.key.device)
	}
	if len(b.Value) == 0 {
		return "clear " + name
	}
	return "set " + name + " to " + n.key.text(b.Value)
}

// text is a checked value for people.
func (k *setKey) text(value []byte) string {
	switch k.class {
	case classEpoch, classSuccessor:
		return fmt.Sprintf("%.5x…", value)
	case classFormat:
		n, _ := DecodeUint(value)
		return strconv.FormatUint(n, 10)
	case classDNS:
		return strconv.Quote(strings.Join(k.list, " "))
	case classDev, classNet:
		return k.deviceText(value)
	}
	return plural(uint64(len(value)), "byte")
}

func (k *setKey) deviceText(value []byte) string {
	switch k.field {
	case fieldName:
		return string(value)
	case fieldIP:
		n, _ := DecodeUint(value)
		return strconv.FormatUint(n, 10)
	case fieldExit:
		return "approved"
	case fieldRelay:
		r, _ := decodeRelay(value)
		return fmt.Sprintf("%s %v", r.Host, r.Addrs)
	}
	list, _ := DecodeList(value)
	return strings.Join(list, ",")
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatUint(n, 10) + " " + what + "s"
}

func tagged(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	return " tagged " + strings.Join(tags, ",")
}

func stamp(ms uint64) string { return Time(ms).UTC().Format(time.RFC3339) }
