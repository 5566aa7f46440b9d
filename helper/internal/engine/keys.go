package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
)

// currentKeys is the pair that the roster has for this device.
func (n *network) currentKeys() (store.Keys, error) {
	m := n.book.View().Member(n.self)
	if m == nil {
		return store.Keys{}, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", n.alias)
	}
	for _, k := range n.secrets.Keys {
		if k.N == m.N && k.WireGuard.Public() == m.WG && k.Control.Public() == m.Control {
			return k, nil
		}
	}
	return store.Keys{}, fmt.Errorf("the keys that %s has for this device are not in the store", n.alias)
}

// checkKeys follows a rollover: once the roster has the new keys, the network
// goes on with them.
func (n *network) checkKeys() {
	if n.on == nil {
		return
	}
	if m := n.book.View().Member(n.self); m == nil || m.N == n.on.keys.N {
		return // at each change of the roster: the keys themselves are not compared
	}
	k, err := n.currentKeys()
	if err != nil || k.N == n.on.keys.N {
		return
	}
	n.dropAsks(replica.AskRenew)
	n.e.log.Info("new keys are in force", "network", n.alias, "n", k.N)
	n.on.keys = k
	n.on.wire.Rekey(k.Control)
	if err := n.on.tunnel.SetKey(k.WireGuard); err != nil {
		n.e.log.Error("go on with new keys", "network", n.alias, "err", err)
		n.stop()
		n.start()
	}
}

// formerControl is the control key before those keys, nil if there was none: a
// member that was away when they came into force knows no other.
func (n *network) formerControl(k store.Keys) *key.ExchangePrivate {
	var former *store.Keys
	for i, old := range n.secrets.Keys {
		if old.N < k.N && (former == nil || old.N > former.N) {
			former = &n.secrets.Keys[i]
		}
	}
	if former == nil {
		return nil
	}
	return &former.Control
}

// expectKeys has the wire understand keys that this device has asked for: the
// admin that has granted them uses them at once, also to tell us of it.
func (n *network) expectKeys() {
	for _, k := range n.secrets.Keys {
		if n.on != nil && k.N > n.on.keys.N {
			n.on.wire.Expect(k.Control)
		}
	}
}

func dropAsk(asks []replica.Ask, kind string) []replica.Ask {
	var out []replica.Ask
	for _, a := range asks {
		if a.Kind != kind {
			out = append(out, a)
		}
	}
	return out
}

// renew makes new keys for this device: at once where it may admit, else as a
// request to an admin.
func (n *network) renew() (pending bool, err error) {
	me := n.me()
	if me == nil {
		return false, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", n.alias)
	}
	k := newKeys(me.N + 1)
	err = n.updateSecrets(func(s *store.Secrets) error {
		var kept []store.Keys
		for _, old := range s.Keys {
			if old.N <= me.N {
				kept = append(kept, old)
			}
		}
		s.Keys = append(kept, k)
		return nil
	})
	if err != nil {
		return false, writeError(err)
	}
	n.expectKeys()
	wg, control := k.WireGuard.Public(), k.Control.Public()
	pop := roster.SignPop(n.id, n.device, wg, control, k.N)
	if n.book.View().Caps(n.self)&roster.CapAdmit != 0 {
		return false, n.write(func(a *roster.Author) error {
			_, err := a.Admit(readmit(me, roster.Admission{WG: wg, Control: control, N: k.N, Pop: pop}))
			return err
		})
	}
	return true, n.ask(replica.Ask{Kind: replica.AskRenew, WG: wg, Control: control, N: k.N, Pop: pop[:]})
}

// readmit is an admission with new keys and all else as it was.
func readmit(m *roster.Member, a roster.Admission) roster.Admission {
	a.Device, a.Name, a.Tags, a.Expires = m.Key, m.Name, m.Tags, m.Expires
	if b, ok := m.Admit.Body.(*roster.Admit); ok {
		a.Index = b.IP
	}
	return a
}

// ask says in this device's presence what it wants of an admin.
func (n *network) ask(a replica.Ask) error {
	if err := n.keepAsks(append(dropAsk(n.asks, a.Kind), a)); err != nil {
		return writeError(err)
	}
	n.sayPresence()
	n.e.publishSoon()
	return nil
}

// valueAsks names what is asked for in the store: it lasts over restarts.
const valueAsks = "asks"

func (n *network) keepAsks(asks []replica.Ask) error {
	var b []byte
	if len(asks) > 0 {
		var err error
		if b, err = frame.Marshal(asks); err != nil {
			return fmt.Errorf("keep what is asked for: %w", err)
		}
	}
	if err := n.e.cfg.Store.PutValue(n.id, valueAsks, b); err != nil {
		return fmt.Errorf("keep what is asked for: %w", err)
	}
	n.asks = asks
	return nil
}

// loadAsks reads what was asked for before a restart.
func (n *network) loadAsks() error {
	b, err := n.e.cfg.Store.Value(n.id, valueAsks)
	if err != nil || b == nil {
		return err
	}
	return frame.Unmarshal(b, &n.asks)
}

// dropAsks forgets requests; a store that refuses has them asked again.
func (n *network) dropAsks(kind string) {
	left := dropAsk(n.asks, kind)
	if len(left) == len(n.asks) {
		return
	}
	if err := n.keepAsks(left); err != nil {
		n.e.log.Warn("forget a request", "network", n.alias, "err", err)
		n.asks = left
	}
}

// settleAsks forgets requests that have been granted.
func (n *network) settleAsks() {
	me := n.me()
	if me == nil {
		return
	}
	before := len(n.asks)
	for _, a := range n.asks {
		if a.Kind == replica.AskRename && a.Name == me.Name || a.Kind == replica.AskRenew && a.N <= me.N ||
			a.Kind == replica.AskRelay && sameRelay(relayAsked(a), me.Relay) || a.Kind == replica.AskExit && me.Exit ||
			a.Kind == replica.AskRoute && len(missingRoutes(a.Routes, me.Routes)) == 0 {
			n.dropAsks(a.Kind)
		}
	}
	if len(n.asks) != before {
		n.sayPresence()
	}
}

// relayAsked is the relay that a device asks for, nil if that makes no sense.
func relayAsked(a replica.Ask) *roster.RelayInfo {
	r, err := roster.DecodeRelay(a.Relay)
	if err != nil || len(r.Addrs) == 0 {
		return nil
	}
	return r
}

// asked is the request as people read it.
func asked(a replica.Ask) ipc.Request {
	r := ipc.Request{Kind: a.Kind, Value: a.Name}
	if info := relayAsked(a); a.Kind == replica.AskRelay && info != nil {
		r.Value = strings.Join(advertised(info), ", ")
	}
	if a.Kind == replica.AskRoute {
		r.Value = joinPrefixes(a.Routes)
	}
	return r
}

// grant does what a device asks for.
func (n *network) grant(m *roster.Member, ask replica.Ask) error {
	return n.write(func(a *roster.Author) error {
		var err error
		switch ask.Kind {
		case replica.AskRename:
			_, err = a.Rename(m.Key, ask.Name)
		case replica.AskRenew:
			if len(ask.Pop) != 64 {
				return fmt.Errorf("the request of %s is malformed", m.Name)
			}
			_, err = a.Admit(readmit(m, roster.Admission{WG: ask.WG, Control: ask.Control, N: ask.N, Pop: [64]byte(ask.Pop)}))
		case replica.AskRelay:
			info := relayAsked(ask)
			if info == nil {
				return fmt.Errorf("the request of %s is malformed", m.Name)
			}
			_, err = a.ApproveRelay(m.Key, info)
		case replica.AskExit:
			_, err = a.ApproveExit(m.Key, true)
		case replica.AskRoute:
			for _, p := range ask.Routes {
				if err := n.checkSubnet(p); err != nil {
					return err
				}
			}
			_, err = a.ApproveRoutes(m.Key, slices.Concat(m.Routes, missingRoutes(ask.Routes, m.Routes)))
		default:
			return ipc.Errorf(ipc.CodeUpgrade, "%s asks for something that this version does not know", m.Name)
		}
		return err
	})
}

// asksOf is what a member asks for now.
func (n *network) asksOf(m *roster.Member) []replica.Ask {
	if m.Key == n.self {
		return n.asks
	}
	l, ok := n.learnt[m.Key]
	if !ok || time.Since(l.at) > replica.PresenceTTL {
		return nil
	}
	var out []replica.Ask
	for _, a := range l.Asks {
		if a.Kind == replica.AskRename && a.Name != m.Name && validDevice(a.Name) == nil ||
			a.Kind == replica.AskRenew && a.N > m.N ||
			a.Kind == replica.AskRelay && relayAsked(a) != nil && !sameRelay(relayAsked(a), m.Relay) ||
			a.Kind == replica.AskExit && !m.Exit || a.Kind == replica.AskRoute && len(missingRoutes(a.Routes, m.Routes)) > 0 {
			out = append(out, a)
		}
	}
	return out
}

func joinPrefixes(list []netip.Prefix) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}
