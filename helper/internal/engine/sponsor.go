package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kith.internal/helper/internal/join"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// joinersMost is how many joiners are answered at once: whoever has a link may
// open sessions.
const joinersMost = 16

// joinerWaits is how long a joiner keeps its session while others are answered.
const joinerWaits = 5 * time.Second

// place waits for a place among those that are answered; it tells whether the
// joiner has got one.
func (on *live) place(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, joinerWaits)
	defer cancel()
	select {
	case on.joiners <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// serveJoin answers one joiner, in the session's own goroutine.
func (n *network) serveJoin(on *live, s wire.Session) {
	if !on.place(s.Context()) {
		s.Close(0) // it asks again soon
		return
	}
	defer func() { <-on.joiners }()
	err := join.Serve(n.e.ctx, s, join.Sponsor{
		Invite: func(k key.Public) ([32]byte, error) {
			i, err := n.usable(k)
			if err != nil {
				return [32]byte{}, err
			}
			return i.ID, nil
		},
		Admit: func(k key.Public, req join.Request, sig [64]byte) (join.Answer, error) {
			return n.admit(on, k, req, sig)
		},
	})
	if err != nil {
		on.log.Info("a device did not join", "err", err)
	}
	s.Close(0)
}

// usable is the invite with a key, or why it admits nobody.
func (n *network) usable(k key.Public) (*roster.InviteState, error) {
	v := n.book.View()
	i := v.Invite(k)
	switch {
	case i == nil:
		return nil, ipc.Errorf(ipc.CodeLinkForeign, "the invite is not one of %s", v.Name)
	case i.Revoked:
		return nil, ipc.Errorf(ipc.CodeLinkRevoked, "the invite was taken back")
	case time.Now().After(i.Expires.Add(grace)):
		return nil, ipc.Errorf(ipc.CodeLinkExpired, "the invite expired at %s", i.Expires.UTC().Format(time.RFC3339))
	case v.UpgradeRequired:
		return nil, ipc.Errorf(ipc.CodeUpgrade, "the sponsor's Kith is too old for this network")
	case !i.Any && i.Sponsor != n.self, v.Caps(n.self)&(roster.CapAdmit|roster.CapSponsor) == 0:
		return nil, ipc.Errorf(ipc.CodeLinkForeign, "this device does not answer for the invite")
	}
	return i, nil
}

// admit takes a device in. A device that was admitted before by the same invite
// gets the same answer again.
func (n *network) admit(on *live, invite key.Public, req join.Request, sig [64]byte) (join.Answer, error) {
	i, err := n.usable(invite)
	if err != nil {
		return join.Answer{}, err
	}
	if len(req.Pop) != 64 || !roster.VerifyPop(n.id, req.Device, req.WG, req.Control, req.N, [64]byte(req.Pop)) {
		// The proof names the network: the link is for another than this one.
		return join.Answer{}, ipc.Errorf(ipc.CodeLinkForeign, "%s is not in the network that the link is for", n.set.Device)
	}
	if !roster.VerifyInvite(i.Key, i.ID, req.Device, req.WG, sig) {
		return join.Answer{}, errors.New("the joiner does not hold the invite's key")
	}
	if err := validDevice(req.Name); err != nil {
		return join.Answer{}, ipc.Errorf(ipc.CodeNameInvalid, "%s", err.Error())
	}
	v := n.book.View()
	if m := v.ByName(req.Name); m != nil && m.Key != req.Device && req.Chosen {
		return join.Answer{}, ipc.Errorf(ipc.CodeNameTaken, "another device in %s is called %s", v.Name, req.Name)
	}
	for _, m := range v.Members {
		if m.Key != req.Device && (m.WG == req.WG || m.Control == req.Control) {
			return join.Answer{}, errors.New("the joiner claims keys of another device")
		}
	}
	if v.RemovedBy(req.Device) != nil && v.Member(req.Device) == nil {
		return join.Answer{}, ipc.Errorf(ipc.CodeLinkRevoked, "this device was removed from %s", v.Name)
	}
	// The use is journalled before anything is said.
	if _, err := n.e.cfg.Store.UseInvite(n.id, i.ID, req.Device, int(i.Uses), time.Now()); err != nil {
		if errors.Is(err, store.ErrUsedUp) {
			return join.Answer{}, ipc.Errorf(ipc.CodeLinkUsed, "the invite has been used")
		}
		return join.Answer{}, n.unsaved(err)
	}
	if v.Member(req.Device) == nil {
		added, err := n.book.Write(func(set *roster.Set) error {
			_, err := roster.NewAuthor(set, n.device, time.Now).Admit(roster.Admission{
				Device: req.Device, WG: req.WG, Control: req.Control, N: req.N, Pop: [64]byte(req.Pop),
				Name: req.Name, Tags: i.Tags, Invite: i.ID, InviteSig: sig,
			})
			return err
		})
		if err != nil {
			return join.Answer{}, n.unsaved(writeError(err))
		}
		on.replica.Push(added, key.Public{})
	}
	return n.answer(on, req.Device)
}

// unsaved words a full disk for the joiner, whose own disk it is not.
func (n *network) unsaved(err error) error {
	if errors.Is(err, store.ErrFull) || ipc.CodeOf(err) == ipc.CodeDiskFull {
		return ipc.Errorf(ipc.CodeBusy, "%s cannot let anyone in: its disk is full", n.set.Device)
	}
	return err
}

// answer is what an admitted device gets.
func (n *network) answer(on *live, device key.Public) (join.Answer, error) {
	v := n.book.View()
	m := v.Member(device)
	if m == nil {
		return join.Answer{}, fmt.Errorf("device %s was admitted and is no member", device.Short())
	}
	a := join.Answer{Name: m.Name, Presence: on.replica.Presences()}
	n.book.With(func(s *roster.Set) { a.Records = append(a.Records, s.Genesis().Raw) })
	for r := range v.Wanted() {
		if r.Type != roster.TypeGenesis {
			a.Records = append(a.Records, r.Raw)
		}
	}
	if secret, ok := n.epochForReplica()(); ok {
		a.Epoch = secret[:]
	}
	return a, nil
}

// writeError gives a writer's error its code.
func writeError(err error) error {
	for _, c := range []struct {
		is   error
		code ipc.Code
	}{
		{roster.ErrNotPermitted, ipc.CodeNotAdmin},
		{roster.ErrUpgrade, ipc.CodeUpgrade},
		{roster.ErrTooMany, ipc.CodeLimit},
		{roster.ErrUnknown, ipc.CodeNotFound},
		{roster.ErrName, ipc.CodeNameInvalid},
		{roster.ErrPhrase, ipc.CodePhrase},
		{store.ErrFull, ipc.CodeDiskFull},
	} {
		if errors.Is(err, c.is) {
			return ipc.Errorf(c.code, "%w", err)
		}
	}
	return err
}
