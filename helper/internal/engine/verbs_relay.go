package engine

import (
	"context"
	"net/netip"
	"strconv"

	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// RelayOn makes this device a relay: at once where it may approve one, else the
// relay waits for an admin's word.
func (e *Engine) RelayOn(ctx context.Context, _ server.Caller, req ipc.RelayRequest) (ipc.RelayAnswer, error) {
	if req.Limit < 0 || req.Limit > ipc.MaxRelayLimit {
		return ipc.RelayAnswer{}, ipc.Errorf(ipc.CodeUsage, "a relay's limit is 1 to %d Mbit/s, or 0 for none", ipc.MaxRelayLimit)
	}
	listen, _, port, err := parseListen(req.Listen)
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	var name string
	var addr netip.Addr
	if req.Advertise != "" {
		if name, addr, _, err = parseAdvertise(req.Advertise, port); err != nil {
			return ipc.RelayAnswer{}, err
		}
	}
	n, err := call(ctx, e, func() (*network, error) { return e.upNetwork(req.Network) })
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	if err := n.relayGate.enter(ctx); err != nil {
		return ipc.RelayAnswer{}, err
	}
	defer n.relayGate.leave()
	named, err := e.lookup(ctx, name, addr)
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	set := store.Relay{Listen: listen, Advertise: req.Advertise, Limit: req.Limit}
	on, err := e.prepareRelay(ctx, n, set, port, named)
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	var p *ports
	if on.relay == nil { // the gate keeps others from changing it
		if p, err = e.openPorts(ctx, listen, on.conn.Port()); err != nil {
			return ipc.RelayAnswer{}, err
		}
	}
	return call(e.ctx, e, func() (ipc.RelayAnswer, error) { return n.relayOn(on, set, named, p) })
}

// prepareRelay checks that the relay can be found, makes its key, and ends one
// that listens elsewhere.
func (e *Engine) prepareRelay(ctx context.Context, n *network, set store.Relay, port uint16, named []netip.Addr) (*live, error) {
	type prepared struct {
		on   *live
		gone <-chan struct{}
	}
	p, err := call(ctx, e, func() (p prepared, err error) {
		if p.on = n.on; p.on == nil || n.me() == nil {
			return p, ipc.Errorf(ipc.CodeNotConnected, "%s is not connected: connect it with kith up", n.alias)
		}
		if o := n.heldByOurs(port); o != "" {
			err := ipc.Errorf(ipc.CodePortTaken, "the network %s holds port %d on this device, and each network's relay has a port of its own: choose another with --listen, 8443 say", o, port)
			err.Args = map[string]string{"port": strconv.Itoa(int(port)), "network": o}
			return p, err
		}
		if err := n.relayKey(); err != nil {
			return p, writeError(err)
		}
		if _, err := n.relayRecord(set, named, [32]byte{}); err != nil {
			return p, err
		}
		if p.on.relay != nil && p.on.relay.listen != set.Listen {
			p.gone = p.on.stopRelay()
		}
		return p, nil
	})
	if err == nil && p.gone != nil {
		<-p.gone
	}
	return p.on, err
}

// relayOn takes the ports, keeps that this device is to relay, and has the roster
// say so.
func (n *network) relayOn(on *live, set store.Relay, named []netip.Addr, p *ports) (ipc.RelayAnswer, error) {
	if n.on != on || n.me() == nil {
		if p != nil {
			p.close()
		}
		return ipc.RelayAnswer{}, ipc.Errorf(ipc.CodeBusy, "%s was restarted meanwhile", n.alias)
	}
	if p != nil {
		if err := n.takeRelay(p); err != nil {
			return ipc.RelayAnswer{}, err
		}
	}
	if err := n.updateSettings(func(s *store.Settings) { s.Relay = &set }); err != nil {
		return ipc.RelayAnswer{}, writeError(err)
	}
	info, err := n.relayRecord(set, named, on.relay.pin)
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	pending, err := n.approveRelay(info)
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	n.refresh()
	n.sayPresence()
	a := ipc.RelayAnswer{Schema: ipc.Schema, Relay: n.relayStatus()}
	a.Relay.Pending = pending
	if pending {
		a.Relay.Advertised = advertised(&info)
	}
	return a, nil
}

// RelayOff ends the relay. A plain device cannot take an admin's approval back,
// but it is of no effect without its own offer.
func (e *Engine) RelayOff(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.RelayAnswer, error) {
	n, err := call(ctx, e, func() (*network, error) { return e.named(req.Network) })
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	if err := n.relayGate.enter(ctx); err != nil {
		return ipc.RelayAnswer{}, err
	}
	defer n.relayGate.leave()
	gone, err := call(ctx, e, n.relayOff)
	if err != nil {
		return ipc.RelayAnswer{}, err
	}
	if gone != nil {
		<-gone
	}
	return ipc.RelayAnswer{Schema: ipc.Schema}, nil
}

func (n *network) relayOff() (gone <-chan struct{}, err error) {
	if err := n.updateSettings(func(s *store.Settings) { s.Relay = nil }); err != nil {
		return nil, writeError(err)
	}
	n.dropAsks(replica.AskRelay)
	n.clear(ipc.HealthRelayPort)
	if me := n.me(); me != nil && me.Relay != nil && n.book.View().Caps(n.self)&roster.CapNet != 0 {
		if err := n.write(func(a *roster.Author) error { _, err := a.ApproveRelay(n.self, nil); return err }); err != nil {
			return nil, err
		}
	}
	if n.on != nil {
		gone = n.on.stopRelay()
		n.on.relayFailed = false
	}
	n.refresh()
	n.sayPresence()
	return gone, nil
}

// relayStatus is the relay role of this device.
func (n *network) relayStatus() ipc.Relay {
	r := ipc.Relay{On: n.relayApproved()}
	if n.on == nil || n.on.relay == nil {
		return r
	}
	r.Listen = n.on.relay.listen
	if n.set.Relay != nil {
		r.Limit = n.set.Relay.Limit
	}
	r.Pending = !r.On
	if me := n.me(); r.On {
		r.Advertised = advertised(me.Relay)
	}
	return r
}

// Forward says whether this device passes on what members send who cannot reach
// one another.
func (e *Engine) Forward(ctx context.Context, _ server.Caller, req ipc.ForwardRequest) (ipc.ForwardAnswer, error) {
	if req.Guests != nil && *req.Guests && !req.On {
		return ipc.ForwardAnswer{}, ipc.Errorf(ipc.CodeUsage, "friends' packets are passed on with members' alone")
	}
	return call(ctx, e, func() (ipc.ForwardAnswer, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.ForwardAnswer{}, err
		}
		if err := n.updateSettings(func(s *store.Settings) {
			if s.NoForward = !req.On; req.Guests != nil {
				s.Carry = *req.Guests
			}
		}); err != nil {
			return ipc.ForwardAnswer{}, writeError(err)
		}
		n.refresh()
		n.sayPresence()
		return ipc.ForwardAnswer{Schema: ipc.Schema, Forward: n.forwardStatus()}, nil
	})
}

func (n *network) forwardStatus() ipc.Forward {
	return ipc.Forward{On: !n.set.NoForward || n.relayApproved(), Guests: n.carries()}
}
