package roster

import (
	"cmp"
	"iter"
	"strings"
)

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
		if !e.live[i] || n.key == nil {
			continue
		}
		b := n.rec.Body.(*Setting)
		if !n.key.ofDevice() {
			if w, ok := e.values[b.Key]; !ok || e.beats(int32(i), w.by) {
				e.values[b.Key] = setting{int32(i), b.Value}
			}
			continue
		}
		c := e.cands[n.key.device]
		if c == nil || n.key.class == classDev && n.depth > e.nodes[c.admits[0]].depth {
			continue // it names no device, or one that a senior admitted
		}
		if w := &c.set[n.key.field]; w.by == 0 || e.beats(int32(i), w.by) {
			*w = setting{int32(i), b.Value}
		}
	}
	for _, c := range e.cands {
		c.name, c.nameBy = e.admit(c.admits[0]).Name, c.admits[0]
		c.index, c.indexBy = e.admit(c.admits[0]).IP, c.admits[0]
		if w := c.set[fieldName]; len(w.value) > 0 {
			c.name, c.nameBy = string(w.value), w.by
		}
		if w := c.set[fieldIP]; w.by > 0 {
			n, _ := DecodeUint(w.value)
			c.index, c.indexBy = uint16(n), w.by
		}
	}
	e.claims()
}

// value is the winner of a set key. Keys that name a non-member have none.
func (e *eval) value(k string) (setting, bool) {
	if !strings.HasPrefix(k, "dev/") && !strings.HasPrefix(k, "net/") {
		w, ok := e.values[k]
		return w, ok
	}
	sk, err := parseSetKey(k)
	if err != nil {
		return setting{}, false
	}
	return e.deviceValue(&sk)
}

func (e *eval) deviceValue(k *setKey) (setting, bool) {
	c := e.cands[k.device]
	if c == nil || !c.member {
		return setting{}, false
	}
	w := c.set[k.field]
	return w, w.by > 0
}

// allValues yields the winners of all set keys, in no order.
func (e *eval) allValues() iter.Seq2[string, setting] {
	return func(yield func(string, setting) bool) {
		for k, w := range e.values {
			if !yield(k, w) {
				return
			}
		}
		for _, c := range e.cands {
			for _, w := range c.set {
				if c.member && w.by > 0 && !yield(e.nodes[w.by].rec.Body.(*Setting).Key, w) {
					return
				}
			}
		}
	}
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
