package wire

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/wire/udp"
)

// A NAT that gives each far end another port cannot be met at an address that
// others have seen. By the birthday paradox it can all the same: who is behind
// it opens many ports towards the peer's address, the peer sends to many ports
// of the NAT's address, and two of them meet. With 256 ports and 1,000 pings
// that happens 98 times of 100.
const (
	birthdayPorts = 256
	birthdayPings = 1000
	birthdayEvery = 50 * time.Millisecond // so many pings at once:
	birthdayBurst = 10
	birthdayWaits = time.Second     // for other means
	birthdayLasts = 8 * time.Second // all in all
	lowestOutside = 1024            // ports that NATs use
	nearOutside   = 32              // on each side of a port that was seen
)

// birthdayAgain is how long after each attempt the next may begin.
var birthdayAgain = [...]time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute}

// birthday is what there is to know about the attempts to meet one peer.
type birthday struct {
	tries   int
	next    time.Time
	spray   bucket // of our pings for the peer's attempts
	under   bool   // an attempt of ours is under way
	meeting *port  // by which the peer was met
	close   func()
}

// tendBirthday begins an attempt where we are behind such a NAT, the peer is
// not, and nothing but a way over others has been found.
func (p *peer) tendBirthday(now time.Time, out *outbox, next *agenda) {
	c, w := p.c, p.wire
	best := c.paths.best
	if w.listen == nil || c.base != nil || best == nil || !best.isChain() || p.overUDP() || !c.want && !c.isActive(now) {
		return
	}
	if c.birthday == nil {
		c.birthday = &birthday{next: c.since.Add(birthdayWaits)}
	}
	b := c.birthday
	if b.under || b.meeting != nil {
		return
	}
	if now.Before(b.next) {
		next.at(b.next)
		return
	}
	to := p.open(now)
	if len(to) == 0 {
		b.next = now.Add(birthdayWaits)
		next.at(b.next)
		return
	}
	if w.birthdays > 0 { // one at a time
		b.next = now.Add(birthdayLasts)
		next.at(b.next)
		return
	}
	b.next = now.Add(jittered(birthdayAgain[min(b.tries, len(birthdayAgain)-1)]))
	b.tries++
	b.under = true
	w.birthdays++
	h := header{kind: kindPing, flags: c.ownWord(), from: w.boot, to: c.boot}
	w.wg.Go(func() { w.openPorts(p, h, to) })
	out.add(p, kindMeet, c.boot, nil, best.place, best.src)
}

// endMeeting closes the port by which the peer was met, once no path takes it or
// the peer is cut.
func (p *peer) endMeeting() {
	b := p.c.birthday
	if b == nil || b.meeting == nil {
		return
	}
	if p.cut.Load() || !slices.ContainsFunc(p.c.paths.all, func(q *path) bool { return q.via == b.meeting }) {
		b.meeting = nil
		p.wire.wg.Go(b.close)
	}
}

// open are the addresses at which the peer can be met from behind a NAT such as
// ours; none if ours is not such a one.
func (p *peer) open(now time.Time) (to []netip.AddrPort) {
	if p.wire.nat(true, now) != NATHard {
		return nil
	}
	for _, t := range p.c.told {
		if outer(t.addr.Addr()) && t.nat != NATHard && len(to) < 2 {
			to = append(to, t.addr)
		}
	}
	return to
}

// outer tells IPv4 addresses that may be a NAT's, or a host's in the open.
func outer(a netip.Addr) bool {
	return a.Is4() && a.IsGlobalUnicast() && !a.IsPrivate()
}

// openPorts opens ports, pings the peer from each to open the NAT, and waits
// until the peer has found one of them. The others are closed.
func (w *Wire) openPorts(p *peer, ping header, to []netip.AddrPort) {
	type opened struct {
		*port
		close func()
	}
	var all []opened
	defer func() {
		w.mu.Lock()
		b := p.c.birthday
		var won *port
		for _, q := range p.c.paths.all {
			if i := slices.IndexFunc(all, func(o opened) bool { return q.via == o.port }); i >= 0 && b.meeting == nil && !p.cut.Load() {
				won, b.meeting, b.close, b.tries = all[i].port, all[i].port, all[i].close, 0
			}
		}
		b.under = false
		w.birthdays--
		w.mu.Unlock()
		for _, o := range all {
			if o.port != won {
				o.close()
			}
		}
	}()
	for range birthdayPorts {
		c, err := w.listen(0)
		if err != nil {
			w.log.Debug("open a port to meet a peer", "err", err)
			break
		}
		v, remove := w.addPort(c, 1)
		all = append(all, opened{v, func() { remove(); c.Close() }})
		for _, a := range to {
			if b, err := p.sealDatagram(nil, ping, appendTxid(nil, rand.Uint64())); err == nil {
				v.write([][]byte{b}, a, udp.Source{})
			}
		}
	}
	t := time.NewTicker(birthdayEvery)
	defer t.Stop()
	for end := time.Now().Add(birthdayLasts); time.Now().Before(end); {
		select {
		case <-w.done:
			return
		case <-t.C:
		}
		w.mu.Lock()
		met := p.cut.Load() || p.overUDP()
		w.mu.Unlock()
		if met {
			return
		}
	}
}

// takeMeet takes the peer's word that it has opened ports: they are looked for,
// if our own address can be met.
func (p *peer) takeMeet(a arrival) {
	c, w := p.c, p.wire
	if c.birthday == nil {
		c.birthday = &birthday{next: c.since.Add(birthdayWaits)}
	}
	b := &c.birthday.spray
	b.rate, b.burst = 1/30.0, 1
	var seen []netip.AddrPort
	for _, t := range c.told {
		if outer(t.addr.Addr()) && t.nat == NATHard {
			seen = append(seen, t.addr)
		}
	}
	if len(seen) == 0 || p.overUDP() || w.sprays >= maxSprays || w.nat(true, a.now) == NATHard || !b.allow(a.now) {
		return
	}
	w.sprays++
	h := header{kind: kindPing, flags: c.ownWord(), from: w.boot, to: c.boot}
	w.wg.Go(func() { w.spray(p, h, birthdayTargets(seen)) })
}

// maxSprays bounds what several peers can make us send at once.
const maxSprays = 2

// spray pings the targets until the peer is met.
func (w *Wire) spray(p *peer, ping header, targets []netip.AddrPort) {
	t := time.NewTicker(birthdayEvery)
	defer t.Stop()
	for len(targets) > 0 {
		for _, to := range targets[:min(birthdayBurst, len(targets))] {
			if b, err := p.sealDatagram(nil, ping, appendTxid(nil, rand.Uint64())); err == nil {
				w.conn.WriteBatch([][]byte{b}, to, udp.Source{})
			}
		}
		targets = targets[min(birthdayBurst, len(targets)):]
		select {
		case <-w.done:
			targets = nil
		case <-t.C:
		}
		w.mu.Lock()
		if p.cut.Load() || p.overUDP() {
			targets = nil
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.sprays--
	w.mu.Unlock()
}

// birthdayTargets are ports of the addresses at which a NAT has been seen: those
// near the ones seen first, since some NATs count, then any.
func birthdayTargets(seen []netip.AddrPort) (out []netip.AddrPort) {
	picked := map[netip.AddrPort]bool{}
	add := func(ip netip.Addr, port int) {
		a := netip.AddrPortFrom(ip, uint16(port))
		if port >= lowestOutside && port <= 65535 && !picked[a] && len(out) < birthdayPings {
			picked[a] = true
			out = append(out, a)
		}
	}
	for d := 1; d <= nearOutside; d++ {
		add(seen[0].Addr(), int(seen[0].Port())+d)
		add(seen[0].Addr(), int(seen[0].Port())-d)
	}
	var ips []netip.Addr
	for _, a := range seen {
		if !slices.Contains(ips, a.Addr()) && len(ips) < 2 {
			ips = append(ips, a.Addr())
		}
	}
	for len(out) < birthdayPings {
		add(ips[rand.IntN(len(ips))], lowestOutside+rand.IntN(65536-lowestOutside))
	}
	return out
}
