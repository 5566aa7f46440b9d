package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/siit"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/wire"
)

// refresh decides whom to reach, and applies it.
func (s *stay) refresh() {
	w := s.stored()
	if w == nil || s.closed {
		return
	}
	now := time.Now()
	s.rename(w)
	called := s.readViews(w, now)
	shares := slices.DeleteFunc(slices.Clone(called), func(q shareHere) bool { return !q.view.Trusted(now) })
	targets := targetsOf(shares)
	s.pick4s(targets)
	s.exits = s.exitOf(shares)
	s.filter.Set(filter.Compile(nil, s.world(shares), s.n.set.Shields))
	s.map4(targets)
	wanted := s.setWire(called) // before the tunnel: an exit node has a session at once
	s.tunnel.SetPeers(s.tunnelPeers(targets))
	s.routeErr = s.router.Set(s.routes(targets))
	if s.routeErr != nil {
		s.log.Warn("set addresses and routes", "err", s.routeErr)
	}
	s.callAll(wanted)
	s.arm(w, now)
	s.n.e.applyExit()
	s.n.e.publishSoon()
}

// shareHere is a share that is open here.
type shareHere struct {
	*store.VisitShare
	view *guest.View
}

// readViews reads what the friend's side has proved, all of it into s.views, and
// returns whose devices are called: also where the view is too old to be trusted,
// since they alone have a newer one.
func (s *stay) readViews(w *store.Visit, now time.Time) (out []shareHere) {
	s.views = map[guest.SID]*guest.View{}
	for i := range w.Shares {
		q := &w.Shares[i]
		v, err := guest.OpenView(q.Proof, s.id, q.Share)
		if err != nil {
			continue
		}
		if s.views[q.Share] = v; open(q, v, now) {
			out = append(out, shareHere{q, v})
		}
	}
	all := slices.Clone(out)
	for i := range w.Shares {
		if v := s.views[w.Shares[i].Share]; v != nil { // what has ended, after what has not
			all = append(all, shareHere{&w.Shares[i], v})
		}
	}
	s.labels = labelsOf(all)
	return out
}

// labelsOf is what shared devices are called here: as the latest view says, and where
// two views give two devices one name, the one that came first.
func labelsOf(shares []shareHere) map[key.Public]string {
	out, made, by := map[key.Public]string{}, map[key.Public]int64{}, map[string]key.Public{}
	for _, q := range shares {
		for _, t := range q.view.Targets {
			if q.view.Made > made[t.Key] {
				out[t.Key], made[t.Key] = t.Name, q.view.Made
			}
		}
	}
	for _, t := range targetsOf(shares) {
		name, id := out[t.Key], t.Key.String()
		for n := 4; !by[name].IsZero(); n++ {
			name = fmt.Sprintf("%.*s-%s", 62-n, out[t.Key], id[:n])
		}
		out[t.Key], by[name] = name, t.Key
	}
	return out
}

// targetsOf is the shared devices, each once.
func targetsOf(shares []shareHere) (out []guest.Target) {
	for _, q := range shares {
		for _, t := range q.view.Targets {
			if !slices.ContainsFunc(out, func(o guest.Target) bool { return o.Key == t.Key }) {
				out = append(out, t)
			}
		}
	}
	return out
}

// world is what the filter goes by: the shares, one way or both.
func (s *stay) world(shares []shareHere) *filter.World {
	w := &filter.World{
		Networks: []netip.Prefix{roster.Prefix6(s.id)}, Self: s.self,
		Devices: []filter.Device{{Key: s.self, Addrs: []netip.Addr{s.addr}}},
	}
	if a, ok := s.four[s.self]; ok {
		w.Networks = append(w.Networks, netip.PrefixFrom(a, 32))
		w.Devices[0].Addrs = append(w.Devices[0].Addrs, a)
	}
	for _, q := range shares {
		for _, t := range q.view.Targets {
			g := filter.Guest{
				Addrs: s.addrsOf(t), Share: guest.SID(q.Share).String(), Ports: sharePorts(q.view.Ports), In: q.view.Both && q.Both, Out: true,
				Names: t.Key == s.exits,
			}
			for _, a := range g.Addrs[1:] {
				w.Networks = append(w.Networks, netip.PrefixFrom(a, 32))
			}
			w.Guests = append(w.Guests, g)
		}
	}
	return w
}

// tunnelPeers is the shared devices as WireGuard knows them. What is behind a
// shared exit node is all that is nobody's in the friend's network.
func (s *stay) tunnelPeers(targets []guest.Target) (out []tunnel.Peer) {
	for _, t := range targets {
		p := tunnel.Peer{ID: t.Key, WG: t.WG, Addrs: []netip.Addr{t.IP}}
		if t.IP4.IsValid() {
			p.Addrs = append(p.Addrs, siit.Embed(t.IP4))
		}
		if t.Key == s.exits {
			p.Prefixes, p.Hold = internet6(s.id), true
		}
		out = append(out, p)
	}
	return out
}

// setWire says whom the wire has to do with, and by which relays, and returns who
// has to know our keys.
func (s *stay) setWire(shares []shareHere) (wanted map[key.Public]bool) {
	wanted = map[key.Public]bool{}
	var peers []wire.Peer
	var over []key.Public // who passes on
	add := func(p wire.Peer) {
		if wanted[p.ID] {
			return
		}
		wanted[p.ID] = true
		p.Candidates = append(p.Candidates, s.heard[p.ID]...)
		peers = append(peers, p)
	}
	for _, q := range shares {
		for _, c := range q.Contacts {
			if s.heard[c.Key] == nil {
				s.heard[c.Key] = c.Addrs
			}
		}
		for _, r := range q.view.Relays {
			p := wire.Peer{ID: r.Key, Control: r.Control, Candidates: r.Addrs}
			if r.Pin != [32]byte{} {
				p.Relay, p.Candidates = &wire.Relay{Addrs: r.Addrs, Host: r.Host, Pin: r.Pin}, nil
			}
			add(p)
			if !slices.Contains(over, r.Key) {
				over = append(over, r.Key)
			}
		}
		for _, p := range answering(q.view) {
			add(p)
		}
	}
	s.wire.SetPeers(peers)
	s.setChains(peers, over)
	return wanted
}

// answering is whose word on a share counts: the shared devices, and who took the
// acceptance unless that has left.
func answering(v *guest.View) (out []wire.Peer) {
	for _, t := range v.Targets {
		out = append(out, wire.Peer{ID: t.Key, Control: t.Control})
	}
	if !v.Sponsor.Key.IsZero() {
		out = append(out, wire.Peer{ID: v.Sponsor.Key, Control: v.Sponsor.Control})
	}
	return out
}

// routes is what the TUN has and leads to: the shared devices, each alone.
func (s *stay) routes(targets []guest.Target) router.Config {
	c := router.Config{MTU: mtu, Up: true, Addrs: []netip.Prefix{netip.PrefixFrom(s.addr, 128)}}
	if a, ok := s.four[s.self]; ok {
		c.Addrs = append(c.Addrs, netip.PrefixFrom(a, 32))
	}
	for _, t := range targets {
		for _, a := range s.addrsOf(t) {
			c.Routes = append(c.Routes, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return c
}

// setChains has everybody reached over each who passes on.
func (s *stay) setChains(peers []wire.Peer, over []key.Public) {
	for _, p := range peers {
		var chains [][]key.Public
		for _, r := range over {
			if r != p.ID {
				chains = append(chains, []key.Public{r})
			}
		}
		s.wire.SetChains(p.ID, chains)
	}
}

// arm sets the timer for what ends next.
func (s *stay) arm(w *store.Visit, now time.Time) {
	next := now.Add(time.Hour)
	for i := range w.Shares {
		q := &w.Shares[i]
		v := s.views[q.Share]
		if !s.live(q, v, now) {
			continue
		}
		p, _ := guest.PeekPass(q.Pass)
		for _, at := range []time.Time{p.Ends().Add(grace), time.UnixMilli(v.Expires).Add(grace)} {
			if at.After(now) && at.Before(next) {
				next = at
			}
		}
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(next.Sub(now)+time.Millisecond, func() { s.post(s.n.tendVisits) })
}
