package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/join"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire"
	"kith.internal/helper/internal/wire/udp"
	"kith.internal/ipc"
)

// joining is a request to join that is under way: it lasts over restarts, until
// the sponsor answers, the invite ends or the user gives up.
type joining struct {
	e      *Engine
	link   *link.Join
	kept   store.Join
	chosen bool // a person chose the device's name
	stage  ipc.JoinStage
	conn   udp.Conn
	wire   *wire.Wire
	cancel context.CancelFunc
	wg     sync.WaitGroup
	done   chan struct{} // closed with result set
	result error
	near   *asksNearby            // nil: it follows an invite
	held   atomic.Pointer[string] // why the sponsor put it off, nil while it did not
}

// chosenMark stands before a stored device name that a person chose.
const chosenMark = "="

// loadJoins goes on with what was under way before a restart or a full disk.
func (e *Engine) loadJoins() error {
	for _, kept := range e.cfg.Store.Joins() {
		l, err := link.ParseJoin(kept.Link)
		if err != nil || time.Now().After(l.Expires.Add(grace)) {
			if err := e.cfg.Store.RemoveJoin(kept.Network); err != nil {
				return fmt.Errorf("forget an old join: %w", err)
			}
			continue
		}
		if e.joins[l.Invite.Public()] != nil {
			continue
		}
		if _, err := e.startJoin(l, kept, nil); err != nil {
			e.log.Error("go on with a join", "network", l.Name, "err", err)
		}
	}
	return nil
}

// startJoin opens a port and looks for the sponsor; near is nil for an invite.
func (e *Engine) startJoin(l *link.Join, kept store.Join, near *asksNearby) (*joining, error) {
	j := &joining{e: e, link: l, kept: kept, near: near, stage: ipc.JoinSearching, done: make(chan struct{})}
	if len(kept.Name) > 0 && kept.Name[:1] == chosenMark {
		j.chosen = true
	}
	var err error
	if j.conn, err = e.cfg.Host.Listen(0); err != nil {
		return nil, fmt.Errorf("open a UDP port: %w", err)
	}
	j.wire, err = wire.New(wire.Config{
		Conn: j.conn, Device: l.Invite, Control: l.Invite.Exchange(), Handler: joinHandler{j},
		DialLink: e.dialLink, Listen: e.cfg.Host.Listen, STUN: e.cfg.STUN,
		Log: e.log.With("joining", l.Name),
	})
	if err != nil {
		j.conn.Close()
		return nil, fmt.Errorf("start the wire: %w", err)
	}
	j.wire.SetLocal(e.local())
	peers, chains := j.peers()
	j.wire.SetPeers(peers)
	j.wire.SetChains(l.Sponsor, chains)
	until := l.Expires
	if near == nil {
		until = until.Add(grace)
	}
	ctx, cancel := context.WithDeadline(e.ctx, until)
	j.cancel = cancel
	e.joins[l.Invite.Public()] = j
	e.apply()
	j.wg.Go(func() { j.run(ctx) })
	j.wg.Go(func() { j.repeat(ctx) })
	e.publishSoon()
	return j, nil
}

// peers is the sponsor and the relays in the link, and over which of them the
// sponsor may be reached.
func (j *joining) peers() (peers []wire.Peer, chains [][]key.Public) {
	l := j.link
	sponsor := wire.Peer{ID: l.Sponsor, Control: l.SponsorControl, Candidates: j.candidates()}
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

// linked is the relays that were reached by TLS alone.
func (j *joining) linked() (relays []key.Public) {
	for _, r := range j.link.Relays {
		if st, _ := j.wire.PeerStatus(r.Key); st.Path.Transport == wire.TLS {
			relays = append(relays, r.Key)
		}
	}
	return relays
}

// candidates is the sponsor's addresses in the link. One that lies in this
// device's own overlay is left out: no path may run through a TUN of ours.
func (j *joining) candidates() []netip.AddrPort { return j.link.Endpoints }

// group is how the joiner makes itself heard on the LAN.
func (j *joining) group() discover.Group {
	invite := j.link.Invite.Public()
	return discover.Group{
		Secret: lanSecret(invite), Speak: true, Port: j.conn.Port(), ID: shortID(invite),
		Handle: func(h discover.Heard) {
			j.wire.AddCandidates(j.link.Sponsor, h.From)
		},
	}
}

func (j *joining) networkChanged() {
	j.wire.SetLocal(j.e.local())
	j.wire.NetworkChanged()
}

// The pause after an exchange that failed half-way.
const (
	redialAfter = 500 * time.Millisecond
	redialMost  = 5 * time.Second
)

// While the sponsor is silent its addresses are tried, and the LAN is asked,
// more often than the wire and discovery do by themselves: a person waits.
const (
	retryEvery = 5 * time.Second
	askEvery   = 6 // retries
)

// repeat goes on looking for the sponsor.
func (j *joining) repeat(ctx context.Context) {
	t := time.NewTicker(retryEvery)
	defer t.Stop()
	for i := 1; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		j.wire.AddCandidates(j.link.Sponsor, j.candidates()...)
		if i%askEvery == 0 {
			j.e.post(func() {
				if j.e.joins[j.link.Invite.Public()] == j {
					j.e.announcer.Query()
				}
			})
		}
	}
}

// run asks until there is a verdict or the time is over.
func (j *joining) run(ctx context.Context) {
	for wait := redialAfter; ; wait = min(2*wait, redialMost) {
		answer, err := j.try(ctx)
		var verdict *ipc.Error
		switch {
		case err == nil:
			set, err := j.check(answer) // signatures take time: not on the actor
			j.e.post(func() { j.admitted(set, answer, err) })
			return
		case errors.As(err, &verdict):
			j.e.post(func() { j.end(verdict) })
			return
		case ctx.Err() != nil:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				j.e.post(func() { j.end(j.late()) })
			}
			return
		}
		if errors.Is(err, join.ErrNotNow) {
			why := err.Error()
			j.held.Store(&why)
		}
		j.e.log.Debug("join", "network", j.link.Name, "err", err)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// late is the verdict when the time is over.
func (j *joining) late() error {
	if j.near != nil {
		return ipc.Errorf(ipc.CodeNearbyClosed, "%s closed before %s answered", j.link.Name, j.link.SponsorName)
	}
	return ipc.Errorf(ipc.CodeLinkExpired, "the invite ended before %s answered", j.link.SponsorName)
}

func (j *joining) try(ctx context.Context) (join.Answer, error) {
	s, err := j.wire.Dial(ctx, j.link.Sponsor)
	if err != nil {
		return join.Answer{}, err
	}
	defer s.Close(0)
	j.e.post(func() { j.setStage(ipc.JoinAsking) })
	k := j.kept.Keys
	device := j.kept.Device.Public()
	wg, control := k.WireGuard.Public(), k.Control.Public()
	pop := roster.SignPop(j.link.Network, j.kept.Device, wg, control, k.N)
	req := join.Request{
		Device: device, WG: wg, Control: control, N: k.N, Pop: pop[:],
		Name: j.name(), Chosen: j.chosen,
	}
	if j.near != nil {
		return j.askNearby(ctx, s, req)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return join.Ask(ctx, s, req, func(invite [32]byte) [64]byte {
		return roster.SignInvite(j.link.Invite, invite, device, wg)
	})
}

// name is the device's name that is asked for.
func (j *joining) name() string {
	if j.chosen {
		return j.kept.Name[len(chosenMark):]
	}
	return j.kept.Name
}

func (j *joining) setStage(s ipc.JoinStage) {
	j.stage = s
	j.e.publishSoon()
}

// stop ends the search and frees the port; what is stored stays.
func (j *joining) stop() {
	j.cancel()
	j.wire.Close()
	j.wg.Wait()
	j.conn.Close()
	delete(j.e.joins, j.link.Invite.Public())
}

// end gives the request up, with the verdict for whoever waits.
func (j *joining) end(why error) {
	if j.e.joins[j.link.Invite.Public()] != j {
		return
	}
	j.stop()
	if j.near != nil {
		j.endNearby(why)
	} else if err := j.e.cfg.Store.RemoveJoin(j.link.Network); err != nil {
		j.e.log.Error("forget a join", "err", err)
	}
	j.result = why
	j.e.apply()
	j.e.publishNow() // whoever waits may look next
	close(j.done)
}

// admitted keeps what the sponsor handed over, unless the check of it failed,
// and starts the network on the port that the sponsor knows already.
func (j *joining) admitted(set *roster.Set, a join.Answer, err error) {
	if j.e.joins[j.link.Invite.Public()] != j {
		return
	}
	if err != nil {
		j.end(ipc.Errorf(ipc.CodeLinkForeign, "%s answered with something other than the roster of %s: %w", j.link.SponsorName, j.link.Name, err))
		return
	}
	st, _ := j.wire.PeerStatus(j.link.Sponsor)
	port, linked := j.conn.Port(), j.linked()
	j.stop()
	if j.near != nil {
		j.endNearby(nil)
	}
	name := set.View().Member(j.kept.Device.Public()).Name
	n, err := j.e.addNetwork(set, store.Settings{
		Network: set.Network(), Name: set.Name(), Alias: j.e.aliasFor(set.Name()), Device: name, Port: port,
		Active: true, Added: time.Now(),
	}, store.Secrets{Device: j.kept.Device, Keys: []store.Keys{j.kept.Keys}, Epochs: epochsOf(a.Epoch)})
	if err != nil {
		j.result = err
		close(j.done)
		return
	}
	n.setActive()
	if n.on != nil {
		if st.Path.Kind >= wire.Direct && st.Path.Addr.IsValid() {
			n.on.wire.AddCandidates(j.link.Sponsor, st.Path.Addr)
		}
		n.on.replica.Hear(a.Presence, key.Public{})
		n.on.wire.Seek(j.link.Sponsor)
		for _, relay := range linked {
			n.on.wire.Link(relay)
		}
	} else {
		j.result = n.e.whyNotUp(n)
	}
	j.e.publishNow() // whoever waits may look next
	close(j.done)
}

func epochsOf(secret []byte) []store.Epoch {
	if len(secret) != 32 {
		return nil
	}
	return []store.Epoch{{Secret: [32]byte(secret), At: time.Now()}}
}

// check builds the set from the sponsor's records: the genesis must be the
// link's network, and this device a member.
func (j *joining) check(a join.Answer) (*roster.Set, error) {
	if len(a.Records) == 0 {
		return nil, errors.New("no records")
	}
	set, err := roster.NewSet(a.Records[0])
	if err != nil {
		return nil, err
	}
	if set.Network() != j.link.Network {
		return nil, errors.New("another network")
	}
	now := time.Now()
	for _, r := range set.AddAll(a.Records[1:], roster.AddOptions{At: now, From: j.link.Sponsor}) {
		if r.Err != nil {
			return nil, r.Err
		}
	}
	if set.View().Member(j.kept.Device.Public()) == nil {
		return nil, errors.New("this device is not a member in it")
	}
	return set, nil
}

func (j *joining) status() ipc.Joining {
	return ipc.Joining{
		Network: j.link.Name, ID: roster.ID(j.link.Network).String(), Sponsor: j.link.SponsorName, Stage: j.stage,
		Since: j.kept.Since.UTC(), Expires: j.link.Expires.UTC(),
	}
}

// joinHandler hears the joiner's wire.
type joinHandler struct{ j *joining }

func (joinHandler) PeerWants(key.Public)              {}
func (joinHandler) PeerRestarted(key.Public)          {}
func (joinHandler) PathChanged(key.Public, wire.Path) {}
func (joinHandler) NeighboursChanged()                {}

// Accept refuses: nobody has anything to ask of a joiner.
func (joinHandler) Accept(_ key.Public, s wire.Session) { s.Close(0) }
