package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/join"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
)

type keepNothing struct{}

func (keepNothing) Keep([]*roster.Record, time.Time) error { return nil }

// world is one network as its founder has it, without a host.
type world struct {
	t     *testing.T
	n     *network
	owner key.Private
	keys  store.Keys
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, owner: key.New(), keys: newKeys(1)}
	set, _, err := roster.Found(roster.Founding{
		Name: "home", Device: w.owner, DeviceName: "laptop", Now: time.Now,
		WG: w.keys.WireGuard.Public(), Control: w.keys.Control.Public(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.n = &network{id: set.Network(), device: w.owner, self: w.owner.Public(), set: store.Settings{Device: "laptop"}}
	w.n.book = replica.NewBook(set, keepNothing{}, func() {})
	return w
}

// write has a device write records.
func (w *world) write(by key.Private, fn func(*roster.Author) error) {
	w.t.Helper()
	_, err := w.n.book.Write(func(s *roster.Set) error { return fn(roster.NewAuthor(s, by, time.Now)) })
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) invite(by key.Private, q roster.InviteRequest) key.Public {
	w.t.Helper()
	q.Key = key.New().Public()
	w.write(by, func(a *roster.Author) error { _, err := a.Invite(q); return err })
	return q.Key
}

// admin admits a device and lets it administrate.
func (w *world) admin() key.Private {
	w.t.Helper()
	d, k := key.New(), newKeys(1)
	wg, control := k.WireGuard.Public(), k.Control.Public()
	w.write(w.owner, func(a *roster.Author) error {
		_, err := a.Admit(roster.Admission{
			Device: d.Public(), WG: wg, Control: control, N: 1, Name: "nas", Pop: roster.SignPop(w.n.id, d, wg, control, 1),
		})
		if err == nil {
			_, err = a.Grant(d.Public(), roster.AdminGrant())
		}
		return err
	})
	return d
}

func TestUsableInvites(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(w *world) key.Public
		code ipc.Code
	}{
		{"good", func(w *world) key.Public {
			return w.invite(w.owner, roster.InviteRequest{Sponsor: w.owner.Public(), Uses: 1, Expires: time.Now().Add(time.Hour)})
		}, ""},
		{"within the grace of clocks", func(w *world) key.Public {
			k := w.invite(w.owner, roster.InviteRequest{Sponsor: w.owner.Public(), Uses: 1, Expires: time.Now().Add(time.Minute)})
			<-time.After(9 * time.Minute)
			return k
		}, ""},
		{"expired", func(w *world) key.Public {
			k := w.invite(w.owner, roster.InviteRequest{Sponsor: w.owner.Public(), Uses: 1, Expires: time.Now().Add(time.Minute)})
			<-time.After(12 * time.Minute)
			return k
		}, ipc.CodeLinkExpired},
		{"of another network", func(*world) key.Public { return key.New().Public() }, ipc.CodeLinkForeign},
		{"of another sponsor", func(w *world) key.Public {
			d := w.admin()
			return w.invite(d, roster.InviteRequest{Sponsor: d.Public(), Uses: 1, Expires: time.Now().Add(time.Hour)})
		}, ipc.CodeLinkForeign},
		{"anybody's", func(w *world) key.Public {
			return w.invite(w.admin(), roster.InviteRequest{Expires: time.Now().Add(time.Hour)})
		}, ""},
		{"of an admin removed, from before", func(w *world) key.Public {
			d := w.admin()
			k := w.invite(d, roster.InviteRequest{Expires: time.Now().Add(time.Hour)})
			<-time.After(time.Minute)
			w.write(w.owner, func(a *roster.Author) error {
				_, err := a.Remove(d.Public(), roster.RemoveOptions{Since: time.Now().Add(-2 * time.Minute)})
				return err
			})
			return k
		}, ipc.CodeLinkForeign},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				k := tc.make(w)
				if _, err := w.n.usable(k); ipc.CodeOf(err) != tc.code {
					t.Errorf("code %q is not %q: %v", ipc.CodeOf(err), tc.code, err)
				}
			})
		})
	}
}

// A proof made for another network admits nobody, and counts no use.
func TestAdmitProofOfAnotherNetwork(t *testing.T) {
	w := newWorld(t)
	k := w.invite(w.owner, roster.InviteRequest{Sponsor: w.owner.Public(), Uses: 1, Expires: time.Now().Add(time.Hour)})
	d, keys := key.New(), newKeys(1)
	wg, control := keys.WireGuard.Public(), keys.Control.Public()
	pop := roster.SignPop(roster.ID{1}, d, wg, control, 1)
	_, err := w.n.admit(nil, k, join.Request{Device: d.Public(), WG: wg, Control: control, N: 1, Pop: pop[:], Name: "nas"}, [64]byte{})
	if ipc.CodeOf(err) != ipc.CodeLinkForeign || w.n.book.View().Member(d.Public()) != nil {
		t.Errorf("it was answered: %v", err)
	}
}
