package engine

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/dns"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// hostOf is the network of ours through which this device is, or was, a guest of
// a friend's; nil for none.
func (e *Engine) hostOf(id [32]byte) *network {
	i := slices.IndexFunc(e.nets, func(n *network) bool { return n.stays[id] != nil })
	if i < 0 {
		i = slices.IndexFunc(e.nets, func(n *network) bool { return n.visitOf(id) != nil })
	}
	if i < 0 {
		return nil
	}
	return e.nets[i]
}

// sharedExit is the friend's device that is in use as an exit node, as long as it
// is shared as that; nil for none.
func (e *Engine) sharedExit() (*stay, *guest.Target) {
	use := e.exit.use
	if use == nil || e.network(use.Network) != nil {
		return nil, nil
	}
	for _, s := range e.stays() {
		if s.id != use.Network {
			continue
		}
		if t := s.target(use.Device); t != nil {
			return s, t
		}
	}
	return nil, nil
}

// target is a device that is shared here now; nil for none. By several shares it
// is an exit node if one says so.
func (s *stay) target(k key.Public) (out *guest.Target) {
	w, now := s.stored(), time.Now()
	if w == nil {
		return nil
	}
	for i := range w.Shares {
		v := s.views[w.Shares[i].Share]
		if !s.live(&w.Shares[i], v, now) {
			continue
		}
		for j := range v.Targets {
			if t := &v.Targets[j]; t.Key == k && (out == nil || t.Exit) {
				out = t
			}
		}
	}
	return out
}

// exitOf is the device among shares that this machine's internet traffic goes to,
// zero for none.
func (s *stay) exitOf(shares []shareHere) key.Public {
	use := s.n.e.exit.use
	if use == nil || use.Network != s.id || s.n.e.network(s.id) != nil || s.n.e.exitDown() {
		return key.Public{}
	}
	for _, q := range shares {
		for _, t := range q.view.Targets {
			if t.Key == use.Device && t.Exit {
				return t.Key
			}
		}
	}
	return key.Public{}
}

// exitName is what a shared exit node is called.
func (s *stay) exitName(t guest.Target) string { return s.label(t) + "." + s.alias }

// sharedExitFacts is Engine.exitFacts of a friend's device. Whether it refuses is
// in what the friend's side shows; what it shares no more is gone.
func (e *Engine) sharedExitFacts(f exitFacts) exitFacts {
	n := e.hostOf(e.exit.use.Network)
	if n == nil || n.me() == nil {
		return f
	}
	f.shared, f.up = true, n.on != nil
	if n.on == nil {
		f.member = true
		return f
	}
	s, t := e.sharedExit()
	if s == nil {
		return f
	}
	f.member, f.approved = true, t.Exit
	st, ok := s.wire.PeerStatus(t.Key)
	f.path = ok && !s.gone[t.Key] && st.Path.Kind != wire.None
	return f
}

// sharedExitNamed finds a friend's device by HOST.NETWORK, its full name or an
// address; nil where no friend's is called that.
func (e *Engine) sharedExitNamed(name string) (*network, *store.ExitUse, error) {
	for _, s := range e.stays() {
		for _, v := range s.views {
			for _, d := range v.Targets {
				if name != s.exitName(d) && !strings.EqualFold(name, dns.FQDN(s.label(d), s.alias)) &&
					!slices.ContainsFunc(s.addrsOf(d), func(a netip.Addr) bool { return a.String() == name }) {
					continue
				}
				switch t := s.target(d.Key); {
				case t == nil:
					return nil, nil, ipc.Errorf(ipc.CodeNotShared, "%s is not shared with this device any more", s.exitName(d))
				case !v.Exit && !t.Exit:
					return nil, nil, ipc.Errorf(ipc.CodeNotConnected, "%s is not shared as an exit node", s.exitName(d))
				case !t.Exit:
					return nil, nil, ipc.Errorf(ipc.CodeNotConnected, "%s is no exit node now: its owner has to offer it as one", s.exitName(d))
				}
				return s.n, &store.ExitUse{ExitNode: store.ExitNode{Network: s.id, Device: d.Key}, Name: s.exitName(d)}, nil
			}
		}
	}
	return nil, nil, nil
}

// usesExit tells whether the exit node in use is of this network, or of a friend's
// that is reached through it.
func (n *network) usesExit() bool {
	use := n.e.exit.use
	return use != nil && (use.Network == n.id || n.e.network(use.Network) == nil && n.e.hostOf(use.Network) == n)
}

// exitNodeName is what an exit node used before is called, "" where it is unknown
// here.
func (n *network) exitNodeName(r store.ExitNode) string {
	if r.Network == n.id {
		if m := n.book.View().Member(r.Device); m != nil {
			return m.Name
		}
		return ""
	}
	if s := n.stays[r.Network]; s != nil {
		if t := s.target(r.Device); t != nil {
			return s.exitName(*t)
		}
	}
	return ""
}

// internet6 is what a guest may send an exit node by: all of IPv6 but the
// friend's own range, IPv4 among it as the tunnel carries it.
func internet6(id roster.ID) []netip.Prefix {
	return slices.DeleteFunc(internet(id), func(p netip.Prefix) bool { return p.Addr().Is4() })
}
