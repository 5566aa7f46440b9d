package engine

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/dns"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// deviceNamed finds a member by name, full name, address or the beginning of its key; "" is
// this device.
func (n *network) deviceNamed(name string) (key.Public, error) {
	v := n.book.View()
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "" {
		return n.self, nil
	}
	if m := v.ByName(strings.TrimSuffix(name, "."+n.alias+"."+dns.Domain)); m != nil {
		return m.Key, nil
	}
	if a, err := netip.ParseAddr(name); err == nil {
		if m := v.ByAddr(a); m != nil {
			return m.Key, nil
		}
	}
	var found []key.Public
	for _, m := range v.Members {
		if len(name) >= 6 && strings.HasPrefix(m.Key.String(), name) {
			found = append(found, m.Key)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return key.Public{}, ipc.Errorf(ipc.CodeNotFound, "no device in %s is called %.70q", n.alias, name)
	}
	return key.Public{}, ipc.Errorf(ipc.CodeAmbiguous, "more than one key in %s begins with %.60q", n.alias, name)
}

// DeviceList is the members, with what they ask for.
func (e *Engine) DeviceList(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.DeviceList, error) {
	return call(ctx, e, func() (ipc.DeviceList, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.DeviceList{}, err
		}
		online := map[string]bool{}
		for _, p := range n.status().Peers {
			online[p.Key] = p.Online
		}
		out := ipc.DeviceList{Schema: ipc.Schema}
		v := n.book.View()
		for _, m := range v.Members {
			d := ipc.Device{
				Name: m.Name, FQDN: dns.FQDN(m.Name, n.alias), IPv4: addr(m.IPv4), IPv6: addr(m.IPv6), Role: role(m.Role),
				Tags: m.Tags, Key: m.Key.String(), Self: m.Key == n.self, Added: moment(roster.Time(m.Admit.Clock)),
				AddedBy: v.NameOf(m.Admit.Author),
			}
			d.Online = online[d.Key] || d.Self && n.on != nil
			if !m.Expires.IsZero() {
				d.Expires = moment(m.Expires)
			}
			for _, a := range n.asksOf(m) {
				d.Asks = append(d.Asks, asked(a))
			}
			if len(d.Asks) > 0 {
				d.Pending = &d.Asks[0]
			}
			out.Devices = append(out.Devices, d)
		}
		return out, nil
	})
}

// DeviceRename names a device: at once where this one may, else this device
// asks an admin for its own new name.
func (e *Engine) DeviceRename(ctx context.Context, _ server.Caller, req ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	if err := validDevice(req.Name); err != nil {
		return ipc.DeviceAnswer{}, writeError(err)
	}
	return e.onDevice(ctx, req, func(n *network, k key.Public) (ipc.DeviceAnswer, error) {
		v := n.book.View()
		if m := v.ByName(req.Name); m != nil && m.Key != k {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeNameTaken, "another device in %s is called %s", n.alias, req.Name)
		}
		if v.Caps(n.self)&roster.CapAdmit == 0 && k == n.self {
			return ipc.DeviceAnswer{Device: v.NameOf(k), Pending: true}, n.ask(replica.Ask{Kind: replica.AskRename, Name: req.Name})
		}
		err := n.write(func(a *roster.Author) error { _, err := a.Rename(k, req.Name); return err })
		return ipc.DeviceAnswer{Device: req.Name}, err
	})
}

// DeviceRenew gives this device new WireGuard and control keys.
func (e *Engine) DeviceRenew(ctx context.Context, _ server.Caller, req ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return e.onDevice(ctx, req, func(n *network, k key.Public) (ipc.DeviceAnswer, error) {
		if k != n.self {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeUsage, "a device renews its own keys: run this on %s", n.book.View().NameOf(k))
		}
		pending, err := n.renew()
		return ipc.DeviceAnswer{Device: n.book.View().NameOf(k), Pending: pending}, err
	})
}

// DeviceApprove grants what a device asks for, as far as it was seen: the device
// may ask for something else meanwhile.
func (e *Engine) DeviceApprove(ctx context.Context, _ server.Caller, req ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return e.onDevice(ctx, req, func(n *network, k key.Public) (ipc.DeviceAnswer, error) {
		m := n.book.View().Member(k)
		if m == nil {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeNotFound, "the device is no member of %s any more", n.alias)
		}
		asks := n.asksOf(m)
		if len(asks) == 0 {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeNotFound, "%s asks for nothing", m.Name)
		}
		asks = slices.DeleteFunc(slices.Clone(asks), func(a replica.Ask) bool { return !slices.Contains(req.Asks, asked(a)) })
		if len(req.Asks) == 0 {
			return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeUsage, "say what is granted of what %s asks for", m.Name)
		}
		for _, r := range req.Asks {
			if !slices.ContainsFunc(asks, func(a replica.Ask) bool { return asked(a) == r }) {
				return ipc.DeviceAnswer{}, ipc.Errorf(ipc.CodeNotFound, "%s asks for something else now: look again", m.Name)
			}
		}
		for _, a := range asks {
			if err := n.grant(m, a); err != nil {
				return ipc.DeviceAnswer{}, err
			}
		}
		return ipc.DeviceAnswer{Device: n.book.View().NameOf(k)}, nil
	})
}

// onDevice runs fn on the actor with the network up and the device found.
func (e *Engine) onDevice(ctx context.Context, req ipc.DeviceRequest, fn func(*network, key.Public) (ipc.DeviceAnswer, error)) (ipc.DeviceAnswer, error) {
	return e.onDeviceOf(ctx, req, (*network).deviceNamed, fn)
}

// onDeviceOf is onDevice with another way to find it.
func (e *Engine) onDeviceOf(ctx context.Context, req ipc.DeviceRequest, find func(*network, string) (key.Public, error), fn func(*network, key.Public) (ipc.DeviceAnswer, error)) (ipc.DeviceAnswer, error) {
	return call(ctx, e, func() (ipc.DeviceAnswer, error) {
		n, err := e.upNetwork(req.Network)
		if err != nil {
			return ipc.DeviceAnswer{}, err
		}
		k, err := find(n, req.Device)
		if err != nil {
			return ipc.DeviceAnswer{}, err
		}
		a, err := fn(n, k)
		a.Schema = ipc.Schema
		return a, err
	})
}

// Digest tells the records of two members apart, without listing them.
func (e *Engine) Digest(ctx context.Context, alias string) (roster.ID, error) {
	n, err := call(ctx, e, func() (*network, error) { return e.named(alias) })
	if err != nil {
		return roster.ID{}, err
	}
	return n.book.View().Digest().Sum, nil
}

// Roster is every record with its verdict.
func (e *Engine) Roster(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.RosterList, error) {
	n, err := call(ctx, e, func() (*network, error) { return e.named(req.Network) })
	if err != nil {
		return ipc.RosterList{}, err
	}
	v := n.book.View()
	sum := v.Digest().Sum
	out := ipc.RosterList{Schema: ipc.Schema, Network: n.name(), ID: n.id.String(), Digest: roster.ID(sum).String(), Members: len(v.Members)}
	for x := range v.Explanations() {
		r := x.Record
		out.Records = append(out.Records, ipc.Record{
			ID: r.ID.String(), Type: r.Type.String(), Author: v.NameOf(r.Author), Clock: r.Clock,
			Time: time.UnixMilli(int64(r.Clock)).UTC(), Text: x.Says, Valid: x.Valid, Why: x.Why,
		})
	}
	return out, nil
}
