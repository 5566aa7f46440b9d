package engine

import (
	"context"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// nearbyPatience is how long an opening has to be heard.
const nearbyPatience = 8 * time.Second

// NearbyOpen opens a network to this device's LANs for ten minutes, or closes it.
func (e *Engine) NearbyOpen(ctx context.Context, _ server.Caller, req ipc.NearbyOpenRequest) (ipc.NearbyList, error) {
	return call(ctx, e, func() (ipc.NearbyList, error) {
		if req.Close {
			n, err := e.named(req.Network)
			if err != nil {
				return ipc.NearbyList{}, err
			}
			n.closeNearby(n.opening.Load())
			return e.nearbyList(), nil
		}
		n, err := e.upNetwork(req.Network)
		if err != nil {
			return ipc.NearbyList{}, err
		}
		if err := n.openNearby(); err != nil {
			return ipc.NearbyList{}, err
		}
		return e.nearbyList(), nil
	})
}

// NearbyList says what is open on this LAN and who asks to join.
func (e *Engine) NearbyList(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.NearbyList, error) {
	return call(ctx, e, func() (ipc.NearbyList, error) {
		out := e.nearbyList()
		if req.Network == "" {
			return out, nil
		}
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.NearbyList{}, err
		}
		all := out.Nearby
		out.Open, out.Asking = nil, nil
		for _, o := range all.Open {
			if o.Network == n.alias {
				out.Open = append(out.Open, o)
			}
		}
		for _, a := range all.Asking {
			if a.Network == n.alias {
				out.Asking = append(out.Asking, a)
			}
		}
		return out, nil
	})
}

func (e *Engine) nearbyList() ipc.NearbyList {
	e.publishNow() // who acts sees what came of it
	return ipc.NearbyList{Schema: ipc.Schema, Nearby: e.nearbyStatus()}
}

// NearbyJoin asks to join an open network and waits for its admin. It gives up
// with its caller: nobody would compare the digits.
func (e *Engine) NearbyJoin(ctx context.Context, _ server.Caller, req ipc.NearbyJoinRequest) (ipc.NetworkAnswer, error) {
	name, chosen, err := e.deviceName(req.Device)
	if err != nil {
		return ipc.NetworkAnswer{}, err
	}
	if chosen {
		name = chosenMark + name
	}
	if req.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(req.Wait)*time.Second,
			ipc.Errorf(ipc.CodeTimeout, "nobody has approved within %s", time.Duration(req.Wait)*time.Second))
		defer cancel()
	}
	j, err := e.hearAndAsk(ctx, req, name)
	if err != nil {
		return ipc.NetworkAnswer{}, err
	}
	select {
	case <-j.done:
	case <-e.ctx.Done():
		return ipc.NetworkAnswer{}, ipc.Errorf(ipc.CodeBusy, "the helper is stopping")
	case <-ctx.Done():
		why := context.Cause(ctx)
		e.post(func() { j.end(why) })
		return ipc.NetworkAnswer{}, why
	}
	if j.result != nil {
		return ipc.NetworkAnswer{}, j.result
	}
	return call(ctx, e, func() (ipc.NetworkAnswer, error) {
		n, ok := e.byID(j.link.Network)
		if !ok {
			return ipc.NetworkAnswer{}, ipc.Errorf(ipc.CodeNotFound, "this device left %s meanwhile", j.link.Name)
		}
		return ipc.NetworkAnswer{Schema: ipc.Schema, Network: n.status()}, nil
	})
}

// hearAndAsk waits until the opening is heard and begins to ask.
func (e *Engine) hearAndAsk(ctx context.Context, req ipc.NearbyJoinRequest, name string) (*joining, error) {
	late := time.NewTimer(nearbyPatience)
	defer late.Stop()
	for {
		var again chan struct{}
		j, err := call(ctx, e, func() (*joining, error) {
			h, err := e.openingNamed(req.ID)
			if err != nil {
				return nil, err
			}
			if h == nil {
				again = e.heardNew
				return nil, nil
			}
			return e.beginNearby(h, name, req.Confirm)
		})
		if err != nil || j != nil {
			return j, err
		}
		select {
		case <-again:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-late.C:
			if req.ID == "" {
				return nil, ipc.Errorf(ipc.CodeNotFound, "no network is open on this LAN")
			}
			return nil, ipc.Errorf(ipc.CodeNotFound, "no network %.70q is open on this LAN", req.ID)
		}
	}
}

// NearbyApprove says that the digits are the same, or not: on the admin's
// device, of a device that asks; on the joiner's, of the network asked for.
func (e *Engine) NearbyApprove(ctx context.Context, _ server.Caller, req ipc.NearbyApproveRequest) (ipc.NearbyList, error) {
	return call(ctx, e, func() (ipc.NearbyList, error) {
		for _, h := range e.heard {
			if h.join != nil && h.id == req.ID {
				select {
				case h.join.near.word <- !req.Refuse:
				default:
				}
				return e.nearbyList(), nil
			}
		}
		n, a, err := e.askingNamed(req.ID, req.Refuse)
		if err != nil {
			return ipc.NearbyList{}, err
		}
		if err := n.answerAsking(a, req.Refuse); err != nil {
			return ipc.NearbyList{}, err
		}
		if o := n.opening.Load(); o != nil {
			o.remove(a)
		}
		return e.nearbyList(), nil
	})
}

// askingNamed finds who asks by ID; also by name, and "" is the only one, where
// that is good enough.
func (e *Engine) askingNamed(name string, loose bool) (*network, *asking, error) {
	var at *network
	var found []*asking
	for _, n := range e.nets {
		o := n.open()
		if o == nil {
			continue
		}
		for _, a := range o.asking {
			if a.id == name {
				return n, a, nil
			}
			if loose && (name == "" || a.Name == name) {
				at, found = n, append(found, a)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, nil, ipc.Errorf(ipc.CodeNotFound, "no device nearby asks to join")
	case 1:
		return at, found[0], nil
	}
	return nil, nil, ipc.Errorf(ipc.CodeAmbiguous, "%d devices ask: say which one by its ID, as kith nearby list shows it", len(found))
}
