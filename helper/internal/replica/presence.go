package replica

import (
	"bytes"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
)

// SetPresence signs what this device says of itself and passes it on.
func (r *Replica) SetPresence(p Presence) {
	p.Device = r.self
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
		p, s, err := readPresence(raw)
		if err == nil && r.heard(p, raw, from) {
			continue // most of what a crowd says, and a signature costs more than all else
		}
		if err == nil && !p.verify(r.cfg.Network, s) {
			err = errSignature
		}
		if err != nil {
			r.cfg.Log.Debug("presence refused", "from", from.Short(), "err", err)
			continue
		}
		limit := r.newest()
		far := p.Seq > limit
		switch {
		case p.Device == r.self:
			if !far {
				r.overtake(p.Seq)
			}
			continue
		case far && from != p.Device:
			r.cfg.Log.Debug("presence of the future refused", "from", from.Short(), "device", p.Device.Short())
			continue
		}
		p.Seq = min(p.Seq, limit)
		if !r.keep(p, raw, from) {
			continue
		}
		if !far {
			fresh = append(fresh, raw)
			r.answerAsking(p.Device, raw, from)
		}
		r.cfg.Handler.Presence(p)
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

// heard tells that a word is nothing new, whether it is true or not: keep would
// not take it.
func (r *Replica) heard(p Presence, raw []byte, from key.Public) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Device == r.self {
		return bytes.Equal(raw, r.ownRaw)
	}
	old, ok := r.presence[p.Device]
	return ok && (bytes.Equal(raw, old.raw) || old.Seq >= p.Seq && from != p.Device)
}

// overtake says our presence again where a neighbour holds one of ours with a
// higher number: this device's clock was ahead in an earlier life, and until then
// nobody would believe it.
func (r *Replica) overtake(seq int64) {
	r.mu.Lock()
	if seq <= r.own.Seq {
		r.mu.Unlock()
		return
	}
	r.own.Seq = seq
	p := r.own
	r.mu.Unlock()
	if !p.Device.IsZero() {
		r.SetPresence(p)
	}
}

// newest is the highest number that presence may have: a clock that was ahead,
// or whoever stole a key, must not speak for a device until its number is
// reached. Where our own clock is behind, the roster's is looked at.
func (r *Replica) newest() int64 {
	now := max(time.Now().UnixMilli(), roster.Time(r.cfg.Book.View().Clock).UnixMilli())
	return now + presenceAhead.Milliseconds()
}

// keep takes a word in if it is newer than what is held, or comes from the
// device itself.
func (r *Replica) keep(p Presence, raw []byte, from key.Public) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.standing(p.Device) {
		return false
	}
	now := time.Now()
	old, ok := r.presence[p.Device]
	switch {
	case !ok:
		old.pace = newPace(wordBurst, wordRate)
	case bytes.Equal(old.raw, raw), old.Seq >= p.Seq && from != p.Device, !old.pace.allow(now):
		return false
	}
	r.presence[p.Device] = heard{Presence: p, raw: raw, at: now, pace: old.pace}
	return true
}
