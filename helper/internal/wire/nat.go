package wire

import (
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/discover/stun"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

const (
	maxViews  = 32
	stunEvery = 5 * time.Minute
)

// view is what one place sees our port at.
type view struct {
	stun.Answer
	by key.Public // zero: a server
	at time.Time
}

// outside is what others tell about the way that our datagrams take.
type outside struct {
	views   []view // the latest of each place, at most maxViews
	client  stun.Client
	asked   time.Time // the servers
	mirror  stun.TxID // of a request sent to our own outside address
	hairpin bool
}

// see takes what a peer or a server sees us at. Callers hold Wire.mu.
func (w *Wire) see(a stun.Answer, by key.Public, now time.Time) (changed bool) {
	o := &w.outside
	o.views = slices.DeleteFunc(o.views, func(v view) bool {
		return v.Server == a.Server || now.Sub(v.at) > observedLives
	})
	if len(o.views) >= maxViews {
		o.views = slices.Delete(o.views, 0, 1)
	}
	o.views = append(o.views, view{a, by, now})
	l := w.local.Load()
	if l.ours(a.Mapped.Addr()) || stun.Plausible(a, l.own) != nil {
		return false
	}
	changed = w.observed.note(by, a.Mapped, now)
	if changed {
		o.mirror = stun.NewTxID()
	}
	return changed
}

// judge parts the views into those to believe and the others.
func (o *outside) judge(l *local, four bool, now time.Time) (good []stun.Answer, lies []view) {
	var all []stun.Answer
	for _, v := range o.views {
		if now.Sub(v.at) <= observedLives && v.Server.Addr().Is4() == four {
			all = append(all, v.Answer)
		}
	}
	good, bad := stun.Judge(all, l.own)
	for _, b := range bad {
		i := slices.IndexFunc(o.views, func(v view) bool { return v.Server == b.Server })
		lies = append(lies, o.views[i])
	}
	return good, lies
}

// nat is the kind of NAT that our IPv4 or IPv6 goes through.
func (w *Wire) nat(four bool, now time.Time) NAT {
	good, _ := w.outside.judge(w.local.Load(), four, now)
	switch stun.NAT(good, w.local.Load().addrs) {
	case stun.None:
		return NATNone
	case stun.Easy:
		return NATEasy
	case stun.Hard:
		return NATHard
	}
	return NATUnknown
}

// askServers asks the configured servers where they see us. It returns when to
// ask again.
func (w *Wire) askServers(now time.Time, out *outbox) time.Time {
	o := &w.outside
	if len(w.servers) == 0 {
		return time.Time{}
	}
	if now.Sub(o.asked) >= stunEvery {
		o.asked = now
		for _, server := range w.servers {
			if b := o.client.Request(server, now); b != nil && w.usable(w.local.Load(), at(server)) {
				out.items = append(out.items, outgoing{raw: b, to: at(server)})
			}
		}
	}
	return o.asked.Add(stunEvery)
}

// reflect sends a request to our own outside address, which comes back if the
// NAT lets it. Callers hold Wire.mu.
func (w *Wire) reflect(out *outbox) {
	if len(w.observed) > 0 && w.outside.mirror != (stun.TxID{}) {
		w.outside.hairpin = false
		out.items = append(out.items, outgoing{raw: stun.Request(w.outside.mirror), to: at(w.observed[0].addr)})
	}
}

// takeSTUN takes a STUN datagram: an answer to us, our own request come back,
// or someone's request.
func (w *Wire) takeSTUN(b []byte, from place, src udp.Source) {
	now := time.Now()
	if !from.isUDP() || !w.limits.stun.allow(now) {
		w.drops.stun.Add(1)
		return
	}
	var out outbox
	w.mu.Lock()
	o := &w.outside
	a, ours, err := o.client.Response(b, from.addr, now)
	mirrored := len(b) >= 20 && o.mirror != (stun.TxID{}) && stun.TxID(b[8:20]) == o.mirror
	switch {
	case mirrored:
		o.hairpin = true
	case ours && err == nil && from.via == nil:
		if w.see(a, key.Public{}, now) {
			w.reflect(&out)
			w.tellAll(&out, now)
		}
	}
	w.mu.Unlock()
	w.transmit(&out)
	if mirrored || ours {
		return
	}
	if w.answerSTUN != nil {
		var buf [576]byte
		if answer := w.answerSTUN(b, from.addr, buf[:]); len(answer) > 0 {
			w.send([][]byte{answer}, &from, src)
			return
		}
	}
	w.drops.stun.Add(1)
}

// SetMapped sets at which addresses a router passes datagrams on to our port.
func (w *Wire) SetMapped(addrs []netip.AddrPort) {
	var out outbox
	w.mu.Lock()
	if !slices.Equal(addrs, w.mapped) {
		w.mapped = slices.Clone(addrs)
		w.tellAll(&out, time.Now())
	}
	w.mu.Unlock()
	w.transmit(&out)
}
