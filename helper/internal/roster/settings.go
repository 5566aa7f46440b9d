package roster

import "cmp"

// setting is the record that wins a set key.
type setting struct {
	by    int32
	value []byte
}

// beats orders two records of one set key: highest clock, then least depth,
// then highest ID (rule 12).
func (e *eval) beats(a, b int32) bool {
	x, y := &e.nodes[a], &e.nodes[b]
	return cmp.Or(cmp.Compare(x.rec.Clock, y.rec.Clock), cmp.Compare(y.depth, x.depth), compareID(x.rec.ID, y.rec.ID)) > 0
}

// settings finds the winners of set keys and, in between, the members' claims,
// which names and IPv4 indices from settings enter.
func (e *eval) settings() {
	e.values = map[string]setting{}
	for i := range e.nodes {
		n := &e.nodes[i]
		if !e.live[i] || n.key == nil || !e.counts(n) {
			continue
		}
		b := n.rec.Body.(*Setting)
		if w, ok := e.values[b.Key]; !ok || e.beats(int32(i), w.by) {
			e.values[b.Key] = setting{int32(i), b.Value}
		}
	}
	for _, c := range e.cands {
		c.name, c.nameBy = e.admit(c.admits[0]).Name, c.admits[0]
		c.index, c.indexBy = e.admit(c.admits[0]).IP, c.admits[0]
		if w, ok := e.values[DevKey(c.device, FieldName)]; ok && len(w.value) > 0 {
			c.name, c.nameBy = string(w.value), w.by
		}
		if w, ok := e.values[DevKey(c.device, FieldIP)]; ok {
			n, _ := DecodeUint(w.value)
			c.index, c.indexBy = uint16(n), w.by
		}
	}
	e.claims()
	for k, w := range e.values {
		if d := e.nodes[w.by].key; d.class == classDev || d.class == classNet {
			if c := e.cands[d.device]; c == nil || !c.member {
				delete(e.values, k)
			}
		}
	}
}

// counts tells whether a live set record may win: what names a device needs a
// candidate, and dev/ one that no senior admitted.
func (e *eval) counts(n *node) bool {
	if n.key.class != classDev && n.key.class != classNet {
		return true
	}
	c := e.cands[n.key.device]
	if c == nil {
		return false
	}
	return n.key.class == classNet || n.depth <= e.nodes[c.admits[0]].depth
}

// format is the format in force.
func (e *eval) format() uint64 {
	if w, ok := e.values[KeyFormat]; ok {
		if n, err := DecodeUint(w.value); err == nil && n > 0 {
			return n
		}
	}
	return Format
}
