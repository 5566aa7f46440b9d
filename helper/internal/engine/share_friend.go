package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/dns"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// firstNetwork is what the network is called that is founded for who accepts a
// share and has none: not as the friend's, so that NAME.home.internal leads
// where the friend says.
func firstNetwork(friends string) string {
	if friends == "home" {
		return "mine"
	}
	return "home"
}

// parseShare reads a link that should be a share's.
func parseShare(text string) (*link.Share, error) {
	l, err := link.ParseShare(text)
	switch {
	case errors.Is(err, link.ErrKind):
		return nil, ipc.Errorf(ipc.CodeLinkForeign, "the link invites to a network: it shares no device")
	case errors.Is(err, link.ErrVersion):
		return nil, ipc.Errorf(ipc.CodeUpgrade, "the link was made by a later version of Kith")
	case err != nil:
		return nil, ipc.Errorf(ipc.CodeLinkMalformed, "%w", err)
	}
	if _, err := guest.UnpackPorts(l.Ports); err != nil {
		return nil, ipc.Errorf(ipc.CodeLinkMalformed, "%w", err)
	}
	return l, nil
}

// ShareAccept takes a share into a network of this device's and waits for the
// friend's side, within bounds; past them the request goes on. Where there is no
// network one is founded. Where the owner has to approve, the answer has the
// words to compare.
func (e *Engine) ShareAccept(ctx context.Context, _ server.Caller, req ipc.ShareAcceptRequest) (ipc.ShareAnswer, error) {
	l, err := parseShare(req.Link)
	if err != nil {
		return ipc.ShareAnswer{}, err
	}
	if req.Label = strings.ToLower(req.Label); req.Label != "" { // before a network is founded for it
		if err := roster.ValidLabel(req.Label); err != nil {
			return ipc.ShareAnswer{}, writeError(err)
		}
	}
	type begun struct {
		n *network
		a *accepting
	}
	b, err := call(ctx, e, func() (begun, error) {
		if len(e.nets) == 0 && len(e.joins) == 0 && req.Network == "" && !time.Now().After(l.Expires.Add(grace)) {
			device, _, err := e.deviceName("")
			if err != nil {
				return begun{}, err
			}
			if _, err := e.create(ctx, ipc.CreateRequest{Name: firstNetwork(l.NetworkName)}, device); err != nil {
				return begun{}, err
			}
		}
		n, a, err := e.acceptShare(l, req.Link, req)
		return begun{n, a}, err
	})
	if err != nil {
		return ipc.ShareAnswer{}, err
	}
	wait := time.Duration(req.Wait) * time.Second
	if wait <= 0 {
		wait = joinWait
	}
	if b.a != nil {
		if err := b.a.await(ctx, wait); err != nil {
			return ipc.ShareAnswer{}, err
		}
	}
	return call(ctx, e, func() (ipc.ShareAnswer, error) {
		for _, s := range b.n.received() {
			if s.ID == guest.SID(l.ID).String() {
				return ipc.ShareAnswer{Schema: ipc.Schema, Share: s}, nil
			}
		}
		return ipc.ShareAnswer{}, ipc.Errorf(ipc.CodeNotFound, "the share was given up meanwhile")
	})
}

// await waits for the friend's side.
func (a *accepting) await(ctx context.Context, wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-a.done:
		return a.result
	case <-ctx.Done():
		return ctx.Err()
	case <-a.n.e.ctx.Done():
		return ipc.Errorf(ipc.CodeBusy, "the helper is stopping; it goes on asking when it starts again")
	case <-t.C:
		return ipc.Errorf(ipc.CodeTimeout, "%s has not answered within %s; this device goes on asking until %s, or until kith share remove",
			a.link.SponsorName, wait, a.link.Expires.Local().Format("2 Jan 15:04"))
	}
}

// ShareRemove gives a received share up: on all devices of the network.
func (e *Engine) ShareRemove(ctx context.Context, _ server.Caller, req ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return call(ctx, e, func() (ipc.ShareAnswer, error) {
		n, sh, err := e.receivedNamed(req)
		if err != nil {
			return ipc.ShareAnswer{}, err
		}
		sid, err := guest.ParseSID(sh.ID)
		if err != nil {
			return ipc.ShareAnswer{}, err
		}
		out := ipc.ShareAnswer{Schema: ipc.Schema, Share: sh}
		if a := n.accepts[sid]; a != nil {
			if a.wait { // the owner's side has taken it
				defer n.remember(a.kept)
			}
			a.end(ipc.Errorf(ipc.CodeNotFound, "the share was given up"))
			return out, nil
		}
		return out, n.giveUp(sid)
	})
}

// remember keeps that a share was given up which nobody has approved yet: its link is
// used.
func (n *network) remember(kept store.Issuer) {
	err := n.updateIssuer(kept.Network, kept.Share, func(s *store.Issuer) {
		*s = store.Issuer{Network: kept.Network, Share: kept.Share, Gone: true, Since: time.Now()}
	})
	if err != nil {
		n.e.log.Error("keep that a friend's share was given up", "network", n.alias, "err", err)
	}
}

// giveUp ends a share on the friend's side: where this device passes it on, for
// all devices; else here, until an admin's device hands it over again.
func (n *network) giveUp(sid guest.SID) error {
	var network [32]byte
	for _, w := range n.secrets.Visits {
		if shareOf(&w, sid) != nil {
			network = w.Network
		}
	}
	i := slices.IndexFunc(n.secrets.Issuers, func(s store.Issuer) bool { return s.Share == sid })
	if i < 0 {
		return ipc.Errorf(ipc.CodeNotAdmin, "the share is all of %s's: give it up on an admin's device", n.alias)
	}
	s := n.secrets.Issuers[i]
	n.takeBack(s, holders(s))
	n.forgetGot(sid)
	if n.on != nil {
		n.tellAll(sid, note{Drop: &offer{s.Network, s.Share}}, time.Now())
	}
	// The cancels go out over the hello that is open, then all is forgotten.
	err := n.updateIssuer(s.Network, sid, func(s *store.Issuer) { s.Gone = true })
	if err != nil {
		return writeError(err)
	}
	time.AfterFunc(lingerOnLeave, func() {
		n.e.post(func() {
			n.bury(s.Network, sid)
			n.dropVisit(network, sid)
			n.e.publishSoon()
		})
	})
	return nil
}

func (on *live) linked() map[key.Public]bool {
	if on == nil {
		return nil
	}
	return on.replica.Linked()
}

// receivedNamed finds a friend's share: by its ID's beginning, a device's name or
// the network's; where a network is named, through that one of ours, or in that one
// of a friend's.
func (e *Engine) receivedNamed(req ipc.ShareIDRequest) (*network, ipc.Share, error) {
	type hit struct {
		n *network
		s ipc.Share
	}
	var found []hit
	var own *network
	var unknown error
	if req.Network != "" {
		own, unknown = e.named(req.Network)
	}
	for _, n := range e.nets {
		for _, s := range n.received() {
			if own != nil && n != own || own == nil && req.Network != "" && s.Network != req.Network {
				continue
			}
			unknown = nil
			if meansShare(req.Share, s.ID, s.Name, s.FQDN, s.Network) {
				found = append(found, hit{n, s})
			}
		}
	}
	if unknown != nil {
		return nil, ipc.Share{}, unknown
	}
	switch len(found) {
	case 0:
		return nil, ipc.Share{}, ipc.Errorf(ipc.CodeNotFound, "no friend shares %.70q", req.Share)
	case 1:
		return found[0].n, found[0].s, nil
	}
	return nil, ipc.Share{}, ipc.Errorf(ipc.CodeAmbiguous, "%.70q is more than one share: give the beginning of its ID, which kith share list shows", req.Share)
}

// received is the shares of friends', those that are asked for among them.
func (n *network) received() []ipc.Share {
	out := []ipc.Share{}
	for _, w := range n.secrets.Visits {
		for _, q := range w.Shares {
			out = append(out, n.receivedShare(&w, &q))
		}
	}
	for _, s := range n.secrets.Issuers {
		if a := n.accepts[s.Share]; a != nil {
			out = append(out, a.status())
		}
	}
	return out
}

// receivedShare is one friend's share as clients see it.
func (n *network) receivedShare(w *store.Visit, q *store.VisitShare) ipc.Share {
	out := ipc.Share{
		ID: guest.SID(q.Share).String(), Name: q.Name, Network: w.Alias, Devices: []ipc.SharedDevice{}, Ports: []string{}, Direction: "in",
		State: ipc.ShareActive, Words: []string{}, Guests: []ipc.Guest{}, Refused: []ipc.Refusal{},
	}
	v, err := guest.OpenView(q.Proof, w.Network, q.Share)
	if err != nil {
		return out
	}
	s := n.stays[w.Network]
	out.Ports, out.Exit, out.Both, out.Label = v.Ports.Strings(), v.Exit, v.Both && q.Both, v.Sponsor.Name
	if v.Expires != 0 {
		out.Expires = moment(time.UnixMilli(v.Expires))
	}
	for _, t := range v.Targets {
		name := t.Name
		if s != nil {
			name = s.label(t)
		}
		d := ipc.SharedDevice{Name: name, FQDN: dns.FQDN(name, w.Alias), IPv6: addr(t.IP), Path: ipc.PathNone, Exit: t.Exit}
		if s != nil {
			s.fillDevice(&d, t)
		}
		out.Devices = append(out.Devices, d)
	}
	if len(out.Devices) > 0 {
		out.Name, out.FQDN = out.Devices[0].Name, out.Devices[0].FQDN
	}
	if why := n.whyNotVisiting(w, q, v, s); why != nil {
		out.Why, out.WhyArgs = new(ipc.CodeOf(why)), map[string]string{"network": n.alias}
	}
	switch ipc.Code(q.Ended) {
	case ipc.CodeShareRevoked:
		out.State = ipc.ShareRevoked
	case ipc.CodeShareExpired:
		out.State = ipc.ShareExpired
	}
	if v.Expires != 0 && time.Now().After(time.UnixMilli(v.Expires).Add(grace)) {
		out.State = ipc.ShareExpired
	}
	if s != nil && !s.greeted[q.Share].IsZero() {
		out.LastUsed = moment(s.greeted[q.Share])
	}
	return out
}

// whyNotVisiting is why a friend's share does not work now, nil if it does as far
// as is known.
func (n *network) whyNotVisiting(w *store.Visit, q *store.VisitShare, v *guest.View, s *stay) error {
	p, err := guest.PeekPass(q.Pass)
	switch {
	case q.Ended == string(ipc.CodeShareRevoked):
		return ipc.Errorf(ipc.CodeShareRevoked, "the owner has taken it back")
	case q.Ended != "", v.Expires != 0 && time.Now().After(time.UnixMilli(v.Expires).Add(grace)):
		return ipc.Errorf(ipc.CodeShareExpired, "it has ended")
	case err != nil || time.Now().After(p.Ends().Add(grace)):
		return ipc.Errorf(ipc.CodePassExpired, "no admin's device of %s has renewed this one's pass", n.alias)
	case time.Now().Before(time.Unix(v.Made, 0).Add(-grace)):
		return ipc.Errorf(ipc.CodeClock, "the owner's word on it is from %s: a clock is wrong", time.Unix(v.Made, 0).UTC().Format(time.RFC3339))
	case n.whyNoStay(w) != nil:
		return n.whyNoStay(w)
	case s == nil:
		return ipc.Errorf(ipc.CodeNotConnected, "%s is not connected", n.alias)
	case s.refused[q.Share] != nil:
		return s.refused[q.Share]
	case len(v.Targets) == 0:
		return ipc.Errorf(ipc.CodeNotShared, "what was shared has left the owner's network")
	case !v.Trusted(time.Now()):
		return ipc.Errorf(ipc.CodeTimeout, "no device of the owner's has answered for a week")
	case s.barred[q.Share]:
		return ipc.Errorf(ipc.CodePolicy, "the owner's policy lets nothing of it through")
	}
	return s.routeErr
}

// fillDevice says how a shared device is reached.
func (s *stay) fillDevice(d *ipc.SharedDevice, t guest.Target) {
	d.IPv4 = addr(s.four[t.Key])
	d.Using = t.Key == s.exits
	if a := s.n.e.zones.Lookup(d.Name + "."); a.Short && a.Host != nil && d.IPv6 != nil && a.Host.V6 == *d.IPv6 {
		d.Short = &d.Name
	}
	st, ok := s.wire.PeerStatus(t.Key)
	if !ok || s.gone[t.Key] {
		return
	}
	d.Path = pathKinds[st.Path.Kind]
	if st.Path.Kind == wire.None {
		return
	}
	ms := float64(st.Path.RTT.Microseconds()) / 1000
	d.LatencyMS = &ms
	d.Online = st.Sessions > 0 || time.Since(st.LastHeard) < time.Minute
	if len(st.Path.Via) > 0 {
		via := s.nameOf(st.Path.Via[0])
		d.Via = &via
	}
}

// aim finds a shared device by name, full name or address, for a ping.
func (s *stay) aim(host string) (target, bool) {
	now, w := time.Now(), s.stored()
	if w == nil {
		return target{}, false
	}
	for i := range w.Shares {
		v := s.views[w.Shares[i].Share]
		if !s.live(&w.Shares[i], v, now) {
			continue
		}
		for _, d := range v.Targets {
			name := s.label(d)
			if host != name && host != dns.FQDN(name, s.alias) && !slices.ContainsFunc(s.addrsOf(d), func(a netip.Addr) bool { return a.String() == host }) {
				continue
			}
			relays := map[key.Public]string{}
			for _, r := range v.Relays {
				relays[r.Key] = s.nameOf(r.Key)
			}
			return target{
				wire: s.wire, id: d.Key, name: dns.FQDN(name, s.alias), src: s.addr, dst: d.IP,
				via: func(p wire.Path) *string {
					if len(p.Via) == 0 {
						return nil
					}
					return new(relays[p.Via[0]])
				},
				whyNot: func(st wire.PeerStatus) *ipc.WhyNot {
					return new(situation{st, s.wire.Net(), replica.NATUnknown, time.Now()}.why())
				},
			}, true
		}
	}
	return target{}, false
}

// label is what a shared device is called here.
func (s *stay) label(t guest.Target) string {
	if name, ok := s.labels[t.Key]; ok {
		return name
	}
	return t.Name
}

// nameOf names a device of the friend's as far as it is known.
func (s *stay) nameOf(id key.Public) string {
	if name, ok := s.labels[id]; ok {
		return name
	}
	for _, v := range s.views {
		if v.Sponsor.Key == id {
			return v.Sponsor.Name
		}
	}
	return "a relay of " + s.alias
}

// previewShare is what a share's link says.
func (e *Engine) previewShare(ctx context.Context, l *link.Share) (ipc.Preview, error) {
	words := link.Fingerprint(l.Network)
	return call(ctx, e, func() (ipc.Preview, error) {
		known := false
		for _, n := range e.nets {
			s := n.issuer(l.Network, l.ID)
			known = known || n.id == l.Network || s != nil && s.Accepted && !s.Gone
		}
		p := ipc.Preview{
			Schema: ipc.Schema, Kind: "share", Network: l.NetworkName, ID: roster.ID(l.Network).String(), Sponsor: l.SponsorName,
			Fingerprint: words, Expires: l.Expires, Expired: time.Now().After(l.Expires), Known: known,
			Reach: []string{l.Name}, More: int(l.More), Ports: previewPorts(l), Exit: l.Exit, Both: l.Both, Confirm: l.Confirm,
		}
		if !l.Ends.IsZero() {
			p.Ends = &l.Ends
		}
		return p, nil
	})
}

// takeView keeps a newer view also for the devices that get their passes here.
func (n *network) takeView(network [32]byte, sid guest.SID, a visit.Answer) {
	if s := n.issuer(network, sid); s == nil || s.Gone {
		return
	}
	err := n.updateIssuer(network, sid, func(s *store.Issuer) { s.Proof, s.Contacts = a.Proof, contactsOf(a) })
	if err != nil {
		n.e.log.Error("keep a friend's view", "network", n.alias, "err", err)
	}
}

// cancelsAtOnce is how many cancels fit in a request beside a pass.
const cancelsAtOnce = 24

// cancelsOf is the passes that are taken back, for the friend's devices, the latest
// first.
func (n *network) cancelsOf(network [32]byte, sid [16]byte) [][]byte {
	s := n.issuer(network, sid)
	if s == nil {
		return nil
	}
	out := liveCancels(s.Cancels, time.Now())
	slices.Reverse(out)
	return out
}

// sendCancels tells them to one of the friend's devices.
func sendCancels(h *visit.Hello, cancels [][]byte) {
	for some := range slices.Chunk(cancels, cancelsAtOnce) {
		if h.Send(visit.Request{Cancels: some}) != nil {
			return
		}
	}
}

// tellCancels tells the friend's devices that this one is in touch with at once.
func (n *network) tellCancels(network [32]byte, sid [16]byte) {
	s, cancels := n.stays[network], n.cancelsOf(network, sid)
	if s == nil || len(cancels) == 0 {
		return
	}
	for _, c := range s.callers {
		if h := c.greets(sid); h != nil {
			n.e.background(func() { sendCancels(h, cancels) })
		}
	}
}

// tellPass shows a newer pass in the hellos that are open.
func (s *stay) tellPass(sid guest.SID, pass []byte) {
	for _, c := range s.callers {
		if h := c.greets(sid); h != nil {
			s.n.e.background(func() { h.Send(visit.Request{Pass: pass}) })
		}
	}
}

// publishLater is publishSoon from any goroutine.
func (e *Engine) publishLater() { e.post(e.publishSoon) }
