package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// accepting is an acceptance under way: it lasts over restarts, until the
// friend's side answers, the link ends or the user gives up.
type accepting struct {
	n      *network
	link   *link.Share
	kept   store.Issuer
	caller *outside
	cancel context.CancelFunc
	wg     sync.WaitGroup
	done   chan struct{} // closed with result set, or when the owner has to approve
	told   bool          // done is closed
	result error
	wait   bool // the owner has to compare words
}

// approvalEvery is how often the friend's side is asked whether its owner has
// approved.
const approvalEvery = time.Second

// loadAccepts goes on with what was under way.
func (n *network) loadAccepts() {
	for _, kept := range n.secrets.Issuers {
		switch {
		case kept.Gone:
			if len(kept.Proof) > 0 { // the helper ended meanwhile
				n.bury(kept.Network, kept.Share)
				n.forgetVisit(kept.Network, kept.Share)
			}
			continue
		case kept.Accepted || n.accepts[kept.Share] != nil:
			continue
		}
		l, err := link.ParseShare(kept.Link)
		if err != nil || time.Now().After(l.Expires.Add(grace)) {
			n.dropIssuer(kept.Network, kept.Share)
			continue
		}
		if _, err := n.startAccept(l, kept); err != nil {
			n.e.log.Error("go on with accepting a share", "network", n.alias, "err", err)
		}
	}
}

// startAccept opens a port and looks for the friend's device.
func (n *network) startAccept(l *link.Share, kept store.Issuer) (*accepting, error) {
	a := &accepting{n: n, link: l, kept: kept, done: make(chan struct{})}
	var err error
	if a.caller, err = n.e.newOutside(l.Key, n.e.log.With("accepting", l.Name)); err != nil {
		return nil, err
	}
	peers, chains := a.peers()
	a.caller.wire.SetPeers(peers)
	a.caller.wire.SetChains(l.Sponsor, chains)
	ctx, cancel := context.WithDeadline(n.e.ctx, l.Expires.Add(grace))
	a.cancel = cancel
	n.accepts[l.ID] = a
	n.e.apply()
	a.wg.Go(func() { a.run(ctx) })
	a.wg.Go(func() { a.repeat(ctx) })
	n.e.publishSoon()
	return a, nil
}

// peers is the sponsor and the relays in the link, and over which of them the
// sponsor may be reached.
func (a *accepting) peers() (peers []wire.Peer, chains [][]key.Public) {
	l := a.link
	sponsor := wire.Peer{ID: l.Sponsor, Control: l.SponsorControl, Candidates: l.Endpoints}
	for _, r := range l.Relays {
		w := &wire.Relay{Addrs: r.Addrs, Host: r.Host, Pin: r.Pin}
		if r.Key == l.Sponsor {
			sponsor.Relay = w
			continue
		}
		peers = append(peers, wire.Peer{ID: r.Key, Control: r.Control, Relay: w})
		chains = append(chains, []key.Public{r.Key})
	}
	return append(peers, sponsor), chains
}

// group is how the one who accepts makes itself heard on the LAN.
func (a *accepting) group() discover.Group {
	k := a.link.Key.Public()
	return discover.Group{
		Secret: guest.LANSecret(k), Speak: true, Port: a.caller.conn.Port(), ID: shortID(k),
		Handle: func(h discover.Heard) { a.caller.wire.AddCandidates(a.link.Sponsor, h.From) },
	}
}

// repeat goes on looking for the sponsor.
func (a *accepting) repeat(ctx context.Context) {
	t := time.NewTicker(retryEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		a.caller.wire.AddCandidates(a.link.Sponsor, a.link.Endpoints...)
	}
}

// run asks until there is a verdict or the time is over.
func (a *accepting) run(ctx context.Context) {
	for wait := redialAfter; ; wait = min(2*wait, redialMost) {
		got, err := a.try(ctx)
		var verdict *ipc.Error
		switch {
		case err == nil:
			_, bad := guest.OpenView(got.Proof, a.link.Network, a.link.ID) // signatures take time: not on the actor
			a.n.e.post(func() { a.accepted(got, bad) })
			return
		case errors.As(err, &verdict) && verdict.Code != ipc.CodeBusy:
			a.n.e.post(func() { a.end(verdict) })
			return
		case ctx.Err() != nil:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				a.n.e.post(func() {
					a.end(ipc.Errorf(ipc.CodeLinkExpired, "the link ended before %s answered", a.link.SponsorName))
				})
			}
			return
		}
		a.n.e.log.Debug("accept a share", "share", a.link.Name, "err", err)
		sleep(ctx, wait)
	}
}

// try asks once, and where the owner has to approve until that is done.
func (a *accepting) try(ctx context.Context) (visit.Answer, error) {
	s, err := a.caller.wire.Dial(ctx, a.link.Sponsor)
	if err != nil {
		return visit.Answer{}, err
	}
	defer s.Close(0)
	raw, err := guest.Accept(a.link.Key, a.link.Network, a.link.ID, a.kept.Key.Public(), a.kept.Door.Public(), a.kept.Label)
	if err != nil {
		return visit.Answer{}, err
	}
	got, err := visit.Ask(ctx, s, visit.Request{Accept: raw})
	switch {
	case err != nil:
		return got, err
	case got.Verdict() != nil:
		return got, got.Verdict()
	case !got.Pending:
		return got, nil
	}
	a.n.e.post(a.mustWait)
	sleep(ctx, approvalEvery)
	return got, errPending
}

var errPending = errors.New("the owner has not approved yet")

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (a *accepting) current() bool { return a.n.accepts[a.link.ID] == a }

// mustWait tells whoever waits that the owner has to approve.
func (a *accepting) mustWait() {
	if a.current() && !a.wait {
		a.wait = true
		a.n.e.publishSoon()
		a.tell()
	}
}

func (a *accepting) tell() {
	if !a.told {
		a.told = true
		close(a.done)
	}
}

// stop ends the search and frees the port; what is stored stays.
func (a *accepting) stop() {
	a.cancel()
	a.caller.close()
	a.wg.Wait()
	delete(a.n.accepts, a.link.ID)
}

// end gives the acceptance up, with the verdict for whoever waits.
func (a *accepting) end(why error) {
	if !a.current() {
		return
	}
	a.stop()
	a.n.dropIssuer(a.link.Network, a.link.ID)
	a.result = why
	a.n.e.apply()
	a.n.e.publishNow() // whoever waits may look next
	a.tell()
}

// accepted keeps what the friend's side has answered and hands passes out.
func (a *accepting) accepted(got visit.Answer, bad error) {
	if !a.current() {
		return
	}
	if bad != nil {
		a.end(ipc.Errorf(ipc.CodeLinkForeign, "%s answered with something other than the share: %w", a.link.SponsorName, bad))
		return
	}
	a.stop()
	n := a.n
	err := n.updateIssuer(a.link.Network, a.link.ID, func(s *store.Issuer) {
		s.Accepted, s.Link, s.Proof, s.Contacts = true, "", got.Proof, contactsOf(got)
	})
	if err != nil {
		a.result = writeError(err)
	}
	n.tendShares()
	n.e.apply()
	n.e.publishNow()
	a.tell()
}

func contactsOf(a visit.Answer) []store.Contact {
	var out []store.Contact
	for _, c := range a.Contacts {
		out = append(out, store.Contact{Key: c.Key, Addrs: c.Addrs})
	}
	return out
}

// status is an acceptance under way as clients see it.
func (a *accepting) status() ipc.Share {
	l := a.link
	out := ipc.Share{
		ID: guest.SID(l.ID).String(), Name: l.Name, FQDN: "", Network: l.NetworkName, Devices: []ipc.SharedDevice{}, Ports: previewPorts(l),
		Exit: l.Exit, Both: l.Both, AcceptBy: moment(l.Expires), Direction: "in", State: ipc.ShareAsking, Label: l.SponsorName,
		Words: []string{}, Guests: []ipc.Guest{},
	}
	if !l.Ends.IsZero() {
		out.Expires = moment(l.Ends)
	}
	if a.wait {
		out.State = ipc.ShareConfirm
		out.Words = guest.Words(l.Network, l.ID, a.kept.Key.Public(), a.kept.Door.Public())
	}
	return out
}

func previewPorts(l *link.Share) []string {
	p, err := guest.UnpackPorts(l.Ports)
	if err != nil {
		return []string{}
	}
	return p.Strings()
}

// acceptShare starts an acceptance, or goes on with the one under way. Nil and no
// error: it is accepted already.
func (e *Engine) acceptShare(l *link.Share, text string, req ipc.ShareAcceptRequest) (*network, *accepting, error) {
	for _, n := range e.nets {
		if a := n.accepts[l.ID]; a != nil {
			return n, a, nil
		}
		if s := n.issuer(l.Network, l.ID); s != nil && s.Accepted && !s.Gone {
			return n, nil, nil
		} else if s != nil && s.Gone {
			return nil, nil, ipc.Errorf(ipc.CodeLinkUsed, "%s has accepted this share and given it up: that takes a new link", n.alias)
		}
		if n.id == l.Network {
			return nil, nil, ipc.Errorf(ipc.CodeExists, "this device is in %s itself", n.alias)
		}
		if roster.SamePrefix(n.id, l.Network) {
			return nil, nil, ipc.Errorf(ipc.CodeLinkForeign, "the network %s has the address range of %s: one of them was made to", l.NetworkName, n.alias)
		}
	}
	if time.Now().After(l.Expires.Add(grace)) {
		return nil, nil, ipc.Errorf(ipc.CodeLinkExpired, "the link was to be accepted by %s, and this device's clock says %s",
			l.Expires.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	}
	n, err := e.upNetwork(req.Network)
	if err != nil {
		return nil, nil, err
	}
	if !n.mayIssue() {
		return nil, nil, ipc.Errorf(ipc.CodeNotAdmin, "a share is accepted on an admin's device of %s, which passes it on to the others", n.alias)
	}
	label := req.Label
	if label == "" {
		label = n.set.Device
	}
	if issuersLive(&n.secrets) >= issuersMost {
		return nil, nil, ipc.Errorf(ipc.CodeLimit, "%s has %d friends' shares already", n.alias, issuersMost)
	}
	kept := store.Issuer{
		Network: l.Network, Share: l.ID, Link: text, Key: key.New(), Door: key.New(), Label: label, Since: time.Now(),
		Name: l.Name, Of: l.NetworkName, Sponsor: l.SponsorName, Both: l.Both,
	}
	if err := n.updateIssuer(l.Network, l.ID, func(s *store.Issuer) { *s = kept }); err != nil {
		return nil, nil, writeError(err)
	}
	a, err := n.startAccept(l, kept)
	return n, a, err
}

// outside is a wire of its own port by which a device that the friend's side
// does not know yet asks to be let in.
type outside struct {
	conn interface {
		Port() uint16
		Close() error
	}
	wire *wire.Wire
}

func (e *Engine) newOutside(k key.Private, log *slog.Logger) (*outside, error) {
	conn, err := e.cfg.Host.Listen(0)
	if err != nil {
		return nil, fmt.Errorf("open a UDP port: %w", err)
	}
	w, err := wire.New(wire.Config{
		Conn: conn, Device: k, Control: k.Exchange(), Handler: deafHandler{},
		DialLink: e.dialLink, Listen: e.cfg.Host.Listen, STUN: e.cfg.STUN, Log: log,
	})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("start the wire: %w", err)
	}
	w.SetLocal(e.local())
	return &outside{conn, w}, nil
}

func (o *outside) networkChanged(e *Engine) {
	o.wire.SetLocal(e.local())
	o.wire.NetworkChanged()
}

func (o *outside) close() {
	o.wire.Close()
	o.conn.Close()
}

// deafHandler is for a wire that asks, and that nobody has anything to ask of.
type deafHandler struct{}

func (deafHandler) PeerWants(key.Public)                {}
func (deafHandler) PeerRestarted(key.Public)            {}
func (deafHandler) PathChanged(key.Public, wire.Path)   {}
func (deafHandler) NeighboursChanged()                  {}
func (deafHandler) Accept(_ key.Public, s wire.Session) { s.Close(0) }
