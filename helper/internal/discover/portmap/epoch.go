package portmap

import "time"

// epoch follows a gateway's clock, which tells of its restarts. Ours is the one
// that goes on while the host sleeps.
type epoch struct {
	seconds uint32
	at      time.Time
}

// note takes the clock's reading and tells whether the gateway has lost its
// mappings since the last one (RFC 6887 §8.5; RFC 6886 §3.6 forgives more).
func (e *epoch) note(seconds uint32, now time.Time) (lost bool) {
	last, now := *e, now.Round(0)
	*e = epoch{seconds, now}
	if last.at.IsZero() {
		return false
	}
	server := int64(seconds) - int64(last.seconds)
	client := int64(now.Sub(last.at) / time.Second)
	if server < -1 {
		return true
	}
	return client+2 < server-server/16 || server+2 < client-client/8
}
