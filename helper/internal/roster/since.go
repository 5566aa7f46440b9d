package roster

import (
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// before evaluates what there would be if nothing of what some keys wrote had
// come here after a time: what their late records cut or outdid counts again.
func (e *eval) before(since time.Time, keys []key.Public) *eval {
	void := make([]bool, len(e.nodes))
	for i := 1; i < len(e.nodes); i++ {
		n := &e.nodes[i]
		void[i] = void[n.prev] || n.at.After(since) && slices.Contains(keys, n.rec.Author)
	}
	return evaluateWithout(e.nodes, void)
}

// revive says in this author's name those settings of a target that would stand
// but for an earlier cut: one that kept what a late record had made of them.
func (w *writer) revive(e *eval, target key.Public) error {
	if e.void == nil {
		return nil
	}
	void, cuts := slices.Clone(e.void), []int32(nil)
	for i := range e.nodes {
		if e.live[i] && e.cutsKey(int32(i), target) {
			void[i] = true
			cuts = append(cuts, int32(i))
		}
	}
	if len(cuts) == 0 {
		return nil
	}
	was := evaluateWithout(e.nodes, void)
	for i := range e.nodes {
		n := &e.nodes[i]
		if n.rec.Type != TypeSet || n.rec.Author != target || !was.live[i] || e.live[i] ||
			slices.ContainsFunc(cuts, func(c int32) bool { return !w.misled(e, c, n) }) {
			continue
		}
		if err := w.restate(was, int32(i)); err != nil {
			return err
		}
	}
	return nil
}

// cutsKey tells whether a record is a revocation of a key or of a grant to it.
func (e *eval) cutsKey(i int32, k key.Public) bool {
	n := &e.nodes[i]
	b, ok := n.rec.Body.(*Revoke)
	return ok && (b.Key == k || n.target >= 0 && e.nodes[n.target].rec.Type == TypeGrant && e.nodes[n.target].subject() == k)
}

// misled tells whether a cut keeps a setting, or a late one in its place.
func (w *writer) misled(e *eval, cut int32, n *node) bool {
	b := n.rec.Body.(*Setting)
	return slices.ContainsFunc(e.nodes[cut].rec.Body.(*Revoke).Keep, func(id ID) bool {
		i, ok := w.view.find(id)
		if !ok || e.nodes[i].grant != n.grant {
			return false
		}
		o, ok := e.nodes[i].rec.Body.(*Setting)
		return ok && o.Key == b.Key && (id == n.rec.ID || e.void[i])
	})
}
