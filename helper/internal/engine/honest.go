package engine

import (
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

const (
	minuteIs = time.Minute
	// presenceEach is how many minutes apart the members' words are kept, for
	// those who are killed.
	presenceEach = 10
	// relayHidden is how long a relay may be reached by nobody.
	relayHidden = 5 * time.Minute
)

// armMinute looks, each minute, after what changes without a word.
func (n *network) armMinute() {
	on := n.on
	on.minute = time.AfterFunc(minuteIs, func() {
		n.e.post(func() {
			if n.on != on || n.e.stopping {
				return
			}
			n.everyMinute()
			n.armMinute()
		})
	})
}

func (n *network) everyMinute() {
	on := n.on
	on.minutes++
	if on.minutes%presenceEach == 1 {
		kept := on.replica.Stored()
		n.e.background(func() {
			if err := n.e.cfg.Store.PutPresence(n.id, kept...); err != nil {
				on.log.Debug("cache presence", "err", err)
			}
		})
	}
	n.checkHonest()
	n.checkHidden()
	n.tellIfChanged()
	n.tendShares()
	n.spreadProofs()
}

// checkHonest names who does not do what it should.
func (n *network) checkHonest() {
	v := n.book.View()
	var relay, why, forwarder, server string
	r := n.on.wire.Net()
	for _, c := range r.Complaints {
		m := v.Member(c.ID)
		switch {
		case c.ID.IsZero():
			server = c.Server.String()
		case m == nil, len(c.Way) > 0: // kith diag tells it: one of them may be innocent
		case n.serves(m):
			relay, why = m.Name, c.What.String()
		case c.What == wire.DropsPackets:
			forwarder = m.Name
		}
	}
	var other, how string
	for _, m := range n.relaysByUse() {
		if w := n.on.impostors.at(m.Relay.Pin, time.Now()); w != "" {
			other, how = m.Name, w
		}
	}
	n.raise(relay != "", ipc.HealthRelayLies, map[string]string{"device": relay, "why": why})
	n.raise(forwarder != "", ipc.HealthForwardDrops, map[string]string{"device": forwarder})
	n.raise(other != "", ipc.HealthRelayOther, map[string]string{"device": other, "why": how})
	n.raise(server != "", ipc.HealthSTUNLies, map[string]string{"server": server})
}

// checkHidden says when nobody reaches this relay, though others are there.
func (n *network) checkHidden() {
	on := n.on
	if !n.relayApproved() || time.Since(on.relay.since) < relayHidden {
		n.raise(false, ipc.HealthRelayHidden, nil)
		return
	}
	reached := on.relay.server.Stats().Links > 0
	others := 0
	for id, l := range n.learnt {
		if l.Gone || n.book.View().Member(id) == nil || time.Since(l.at) > replica.PresenceTTL {
			continue
		}
		others++
		reached = reached || slices.ContainsFunc(l.Neighbours, func(q replica.Neighbour) bool { return q.ID == n.self })
	}
	addr := strings.Join(advertised(n.me().Relay), ", ")
	n.raise(others > 0 && !reached, ipc.HealthRelayHidden, map[string]string{"addr": addr})
}
