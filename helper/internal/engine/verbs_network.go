package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/osnet/tun"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// Create founds a network with this device as its first owner.
func (e *Engine) Create(ctx context.Context, _ server.Caller, req ipc.CreateRequest) (ipc.CreateAnswer, error) {
	if err := validNetwork(req.Name); err != nil {
		return ipc.CreateAnswer{}, writeError(err)
	}
	name, _, err := e.deviceName(req.Device)
	if err != nil {
		return ipc.CreateAnswer{}, err
	}
	return call(ctx, e, func() (ipc.CreateAnswer, error) { return e.create(ctx, req, name) })
}

func (e *Engine) create(ctx context.Context, req ipc.CreateRequest, device string) (ipc.CreateAnswer, error) {
	var none ipc.CreateAnswer
	if err := e.mayAdd(); err != nil {
		return none, err
	}
	secrets := store.Secrets{Device: key.New(), Keys: []store.Keys{newKeys(1)}}
	set, root, err := roster.Found(roster.Founding{
		Name: req.Name, Device: secrets.Device, DeviceName: device, Now: time.Now,
		WG: secrets.Keys[0].WireGuard.Public(), Control: secrets.Keys[0].Control.Public(), Avoid: e.taken(),
	})
	if err != nil {
		return none, writeError(err)
	}
	epoch, err := setEpoch(set, secrets.Device)
	if err != nil {
		return none, writeError(err)
	}
	secrets.Epochs = epochsOf(epoch[:])
	phrase := roster.Phrase(root)
	secrets.Phrase = phrase
	n, err := e.addNetwork(set, store.Settings{
		Network: set.Network(), Name: req.Name, Alias: e.aliasFor(req.Name), Device: device, Active: true, Added: time.Now(),
	}, secrets)
	if err != nil {
		return none, err
	}
	n.setActive()
	if err := e.whyNotUp(n); err != nil {
		// A network that cannot come up here is not left behind.
		return none, errors.Join(err, e.forget(n))
	}
	a := ipc.CreateAnswer{Schema: ipc.Schema}
	if req.ShowPhrase {
		if err := n.dropPhrase(ctx); err == nil {
			a.Phrase = phrase
		}
	}
	e.apply()
	e.publishNow()
	a.Network = n.status()
	return a, nil
}

// taken is what a new network's range should not meet.
func (e *Engine) taken() []netip.Prefix {
	var out []netip.Prefix
	for _, i := range e.host.Interfaces {
		for _, p := range i.Prefixes {
			out = append(out, p.Masked())
		}
	}
	for _, r := range e.routes {
		if !r.IsDefault() {
			out = append(out, r.Prefix)
		}
	}
	for _, n := range e.nets {
		out = append(out, roster.Range4(n.id))
	}
	return out
}

// mayAdd refuses new networks while this machine could not use one.
func (e *Engine) mayAdd() error {
	if e.down {
		return ipc.Errorf(ipc.CodeNotConnected, "Kith is off on this device: turn it on first with kith up")
	}
	return nil
}

// checkTUN tells why this host gives no TUN, by making one.
func (e *Engine) checkTUN() error {
	if slices.ContainsFunc(e.nets, func(n *network) bool { return n.on != nil }) {
		return nil
	}
	dev, _, _, err := e.cfg.Host.TUN("", mtu)
	switch {
	case errors.Is(err, tun.ErrNoTUN):
		return ipc.Errorf(ipc.CodeNoTUN, "%w", err)
	case err != nil:
		return err
	}
	return dev.Close()
}

// addNetwork keeps a new network with its records, and opens it.
func (e *Engine) addNetwork(set *roster.Set, s store.Settings, secrets store.Secrets) (*network, error) {
	for _, n := range e.nets {
		if n.id == set.Network() || roster.SamePrefix(n.id, set.Network()) {
			return nil, ipc.Errorf(ipc.CodeExists, "this device is in %s already", n.alias)
		}
	}
	var recs []store.Record
	for r, at := range set.All() {
		recs = append(recs, store.Record{ID: r.ID, Raw: r.Raw, Arrival: at, Verified: true})
	}
	if err := e.cfg.Store.AddNetwork(s, secrets, recs...); err != nil {
		return nil, writeError(err)
	}
	n, err := e.openNetwork(s)
	if err != nil {
		return nil, err
	}
	e.nets = append(e.nets, n)
	e.tendAllVisits()
	return n, nil
}

// whyNotUp is the error for a user whose network did not come up.
func (e *Engine) whyNotUp(n *network) error {
	switch {
	case n.on != nil:
		return nil
	case errors.Is(n.failed, tun.ErrNoTUN):
		return ipc.Errorf(ipc.CodeNoTUN, "%w", n.failed)
	case n.failed != nil:
		return n.failed
	}
	return ipc.Errorf(ipc.CodeNotConnected, "%s is not up", n.alias)
}

// setEpoch draws a discovery secret and publishes its hash.
func setEpoch(set *roster.Set, by key.Private) (secret [32]byte, err error) {
	secret, hash := drawEpoch()
	_, err = roster.NewAuthor(set, by, time.Now).SetEpoch(hash)
	return secret, err
}

func newKeys(n uint64) store.Keys {
	return store.Keys{N: n, WireGuard: key.NewExchange(), Control: key.NewExchange(), Made: time.Now()}
}

// deviceName is the name asked for, or one made of the host's; chosen tells
// which.
func (e *Engine) deviceName(asked string) (name string, chosen bool, err error) {
	if asked == "" {
		if name = roster.MakeLabel(e.cfg.Host.Name()); validDevice(name) != nil { // "localhost"
			name = "device"
		}
		return name, false, nil
	}
	if err := validDevice(asked); err != nil {
		return "", false, writeError(err)
	}
	return asked, true, nil
}

// write makes records of this device's own, stores them and sends them.
func (n *network) write(fn func(*roster.Author) error) error { return n.writeAs(n.device, fn) }

// writeAs is write by a key that may be the root's.
func (n *network) writeAs(by key.Private, fn func(*roster.Author) error) error {
	added, err := n.book.Write(func(set *roster.Set) error {
		return fn(roster.NewAuthor(set, by, time.Now))
	})
	if n.on != nil {
		n.on.replica.Push(added, key.Public{})
	}
	if err != nil {
		return writeError(err)
	}
	return nil
}

// upNetwork finds a network that is up and of which this device is a member.
func (e *Engine) upNetwork(name string) (*network, error) {
	n, err := e.named(name)
	switch {
	case err != nil:
		return nil, err
	case n.me() == nil:
		return nil, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", n.alias)
	case n.on == nil:
		return nil, ipc.Errorf(ipc.CodeNotConnected, "%s is not connected: connect it with kith up", n.alias)
	}
	return n, nil
}

// Preview reads a link and sends nothing.
func (e *Engine) Preview(ctx context.Context, _ server.Caller, req ipc.LinkRequest) (ipc.Preview, error) {
	if l, err := link.ParseShare(req.Link); err == nil {
		return e.previewShare(ctx, l)
	}
	l, err := parseJoin(req.Link)
	if err != nil {
		return ipc.Preview{}, err
	}
	words := link.Fingerprint(l.Network)
	return call(ctx, e, func() (ipc.Preview, error) {
		_, known := e.byID(l.Network)
		return ipc.Preview{
			Schema: ipc.Schema, Kind: "join", Network: l.Name, ID: roster.ID(l.Network).String(), Sponsor: l.SponsorName,
			Fingerprint: words, Expires: l.Expires, Expired: time.Now().After(l.Expires), Known: known,
			Reach: []string{""},
		}, nil
	})
}

func (e *Engine) byID(id roster.ID) (*network, bool) {
	for _, n := range e.nets {
		if n.id == id {
			return n, true
		}
	}
	return nil, false
}

// parseJoin reads a link that should be an invite.
func parseJoin(text string) (*link.Join, error) {
	l, err := link.ParseJoin(text)
	switch {
	case errors.Is(err, link.ErrKind):
		return nil, ipc.Errorf(ipc.CodeLinkForeign, "the link shares a device: it does not invite to a network")
	case errors.Is(err, link.ErrVersion):
		return nil, ipc.Errorf(ipc.CodeUpgrade, "the link was made by a later version of Kith")
	case err != nil:
		return nil, ipc.Errorf(ipc.CodeLinkMalformed, "%w", err)
	}
	return l, nil
}

const joinWait = 30 * time.Second

// Join asks the link's sponsor for admission and waits for it, within bounds;
// past them the request goes on.
func (e *Engine) Join(ctx context.Context, _ server.Caller, req ipc.JoinRequest) (ipc.NetworkAnswer, error) {
	l, err := parseJoin(req.Link)
	if err != nil {
		return ipc.NetworkAnswer{}, err
	}
	name, chosen, err := e.deviceName(req.Device)
	if err != nil {
		return ipc.NetworkAnswer{}, err
	}
	if chosen {
		name = chosenMark + name
	}
	j, err := call(ctx, e, func() (*joining, error) { return e.beginJoin(l, req.Link, name) })
	if err != nil {
		return ipc.NetworkAnswer{}, err
	}
	wait := time.Duration(req.Wait) * time.Second
	if wait <= 0 {
		wait = joinWait
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-j.done:
	case <-ctx.Done():
		return ipc.NetworkAnswer{}, ctx.Err()
	case <-e.ctx.Done():
		return ipc.NetworkAnswer{}, ipc.Errorf(ipc.CodeBusy, "the helper is stopping; it goes on asking when it starts again")
	case <-t.C:
		did := "has not answered"
		if why := j.held.Load(); why != nil {
			did = "has not let this device in (" + *why + ")"
		}
		return ipc.NetworkAnswer{}, ipc.Errorf(ipc.CodeTimeout,
			"%s %s within %s; this device goes on asking until %s, or until kith leave",
			l.SponsorName, did, wait, l.Expires.Local().Format("2 Jan 15:04"))
	}
	if j.result != nil {
		return ipc.NetworkAnswer{}, j.result
	}
	return call(ctx, e, func() (ipc.NetworkAnswer, error) {
		n, ok := e.byID(l.Network)
		if !ok {
			return ipc.NetworkAnswer{}, ipc.Errorf(ipc.CodeNotFound, "this device left %s meanwhile", l.Name)
		}
		return ipc.NetworkAnswer{Schema: ipc.Schema, Network: n.status()}, nil
	})
}

// beginJoin starts a request, or goes on with the one under way.
func (e *Engine) beginJoin(l *link.Join, text, name string) (*joining, error) {
	if j := e.joins[l.Invite.Public()]; j != nil {
		return j, nil
	}
	if time.Now().After(l.Expires.Add(grace)) {
		return nil, ipc.Errorf(ipc.CodeLinkExpired, "the invite expired at %s, and this device's clock says %s",
			l.Expires.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	}
	if err := e.mayJoin(l); err != nil {
		return nil, err
	}
	kept := store.Join{Network: l.Network, Link: text, Device: key.New(), Keys: newKeys(1), Name: name, Since: time.Now()}
	for _, old := range e.cfg.Store.Joins() {
		// The sponsor may have admitted those keys already, and counted a use.
		if was, err := link.ParseJoin(old.Link); err == nil && was.Invite == l.Invite {
			kept.Device, kept.Keys, kept.Since = old.Device, old.Keys, old.Since
		}
	}
	if err := e.cfg.Store.PutJoin(kept); err != nil {
		return nil, writeError(err)
	}
	return e.startJoin(l, kept, nil)
}

// mayJoin looks, before anything is asked, whether this device could be in the
// network: an invite is not used up for nothing. Other requests to it end.
func (e *Engine) mayJoin(l *link.Join) error {
	if err := e.mayAdd(); err != nil {
		return err
	}
	if err := e.checkTUN(); err != nil {
		return err
	}
	for _, n := range e.nets {
		switch {
		case n.id == l.Network && n.me() != nil:
			return ipc.Errorf(ipc.CodeExists, "this device is in %s already", n.alias)
		case n.id == l.Network:
			// It was removed, and is invited anew: it comes with fresh keys.
			if err := e.forget(n); err != nil {
				return err
			}
		case roster.SamePrefix(n.id, l.Network):
			return ipc.Errorf(ipc.CodeLinkForeign, "the network %s has the address range of %s: one of them was made to", l.Name, n.alias)
		}
	}
	for _, j := range e.joins {
		if j.link.Network == l.Network {
			j.end(ipc.Errorf(ipc.CodeBusy, "another request to join %s took its place", l.Name))
		}
	}
	return nil
}
