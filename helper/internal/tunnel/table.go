package tunnel

import (
	"cmp"
	"net/netip"
	"slices"
)

// table finds the session that leads to an address. It is never changed once it
// is in use.
type table struct {
	addrs    map[netip.Addr]*session
	prefixes []behind // the longest first
}

type behind struct {
	netip.Prefix
	*session
}

func (t *table) add(s *session) {
	for _, a := range s.Addrs {
		t.addrs[a] = s
	}
	for _, p := range s.Prefixes {
		b := behind{p, s}
		at, _ := slices.BinarySearchFunc(t.prefixes, b, func(x, y behind) int { return cmp.Compare(y.Bits(), x.Bits()) })
		t.prefixes = slices.Insert(t.prefixes, at, b)
	}
}

// find is nil where nobody leads there.
func (t *table) find(a netip.Addr) *session {
	if s := t.addrs[a]; s != nil {
		return s
	}
	for _, b := range t.prefixes {
		if b.Contains(a) {
			return b.session
		}
	}
	return nil
}
