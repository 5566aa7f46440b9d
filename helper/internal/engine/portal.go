package engine

import (
	"context"
	"slices"
	"time"

	"kith.internal/helper/internal/osnet/portal"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// When a captive portal is looked for, and how long one is let through.
const (
	portalSoon  = 3 * time.Second  // after a change: by then a relay has answered
	portalAgain = 30 * time.Second // while there is one: until somebody has signed in
	portalOnce  = 20 * time.Second // a portal may come up later than its network
	portalSpan  = 5 * time.Minute
)

// portalState is what is known of a captive portal where this machine is.
type portalState struct {
	watch   portal.Watcher // nil: the system tells nothing
	by      string         // who noticed it; "" for none
	asking  bool           // our relays are being asked
	retried bool           // since the last change of the network
	next    *time.Timer    // asks them
	until   time.Time      // names and web pages pass; zero: they do not
	end     *time.Timer
}

func (p *portalState) status() ipc.Portal {
	out := ipc.Portal{Noticed: p.by != "", By: p.by}
	if !p.until.IsZero() {
		until := p.until.UTC()
		out.OpenUntil = &until
	}
	return out
}

// lookForPortal begins anew, after a change of the network or of the system's
// verdict on it.
func (e *Engine) lookForPortal() {
	e.portal.retried = false
	e.lookLater(portalSoon)
}

func (e *Engine) lookLater(after time.Duration) {
	if e.portal.next != nil {
		e.portal.next.Stop()
	}
	e.portal.next = time.AfterFunc(after, func() { e.post(e.judgePortal) })
}

// judgePortal takes the system's word, else that of a member reached outside,
// else asks our relays.
func (e *Engine) judgePortal() {
	if e.stopping || e.portal.asking {
		return
	}
	if !slices.ContainsFunc(e.nets, func(n *network) bool { return n.on != nil }) {
		e.setPortal("") // nothing of ours is in its way
		return
	}
	if w := e.portal.watch; w != nil {
		switch v, by := w.Verdict(); v {
		case portal.Captive:
			e.setPortal(by)
			return // its next word comes by itself
		case portal.Open:
			e.setPortal("")
			return
		}
	}
	var relays []*roster.Member
	for _, n := range e.nets {
		if n.on == nil {
			continue
		}
		for _, q := range n.on.wire.Net().Relays {
			if alive(q, probed{}) {
				e.setPortal("")
				return
			}
		}
		for _, m := range n.relaysByUse() {
			if m.Key != n.self {
				relays = append(relays, m)
			}
		}
	}
	relays = relays[:min(len(relays), probeMost)]
	if len(relays) == 0 {
		e.setPortal("")
		return
	}
	e.portal.asking = true
	e.background(func() {
		by, reached := e.askRelays(relays)
		e.post(func() { e.portalJudged(by, reached) })
	})
}

// askRelays tells for which relay somebody else answers, and whether one was
// reached itself.
func (e *Engine) askRelays(relays []*roster.Member) (by string, reached bool) {
	ctx, cancel := context.WithTimeout(e.ctx, probeWithin)
	defer cancel()
	for _, m := range relays {
		if p := e.probeRelay(ctx, m); p.took > 0 {
			return "", true
		}
		for _, at := range m.Relay.Addrs {
			if captive, err := portal.Probe(ctx, e.cfg.Host.DialTCP, at.Addr()); captive {
				return m.Name, false
			} else if err != nil {
				e.log.Debug("look for a captive portal", "err", err)
			}
		}
	}
	return "", false
}

func (e *Engine) portalJudged(by string, reached bool) {
	e.portal.asking = false
	if e.stopping {
		return
	}
	e.setPortal(by)
	switch {
	case by != "":
		e.lookLater(portalAgain)
	case !reached && !e.portal.retried:
		e.portal.retried = true
		e.lookLater(portalOnce)
	}
}

// setPortal notes who noticed a captive portal. One that is gone is let through
// no longer.
func (e *Engine) setPortal(by string) {
	if by == e.portal.by {
		return
	}
	e.portal.by = by
	if by != "" {
		e.log.Info("a captive portal", "by", by)
		e.warn(ipc.HealthPortal, "", map[string]string{"by": by})
	} else {
		e.log.Info("the captive portal is gone")
		e.health.Clear(ipc.HealthPortal, "")
		e.openPortal(false)
	}
	e.publishSoon()
}

// portalOpen tells whether DNS and TCP 80 and 443 go past exit nodes and
// resolvers in the mesh now.
func (e *Engine) portalOpen() bool { return !e.portal.until.IsZero() }

func (e *Engine) openPortal(open bool) {
	if e.portal.end != nil {
		e.portal.end.Stop()
		e.portal.end = nil
	}
	if !open && !e.portalOpen() {
		return
	}
	e.portal.until = time.Time{}
	if open {
		until := time.Now().Add(portalSpan)
		e.portal.until = until
		e.portal.end = time.AfterFunc(portalSpan, func() {
			e.post(func() {
				if e.portal.until.Equal(until) {
					e.openPortal(false)
				}
			})
		})
		e.warn(ipc.HealthPortalOpen, "", map[string]string{"until": until.UTC().Format(time.RFC3339)})
	} else {
		e.health.Clear(ipc.HealthPortalOpen, "")
	}
	e.forward.Flush()
	e.apply()
	e.publishSoon()
}

// Portal lets the sign-in of a captive portal through, or ends that.
func (e *Engine) Portal(ctx context.Context, _ server.Caller, req ipc.PortalRequest) (ipc.PortalAnswer, error) {
	return call(ctx, e, func() (ipc.PortalAnswer, error) {
		e.openPortal(req.Open)
		return ipc.PortalAnswer{Schema: ipc.Schema, Portal: e.portal.status()}, nil
	})
}
