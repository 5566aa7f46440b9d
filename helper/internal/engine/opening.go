package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/join"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

const (
	// triesMost is how many exchanges of digits may end without an admission
	// before an opening closes: each is a chance of one in a million for who
	// stands in between.
	triesMost = 3
	// meetingsMost is how many sessions are served at once, before they have
	// taken a try.
	meetingsMost = 8
)

// opening is a network that this device holds open to its LANs. What follows
// slots belongs to the actor.
type opening struct {
	key   key.Private // said to all on the LAN
	id    key.Public
	said  join.Notice // as the LAN hears it; the zero value: it has not yet
	until time.Time
	slots chan struct{}

	timer   *time.Timer
	left    int // failures until it closes
	pending int // exchanges that have taken a try and have not ended
	asking  []*asking
	closed  bool // its last sessions are told so
}

// asking is a device that shows its digits and waits.
type asking struct {
	join.Asker
	id   string
	word chan word // the admin's; holds one
}

type word struct {
	answer join.Answer
	err    error
}

// openNearby opens the network, or leaves it open as it is.
func (n *network) openNearby() error {
	if o := n.opening.Load(); o != nil && !o.closed {
		return nil
	}
	if n.book.View().Caps(n.self)&roster.CapAdmit == 0 {
		return ipc.Errorf(ipc.CodeNotAdmin, "%s may not admit devices to %s", n.set.Device, n.alias)
	}
	k := key.New()
	o := &opening{key: k, id: k.Public(), until: time.Now().Add(join.OpenFor), slots: make(chan struct{}, meetingsMost), left: triesMost}
	o.timer = time.AfterFunc(join.OpenFor, func() { n.e.post(func() { n.closeNearby(o) }) })
	n.opening.Store(o)
	n.clear(ipc.HealthNearbyTries)
	n.refresh() // has the wire hear who asks, and the LAN hear of it
	return nil
}

// closeNearby ends an opening: whoever asks is told so.
func (n *network) closeNearby(o *opening) {
	if o == nil || o.closed {
		return
	}
	o.closed = true
	o.timer.Stop()
	for _, a := range o.asking {
		a.say(word{err: errNearbyClosed})
	}
	n.e.sayClosed(o.said, farewells)
	n.dropNearby(o)
	n.e.apply()
}

// A farewell can be lost; without one an opening is forgotten after heardFor.
const (
	farewells     = 3
	farewellEvery = 1500 * time.Millisecond
)

// sayClosed tells the LANs that an opening is closed, some times.
func (e *Engine) sayClosed(m join.Notice, times int) {
	m.Left = 0
	b, err := m.Encode()
	if m.Port == 0 || err != nil {
		return
	}
	e.announcer.SayOnce(b)
	if times > 1 {
		time.AfterFunc(farewellEvery, func() {
			e.post(func() {
				if !e.stopping {
					e.sayClosed(m, times-1)
				}
			})
		})
	}
}

var errNearbyClosed = ipc.Errorf(ipc.CodeNearbyClosed, "the network is not open to this LAN any more")

// dropNearby forgets an opening that is closed once nobody is left to be told.
func (n *network) dropNearby(o *opening) {
	if o.closed && o.pending == 0 && n.opening.CompareAndSwap(o, nil) {
		n.refresh()
	}
}

// endNearby ends the opening at once, with the network.
func (n *network) endNearby() {
	if o := n.opening.Load(); o != nil {
		n.closeNearby(o)
		n.opening.CompareAndSwap(o, nil)
	}
}

func (o *opening) remove(a *asking) {
	o.asking = slices.DeleteFunc(o.asking, func(x *asking) bool { return x == a })
}

func (a *asking) say(w word) {
	select {
	case a.word <- w:
	default: // it has one
	}
}

// serveNearby answers who holds the opening's key: anybody on the LAN.
func (n *network) serveNearby(on *live, o *opening, s wire.Session) {
	defer s.Close(0)
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	default:
		return // it asks again soon
	}
	began, admitted := false, false
	err := join.ServeNearby(s.Context(), s, join.Host{
		Opening: join.Opening{Network: n.id, Key: o.id, Admin: n.self, Control: on.keys.Control.Public()},
		WG:      on.keys.WireGuard.Public(),
		Begin: func() error {
			_, err := call(s.Context(), n.e, func() (struct{}, error) { return struct{}{}, n.takeTry(o) })
			began = err == nil
			return err
		},
		Decide: func(ctx context.Context, a join.Asker) (join.Answer, error) {
			w, err := n.waitForWord(ctx, o, a)
			admitted = err == nil
			return w, err
		},
	})
	if err != nil {
		on.log.Info("a device nearby did not join", "err", err)
	}
	if began {
		n.e.post(func() { n.endTry(o, admitted) })
	}
}

// takeTry begins an exchange, if one more may fail.
func (n *network) takeTry(o *opening) error {
	switch {
	case o.closed:
		return errNearbyClosed
	case o.pending >= o.left:
		return ipc.Errorf(ipc.CodeBusy, "other devices are asking")
	}
	o.pending++
	return nil
}

// endTry ends one; an admission costs none.
func (n *network) endTry(o *opening, admitted bool) {
	o.pending--
	if !admitted {
		o.left--
	}
	if o.left == 0 && !o.closed {
		n.warn(ipc.HealthNearbyTries, nil)
		time.AfterFunc(join.OpenFor, func() { n.e.post(func() { n.clear(ipc.HealthNearbyTries) }) })
		n.closeNearby(o)
	}
	n.dropNearby(o)
	n.e.publishSoon()
}

// waitForWord shows a device's digits and waits for the admin.
func (n *network) waitForWord(ctx context.Context, o *opening, a join.Asker) (join.Answer, error) {
	ask := &asking{Asker: a, word: make(chan word, 1)}
	var id [4]byte
	rand.Read(id[:])
	ask.id = hex.EncodeToString(id[:])
	_, err := call(ctx, n.e, func() (struct{}, error) { return struct{}{}, n.showAsking(o, ask) })
	if err != nil {
		return join.Answer{}, err
	}
	defer n.e.post(func() {
		o.remove(ask)
		n.e.publishSoon()
	})
	select {
	case w := <-ask.word:
		return w.answer, w.err
	case <-ctx.Done():
	}
	select {
	case w := <-ask.word: // the admin was as quick as the joiner
		return w.answer, w.err
	default:
		return join.Answer{}, errors.New("the joiner went away")
	}
}

// showAsking checks what a stranger says of itself before anybody sees it.
func (n *network) showAsking(o *opening, a *asking) error {
	if o.closed {
		return errNearbyClosed
	}
	if err := validDevice(a.Name); err != nil {
		return ipc.Errorf(ipc.CodeNameInvalid, "the device's name is not valid: %w", err)
	}
	if err := n.admissible(a.Request); err != nil {
		return err
	}
	o.asking = append(o.asking, a)
	n.e.publishNow()
	return nil
}

// admissible checks a request to join that comes without an invite.
func (n *network) admissible(req join.Request) error {
	v := n.book.View()
	switch {
	case len(req.Pop) != 64 || !roster.VerifyPop(n.id, req.Device, req.WG, req.Control, req.N, [64]byte(req.Pop)):
		return errors.New("the joiner does not hold its device's key")
	case v.Member(req.Device) != nil || v.RemovedBy(req.Device) != nil:
		return errors.New("the joiner's device key is not new")
	case v.UpgradeRequired:
		return ipc.Errorf(ipc.CodeUpgrade, "the admin's Kith is too old for this network")
	}
	if m := v.ByName(req.Name); m != nil && req.Chosen {
		return ipc.Errorf(ipc.CodeNameTaken, "another device in %s is called %s", v.Name, req.Name)
	}
	for _, m := range v.Members {
		if m.WG == req.WG || m.Control == req.Control {
			return errors.New("the joiner claims keys of another device")
		}
	}
	return nil
}

// answerAsking gives the admin's word to a device.
func (n *network) answerAsking(a *asking, refuse bool) error {
	if refuse {
		a.say(word{err: ipc.Errorf(ipc.CodeRefused, "the admin of %s refused: the digits differ there, or the device is not wanted", n.name())})
		return nil
	}
	w := word{}
	w.answer, w.err = n.admitNearby(a.Request)
	a.say(word{w.answer, n.unsaved(w.err)})
	return w.err
}

func (n *network) admitNearby(req join.Request) (join.Answer, error) {
	if n.on == nil {
		return join.Answer{}, errNearbyClosed
	}
	if err := n.admissible(req); err != nil {
		return join.Answer{}, err
	}
	err := n.write(func(a *roster.Author) error {
		_, err := a.Admit(roster.Admission{
			Device: req.Device, WG: req.WG, Control: req.Control, N: req.N, Pop: [64]byte(req.Pop), Name: req.Name,
		})
		return err
	})
	if err != nil {
		return join.Answer{}, fmt.Errorf("admit %s: %w", req.Name, err)
	}
	return n.answer(n.on, req.Device)
}

// openingNotice is what the LANs hear of the opening.
func (n *network) openingNotice(o *opening) discover.Notice {
	m := join.Notice{
		Key: o.key, Network: n.id, Device: n.self, Control: n.on.keys.Control.Public(),
		Name: n.name(), By: n.book.View().NameOf(n.self), Port: n.on.conn.Port(),
	}
	o.said = m
	return discover.Notice{Say: func() []byte {
		m := m
		if m.Left = time.Until(o.until); m.Left < time.Second {
			return nil
		}
		b, err := m.Encode()
		if err != nil {
			return nil
		}
		return b
	}}
}

// open is the opening that devices may ask through now.
func (n *network) open() *opening {
	if o := n.opening.Load(); o != nil && !o.closed && n.on != nil {
		return o
	}
	return nil
}

func (o *opening) status(alias string) ipc.NearbyOpen {
	return ipc.NearbyOpen{Network: alias, Until: o.until.UTC().Truncate(time.Second), Left: o.left}
}

func (a *asking) status(alias string) ipc.NearbyAsking {
	return ipc.NearbyAsking{ID: a.id, Network: alias, Name: a.Name, OS: a.OS, Digits: a.Digits}
}
