package replica

import (
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/store"
)

// SetPresence signs what this device says of itself and passes it on.
func (r *Replica) SetPresence(p Presence) {
	p.Device = r.cfg.Self.Public()
	r.mu.Lock()
	p.Seq = max(time.Now().UnixMilli(), r.own.Seq+1)
	raw, err := signPresence(r.cfg.Network, r.cfg.Self, p)
	if err != nil {
		r.mu.Unlock()
		r.cfg.Log.Error("sign presence", "err", err)
		return
	}
	r.own, r.ownRaw = p, raw
	r.mu.Unlock()
	for _, l := range r.others(key.Public{}) {
		l.send(message{Presence: [][]byte{raw}})
	}
}

// Gone says that this device is stopping.
func (r *Replica) Gone() {
	r.mu.Lock()
	p := r.own
	r.mu.Unlock()
	if !p.Device.IsZero() {
		p.Gone = true
		r.SetPresence(p)
	}
}

// Presence is the newest word of a member, and when it came.
func (r *Replica) Presence(id key.Public) (p Presence, at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.presence[id]
	return h.Presence, h.at, ok
}

// Presences is the newest word of every member, for the joiner and the cache.
func (r *Replica) Presences() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([][]byte, 0, 1+len(r.presence))
	if r.ownRaw != nil {
		out = append(out, r.ownRaw)
	}
	for _, h := range r.presence {
		if len(out) > floodUpTo {
			break
		}
		out = append(out, h.raw)
	}
	return out
}

// Stored is the presence held, for the store.
func (r *Replica) Stored() []store.Presence {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]store.Presence, 0, len(r.presence))
	for id, h := range r.presence {
		out = append(out, store.Presence{Key: id, Raw: h.raw, At: h.at})
	}
	return out
}

// Hear takes in signed presence, from a neighbour, the store or (with a zero
// from) a sponsor. What is new is passed on in small networks.
func (r *Replica) Hear(raws [][]byte, from key.Public) {
	var fresh [][]byte
	for _, raw := range raws {
		p, err := openPresence(r.cfg.Network, raw)
		if err != nil {
			r.cfg.Log.Debug("presence refused", "from", from.Short(), "err", err)
			continue
		}
		if r.keep(p, raw) {
			fresh = append(fresh, raw)
			r.cfg.Handler.Presence(p)
		}
	}
	r.mu.Lock()
	flood := len(r.members) <= floodUpTo
	r.mu.Unlock()
	if len(fresh) == 0 || !flood {
		return
	}
	for _, l := range r.others(from) {
		l.send(message{Presence: fresh})
	}
}

func (r *Replica) keep(p Presence, raw []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.members[p.Device] || p.Device == r.cfg.Self.Public() {
		return false
	}
	if old, ok := r.presence[p.Device]; ok && old.Seq >= p.Seq {
		return false
	}
	r.presence[p.Device] = heard{Presence: p, raw: raw, at: time.Now()}
	return true
}

// Ask asks the neighbours for a member's presence, which large networks do not
// flood.
func (r *Replica) Ask(id key.Public) {
	for _, l := range r.others(id) {
		l.send(message{Who: [][]byte{id[:]}})
	}
}

func (r *Replica) answerWho(l *link, who [][]byte) {
	var out [][]byte
	r.mu.Lock()
	for _, w := range who[:min(len(who), 64)] {
		if len(w) != len(key.Public{}) {
			continue
		}
		switch id := key.Public(w); {
		case id == r.cfg.Self.Public() && r.ownRaw != nil:
			out = append(out, r.ownRaw)
		case r.presence[id].raw != nil:
			out = append(out, r.presence[id].raw)
		}
	}
	r.mu.Unlock()
	if len(out) > 0 {
		l.send(message{Presence: out})
	}
}
