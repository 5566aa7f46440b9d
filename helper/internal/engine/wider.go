package engine

import (
	"net/netip"
	"time"

	"kith.internal/helper/internal/key"
)

// A subnet whose router is lost is left to a wider one that holds it. A router
// is not lost for want of a path alone, which it may just not have needed: it has
// been sought so long, in vain. It goes on being sought, so often.
const (
	viaSought = 2 * time.Second
	viaBack   = 15 * time.Second
)

// sought is a router without a path that is looked for.
type sought struct{ since, asked time.Time }

// way is a subnet with who was chosen to lead there.
type way struct {
	prefix netip.Prefix
	via    via
}

// yields is pure: whether a subnet is left to a wider one, as it was before or
// not. ask: either router is to be asked, for that is not sure.
func yields(before bool, v, wider via) (yes, ask bool) {
	works := wider.rank() == 2
	switch {
	case v.key == wider.key:
		return false, false
	case v.rank() == 2: // it may have gone since it was last heard
		return before && works && !v.fresh, before
	case v.online && !before:
		return works && wider.fresh, true
	case !v.online && !before:
		return works && v.lost, true
	}
	return works, true
}

// leave takes the subnets out that are left to wider ones: the router of one of
// those leads to all that is in it, by an admin's word. ways begin with the widest.
// after is when to choose again, 0 for not.
func (on *live) leave(ways []way) (kept map[netip.Prefix]key.Public, after time.Duration) {
	kept = map[netip.Prefix]key.Public{}
	left, asked := map[netip.Prefix]bool{}, map[key.Public]sought{}
	var stay []way
	soon := func(d time.Duration) {
		if after == 0 || d < after {
			after = d
		}
	}
	for _, w := range ways {
		yes := false
		if wider := narrowest(stay, w.prefix); wider != nil {
			var ask bool
			if yes, ask = yields(on.left[w.prefix], w.via, wider.via); ask {
				soon(on.seek(w.via, asked))
				soon(on.seek(wider.via, asked))
			}
		}
		if left[w.prefix] = yes; !yes {
			stay = append(stay, w)
			kept[w.prefix] = w.via.key
		}
	}
	on.left, on.sought = left, asked
	return kept, after
}

// seek asks a router for a sign of life, and returns when to look again.
func (on *live) seek(v via, asked map[key.Public]sought) time.Duration {
	now := time.Now()
	s, ok := asked[v.key]
	if !ok {
		s = on.sought[v.key]
	}
	if v.online {
		s.since = time.Time{}
	} else if s.since.IsZero() {
		s = sought{since: now}
	}
	wait := viaBack
	switch {
	case !v.online && now.Sub(s.since) < viaSought:
		wait = viaSought
	case v.silent, v.online && !v.fresh:
		wait = viaLook
	}
	if now.Sub(s.asked) >= wait {
		s.asked = now
		on.wire.Probe(v.key)
	}
	asked[v.key] = s
	return wait
}

// lost tells whether a router without a path has been sought long enough.
func (on *live) lost(k key.Public) bool {
	s := on.sought[k]
	return !s.since.IsZero() && time.Since(s.since) >= viaSought
}

// narrowest is the smallest of the subnets that another lies in, nil for none.
func narrowest(ways []way, p netip.Prefix) (out *way) {
	for i := range ways {
		if q := ways[i].prefix; q.Bits() < p.Bits() && q.Contains(p.Addr()) && (out == nil || q.Bits() > out.prefix.Bits()) {
			out = &ways[i]
		}
	}
	return out
}
