package engine

import (
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/health"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
)

// warn raises a coded warning of the host or, with its alias, of a network.
func (e *Engine) warn(code, network string, args map[string]string) {
	e.health.Set(health.Warning{Code: code, Network: network, Args: args})
}

func (n *network) warn(code string, args map[string]string) {
	n.warned[code] = true
	n.e.warn(code, n.alias, args)
}

func (n *network) clear(code string) {
	delete(n.warned, code)
	n.e.health.Clear(code, n.alias)
}

// checkIPv4 looks, for each network, whether its IPv4 range is free on this
// host; where it is not, the device runs on IPv6 alone there and says so.
func (e *Engine) checkIPv4() {
	for _, n := range e.nets {
		if n.on == nil {
			continue
		}
		was4, was6 := n.on.use4, n.on.use6
		n.checkFamilies(n.on)
		if was4 != n.on.use4 || was6 != n.on.use6 {
			n.sayPresence()
			n.refresh()
		} else if n.drifted() {
			n.refresh()
		}
		if n.on != nil {
			n.retry6()
		}
	}
}

// checkFamilies sets which overlay families on uses.
func (n *network) checkFamilies(on *live) {
	prefix := rosterRange(n)
	own := n.e.ownInterfaces()
	with, conflict := router.Conflict4(prefix, n.e.host.Interfaces, n.e.routes, func(i int) bool { return own[i] || i == on.index })
	for _, other := range n.e.nets {
		if other != n && other.on != nil && other.on.use4 && rosterRange(other) == prefix {
			with, conflict = "the network "+other.alias, true
		}
	}
	var rule string
	var blocked bool
	if !conflict {
		var err error
		if rule, blocked, err = n.e.cfg.Host.Blocked4(prefix, on.ifname); err != nil {
			n.e.log.Debug("read the firewall's rules", "err", err)
		}
	}
	n.raise(conflict, ipc.HealthIPv4Conflict, map[string]string{"with": with, "range": prefix.String()})
	n.raise(blocked, ipc.HealthIPv4Blocked, map[string]string{"rule": rule, "range": prefix.String()})
	on.use4 = !conflict && !blocked
}

func (n *network) raise(on bool, code string, args map[string]string) {
	if on {
		n.warn(code, args)
	} else if n.warned[code] {
		n.clear(code)
	}
}

// checkRemoved says who removed this device, while it is no member.
func (n *network) checkRemoved() {
	v := n.book.View()
	m := v.Member(n.self)
	switch {
	case m != nil && expired(m, time.Now()):
		n.raise(true, ipc.HealthRemoved, map[string]string{"by": "its expiry", "at": m.Expires.UTC().Format(time.RFC3339)})
	case m != nil:
		n.raise(false, ipc.HealthRemoved, nil)
		n.raise(!m.Expires.IsZero() && time.Until(m.Expires) <= expiryTold, ipc.HealthExpiring,
			map[string]string{"at": m.Expires.UTC().Format(time.RFC3339)})
	default:
		by := "an admin"
		if r := v.RemovedBy(n.self); r != nil {
			by = v.NameOf(r.Author)
		}
		n.raise(true, ipc.HealthRemoved, map[string]string{"by": by})
	}
}

// expiryTold is how long before its end an admission's expiry is announced.
const expiryTold = 30 * 24 * time.Hour

// checkRoster says what is odd about the roster as a whole.
func (n *network) checkRoster() {
	v := n.book.View()
	n.raise(v.UpgradeRequired, ipc.HealthUpgrade, nil)
	device := ""
	if len(v.Forks) > 0 {
		device = v.NameOf(v.Forks[0].Author)
	}
	n.raise(len(v.Forks) > 0, ipc.HealthFork, map[string]string{"device": device})
	n.raise(n.secrets.Phrase != "", ipc.HealthPhrase, nil)
}

// roomEvery is how often a full disk is looked at.
const roomEvery = 5 * time.Second

// diskFull says that nothing can be saved, until there is space again.
func (e *Engine) diskFull(err error) {
	if e.stopping {
		return
	}
	why := strings.TrimPrefix(err.Error(), store.ErrFull.Error()+": ")
	e.warn(ipc.HealthDiskFull, "", map[string]string{"why": why})
	if e.room == nil {
		e.room = time.AfterFunc(roomEvery, func() { e.post(e.lookForRoom) })
	}
}

// lookForRoom goes on, once there is space, with what a full disk held up.
func (e *Engine) lookForRoom() {
	e.room = nil
	if err := e.cfg.Store.Room(); err != nil {
		e.diskFull(err)
		return
	}
	e.health.Clear(ipc.HealthDiskFull, "")
	for _, n := range e.nets {
		n.setActive()
	}
	if err := e.loadJoins(); err != nil {
		e.log.Error("go on with joins", "err", err)
	}
	e.apply()
}

// clockLimit is how far this host's clock may be off before it is said: expiry
// is judged within ten minutes.
const clockLimit = 5 * time.Minute

// heardClock compares clocks: this host's is off when most neighbours say so.
func (e *Engine) heardClock(peer key.Public, d time.Duration) {
	e.offsets[peer] = d
	all := make([]time.Duration, 0, len(e.offsets))
	for _, o := range e.offsets {
		all = append(all, o)
	}
	slices.Sort(all)
	median := all[len(all)/2]
	if low := all[(len(all)-1)/2]; low.Abs() < median.Abs() {
		median = low // half of them are no majority
	}
	if median.Abs() > clockLimit {
		way := "behind"
		if median < 0 {
			way = "ahead"
		}
		e.warn(ipc.HealthClock, "", map[string]string{"offset": median.Abs().Round(time.Minute).String(), "way": way})
	} else {
		e.health.Clear(ipc.HealthClock, "")
	}
}
