package engine

import (
	"slices"

	"kith.internal/helper/internal/discover"
)

// apply brings what all networks share in line with them: LAN discovery and
// names.
func (e *Engine) apply() {
	if e.stopping {
		return
	}
	var groups []discover.Group
	for _, j := range e.joins {
		groups = append(groups, j.group())
	}
	for _, n := range e.nets {
		groups = append(groups, n.groups()...)
	}
	e.announcer.Set(e.foreign(), groups)
	var notices []discover.Notice
	for _, n := range e.nets {
		if o := n.open(); o != nil {
			notices = append(notices, n.openingNotice(o))
		}
	}
	e.announcer.SetNotices(notices)
	for _, n := range e.nets {
		if n.on != nil && !slices.Equal(n.on.apart, n.apart()) {
			n.refreshSoon() // its filter does not know of all networks yet
		}
	}
	e.checkUplink()
	e.applyExit()
	e.applyOffers()
	e.applyDNS()
	e.publishSoon()
}

// background runs fn off the actor; Close waits for it.
func (e *Engine) background(fn func()) { e.wg.Go(fn) }
