package discover

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"kith.internal/helper/internal/osnet/netmon"
)

// Problems is what does not work at present. Discovery goes on with the rest.
func (a *Announcer) Problems() (out []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(a.problems)) {
		out = append(out, a.problems[k])
	}
	return out
}

// sent notes how sending on an interface went.
func (a *Announcer) sent(i netmon.Interface, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !has(a.ifaces, i.Index) {
		return // gone meanwhile, and its problem with it
	}
	if err != nil {
		err = fmt.Errorf("announce on %s: %w", i.Name, err)
	}
	a.problem(sendKey(i), err)
}

func sendKey(i netmon.Interface) string { return fmt.Sprintf("send %d", i.Index) }

// problem notes how the latest try of what ended, and logs a change. The
// Announcer is locked.
func (a *Announcer) problem(what string, err error) {
	old := a.problems[what]
	if err == nil {
		delete(a.problems, what)
		return
	}
	a.problems[what] = err
	if old == nil || old.Error() != err.Error() {
		a.log.Warn("LAN discovery is limited", "error", err)
	}
}

// recent remembers the latest datagrams, as more than one socket may hear one.
type recent struct {
	keys [64]recentKey
	next int
}

type recentKey struct {
	salt [saltSize]byte
	from netip.Addr
}

// before tells whether the well-formed b from there is among them, and adds it.
func (r *recent) before(b []byte, from netip.Addr) bool {
	k := recentKey{[saltSize]byte(b[1 : 1+saltSize]), from}
	if slices.Contains(r.keys[:], k) {
		return true
	}
	r.keys[r.next%len(r.keys)] = k
	r.next++
	return false
}
