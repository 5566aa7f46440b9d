package roster

import "kith.internal/helper/internal/key"

// pendingBytes bounds what one neighbour may leave pending.
const pendingBytes = 256 << 10

// waiting is a record whose references are not all held.
type waiting struct {
	rec  *Record
	opts AddOptions
	lack int // references still missing
}

// pending holds records in memory until their references come. Each neighbour
// has a budget of its own, so that none can push out another's.
type pending struct {
	byID  map[ID]*waiting
	for_  map[ID][]ID // a missing reference -> the records that wait for it
	bytes map[key.Public]int
	order map[key.Public][]ID // oldest first
}

func (p *pending) init() {
	p.byID, p.for_ = map[ID]*waiting{}, map[ID][]ID{}
	p.bytes, p.order = map[key.Public]int{}, map[key.Public][]ID{}
}

func (p *pending) has(id ID) bool { return p.byID[id] != nil }

// add makes room among the neighbour's own, oldest first.
func (p *pending) add(r *Record, o AddOptions, missing []ID) bool {
	if len(r.Raw) > pendingBytes {
		return false
	}
	for p.bytes[o.From]+len(r.Raw) > pendingBytes {
		p.remove(p.order[o.From][0])
	}
	p.byID[r.ID] = &waiting{rec: r, opts: o, lack: len(missing)}
	p.bytes[o.From] += len(r.Raw)
	p.order[o.From] = append(p.order[o.From], r.ID)
	for _, id := range missing {
		p.for_[id] = append(p.for_[id], r.ID)
	}
	return true
}

func (p *pending) remove(id ID) {
	w := p.byID[id]
	delete(p.byID, id)
	from := w.opts.From
	p.bytes[from] -= len(w.rec.Raw)
	p.order[from] = without(p.order[from], id)
	if len(p.order[from]) == 0 {
		delete(p.order, from)
		delete(p.bytes, from)
	}
	for _, ref := range w.rec.references() {
		if list, ok := p.for_[ref]; ok {
			if list = without(list, id); len(list) == 0 {
				delete(p.for_, ref)
			} else {
				p.for_[ref] = list
			}
		}
	}
}

// recount finds anew what each record waits for, after records were dropped.
func (p *pending) recount(missing func(*Record) []ID) {
	old := *p
	p.init()
	for _, order := range old.order {
		for _, id := range order {
			w := old.byID[id]
			p.add(w.rec, w.opts, missing(w.rec))
		}
	}
}

func without(list []ID, id ID) []ID {
	for i := range list {
		if list[i] == id {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// wake takes out the records that lacked nothing but the one with this ID.
func (p *pending) wake(id ID) (ready []*waiting) {
	list := p.for_[id]
	delete(p.for_, id)
	for _, w := range list {
		rec := p.byID[w]
		if rec.lack--; rec.lack == 0 {
			ready = append(ready, rec)
		}
	}
	for _, w := range ready {
		p.remove(w.rec.ID)
	}
	return ready
}

// Missing lists the records that pending ones wait for and that nobody has
// given yet: what to ask neighbours for.
func (s *Set) Missing() (ids []ID) {
	for id := range s.pend.for_ {
		if !s.pend.has(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// DropPending forgets what a neighbour left pending, such as one that is gone.
func (s *Set) DropPending(from key.Public) {
	for len(s.pend.order[from]) > 0 {
		s.pend.remove(s.pend.order[from][0])
	}
}
