// Package notice hears of changes that others make to what is ours, and bounds
// how often it is put back. It imports nothing of ours.
package notice

import "time"

// Limit allows Most takes Within any such time. It is not safe for concurrent
// use.
type Limit struct {
	Most   int
	Within time.Duration
	took   []time.Time
}

// Room tells whether a Take would be allowed.
func (l *Limit) Room() bool {
	now := time.Now()
	for len(l.took) > 0 && now.Sub(l.took[0]) >= l.Within {
		l.took = l.took[1:]
	}
	return len(l.took) < l.Most
}

// Take takes, and tells whether there is room for another.
func (l *Limit) Take() bool {
	l.took = append(l.took, time.Now())
	return l.Room()
}
