package model

import (
	"maps"
	"time"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// Long is how long a connection must be gone before a person is told.
const Long = 30 * time.Second

// Notice is one notification.
type Notice struct {
	Title, Body text.Msg
	Problem     *Problem // Body is this problem's words
}

// Notifier decides what a person is told: a loss of over Long and its end,
// problems that ask for a person, joins that came through. Nothing twice.
type Notifier struct {
	since  time.Time // when the connection went; zero: it is there
	told   bool      // the loss was told
	was    bool      // a connection was there once
	joined map[string]string
	said   map[string]bool
	back   time.Time // when the helper's state was known again
	known  bool

	refused map[string]bool // who was told to be refused; nil: none yet
}

// worthTelling lists the health codes that a person hears of with no window open.
var worthTelling = map[string]bool{
	ipc.HealthRemoved: true, ipc.HealthUpgrade: true, ipc.HealthFork: true, ipc.HealthExpiring: true,
	ipc.HealthDiskFull: true, ipc.HealthNoTUN: true, ipc.HealthClock: true, ipc.HealthExitBlocked: true, CodeAsking: true, CodeConfirm: true,
}

// Step takes the View of a moment. It gives what to tell now and when to step
// again without a new View; zero: not.
func (n *Notifier) Step(v View, now time.Time) (list []Notice, next time.Time) {
	if n.said == nil {
		n.said, n.joined = map[string]bool{}, map[string]string{}
	}
	switch {
	case v.Icon == IconOn || v.Icon == IconExit:
		if n.told {
			list = append(list, Notice{Title: text.M("notice.restored"), Body: v.Title})
		}
		n.since, n.told, n.was = time.Time{}, false, true
	case v.Icon == IconOff: // by the user's will
		n.since, n.told, n.was = time.Time{}, false, false
	case n.was && n.since.IsZero():
		n.since = now
	}
	if !n.since.IsZero() && !n.told {
		if due := n.since.Add(Long); now.Before(due) {
			next = due
		} else {
			n.told = true
			list = append(list, Notice{Title: text.M("notice.lost"), Body: v.Title, Problem: v.Banner})
		}
	}
	if v.Known {
		if !n.known {
			n.back = now
		}
		more, then := n.news(v, now)
		list, next = append(list, more...), sooner(next, then)
	}
	n.known = v.Known
	return list, next
}

// sooner is the earlier of two times; the zero Time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// stages are how long before its end an access' expiry is told again.
var stages = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour}

// stage tells how near the end is that a problem is about, and when that changes.
func stage(p Problem, now time.Time) (near string, next time.Time) {
	at, err := time.Parse(time.RFC3339, p.Text.Args["at"])
	if p.Code != ipc.HealthExpiring || err != nil {
		return "", next
	}
	for _, s := range stages {
		begin := at.Add(-s)
		if !now.Before(begin) {
			return s.String(), next
		}
		next = begin
	}
	return "", next
}

// news tells problems that were not told before and joins that came through, and
// when there may be more without a new View.
func (n *Notifier) news(v View, now time.Time) (list []Notice, next time.Time) {
	standing := map[string]bool{}
	if now.Before(n.back.Add(Long)) {
		maps.Copy(standing, n.said) // the helper has started anew, and finds them again in its time
	}
	for _, p := range v.Problems {
		near, then := stage(p, now)
		// Two devices that ask, two friends that accept, are two news.
		k := p.Code + "\x00" + p.Network + "\x00" + p.Text.Args["device"] + "\x00" + p.Text.Args["label"] + "\x00" + near
		if !worthTelling[p.Code] {
			continue
		}
		standing[k], next = true, sooner(next, then)
		if !n.said[k] {
			list = append(list, Notice{Title: text.M("notice.problem"), Body: p.Text, Problem: &p})
		}
	}
	n.said = standing
	list = append(list, n.refusals(v)...)
	for _, net := range v.Nets {
		if _, waited := n.joined[net.ID]; waited && !net.Removed {
			list = append(list, Notice{Title: text.M("notice.problem"), Body: text.M("notice.joined", "network", net.Name)})
		}
	}
	n.joined = map[string]string{}
	for _, j := range v.Joining {
		n.joined[j.ID] = j.Network
	}
	return list, next
}

// refusals tells of those who were not let in by a share, once for each share and
// reason: more is in its row. What was so before the first View is no news.
func (n *Notifier) refusals(v View) (list []Notice) {
	first := n.refused == nil
	if first {
		n.refused = map[string]bool{}
	}
	for _, s := range v.Shares {
		for _, r := range s.Refused {
			key, worth := worthRefusing[r.Code]
			k := s.ID + "\x00" + string(r.Code)
			if !worth || n.refused[k] {
				continue
			}
			if n.refused[k] = true; !first {
				list = append(list, Notice{Title: text.M("notice.problem"), Body: text.M(key, "share", s.Name, "label", s.Label)})
			}
		}
	}
	return list
}
