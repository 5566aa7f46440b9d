package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// stranger is a friend that keeps no rules: it makes its own acceptances and passes.
type stranger struct {
	t    *testing.T
	l    *link.Share
	nas  *node
	link *wire.Wire // of the link's key
	door *wire.Wire
}

// asks sends one request and returns the verdict.
func (x *stranger) asks(w *wire.Wire, req visit.Request) visit.Answer {
	x.t.Helper()
	var a visit.Answer
	until(x.t, "nas answers", patience, func() bool {
		ctx, cancel := context.WithTimeout(x.t.Context(), 5*time.Second)
		defer cancel()
		s, err := w.Dial(ctx, x.l.Sponsor)
		if err != nil {
			return false
		}
		defer s.Close(0)
		a, err = visit.Ask(ctx, s, req)
		return err == nil && a.Code != ipc.CodeBusy
	})
	return a
}

// refused wants a verdict with a reason, and the owner to be shown the same.
func (x *stranger) refused(what string, a visit.Answer, want ipc.Code, label string, link bool) {
	x.t.Helper()
	if a.Code != want || a.Msg == "" {
		x.t.Errorf("%s: the answer is %q %q, want %q", what, a.Code, a.Msg, want)
	}
	s := read[ipc.ShareList](x.nas, "share", "list").Shares[0]
	if !slices.ContainsFunc(s.Refused, func(r ipc.Refusal) bool {
		return r.Code == want && r.Label == label && r.Link == link && r.Text == a.Msg && r.Device == "nas"
	}) {
		x.t.Errorf("%s: the owner sees %+v", what, s.Refused)
	}
}

// TestNetnsShareKnocks: who holds a link, or has accepted it, and shows what is not
// in order is refused with the reason, and the owner sees who and why.
func TestNetnsShareKnocks(t *testing.T) {
	b := newBed(t)
	nas, host := b.start("nas"), b.node("x")
	nas.create("home")
	l, err := link.ParseShare(nas.share("nas", "--port", "80/tcp", "--guests", "1"))
	must(t, err)
	issuer, door := key.New(), key.New()
	x := &stranger{t: t, l: l, nas: nas, link: host.knocker(l, l.Key)}

	accept := func(network [32]byte, sid [16]byte, by key.Private, label string) visit.Request {
		raw, err := guest.Accept(l.Key, network, sid, by.Public(), door.Public(), label)
		must(t, err)
		return visit.Request{Accept: raw}
	}
	opens := func(door key.Public) visit.Request {
		raw, err := guest.Accept(l.Key, l.Network, l.ID, issuer.Public(), door, "door")
		must(t, err)
		return visit.Request{Accept: raw}
	}
	other := l.Network
	other[0] ^= 1
	x.refused("no acceptance at all", x.asks(x.link, visit.Request{Accept: make([]byte, 40)}), ipc.CodePassInvalid, "", true)
	x.refused("an acceptance of another network", x.asks(x.link, accept(other, l.ID, issuer, "an")), ipc.CodeLinkForeign, "an", true)
	x.refused("an acceptance of another share", x.asks(x.link, accept(l.Network, guest.NewSID(), issuer, "as")), ipc.CodeLinkForeign, "as", true)
	x.refused("a pass before", x.asks(x.link, visit.Request{Pass: make([]byte, 300)}), ipc.CodePassInvalid, "", false)
	x.refused("a door that is a member's key", x.asks(x.link, opens(x.l.Sponsor)), ipc.CodePassInvalid, "door", true)
	x.refused("a door that is the link's key", x.asks(x.link, opens(x.l.Key.Public())), ipc.CodePassInvalid, "door", true)
	a := x.asks(x.link, accept(l.Network, l.ID, issuer, "friend"))
	view, err := guest.OpenView(a.Proof, l.Network, l.ID)
	must(t, err)
	x.refused("a second acceptance", x.asks(x.link, accept(l.Network, l.ID, key.New(), "second")), ipc.CodeLinkUsed, "second", true)

	x.door = host.knocker(l, door)
	now := time.Now()
	pass := func(label string) guest.Pass {
		return guest.Pass{
			Network: l.Network, SID: l.ID, Guest: key.New().Public(), WG: key.NewExchange().Public(), Control: key.NewExchange().Public(), Label: label,
			NotBefore: now.Unix(), NotAfter: now.Add(guest.PassDefault).Unix(), N: 5, Device: guest.Device{byte(now.Nanosecond()), 1},
		}
	}
	shows := func(p guest.Pass, by key.Private) visit.Answer {
		raw, err := p.Issue(by)
		must(t, err)
		return x.asks(x.door, visit.Request{Pass: raw})
	}
	for _, c := range []struct {
		name  string
		spoil func(*guest.Pass)
		by    key.Private
		want  ipc.Code
	}{
		{"network", func(p *guest.Pass) { p.Network = other }, issuer, ipc.CodeLinkForeign},
		{"share", func(p *guest.Pass) { p.SID = guest.NewSID() }, issuer, ipc.CodeLinkForeign},
		{"issuer", func(*guest.Pass) {}, key.New(), ipc.CodePassInvalid},
		{"long", func(p *guest.Pass) { p.NotAfter++ }, issuer, ipc.CodePassInvalid},
		{"over", func(p *guest.Pass) { p.NotBefore -= 3 * 86400; p.NotAfter -= 3 * 86400 }, issuer, ipc.CodePassExpired},
		{"early", func(p *guest.Pass) { p.NotBefore += 86400; p.NotAfter += 86400 }, issuer, ipc.CodeClock},
		{"member", func(p *guest.Pass) { p.Guest = view.Targets[0].Key }, issuer, ipc.CodePassInvalid},
		{"wg", func(p *guest.Pass) { p.WG = view.Targets[0].WG }, issuer, ipc.CodePassInvalid},
		{"control", func(p *guest.Pass) { p.Control = view.Targets[0].Control }, issuer, ipc.CodePassInvalid},
	} {
		p := pass(c.name)
		c.spoil(&p)
		x.refused(c.name, shows(p, c.by), c.want, c.name, false)
	}
	good := pass("phone")
	if a := shows(good, issuer); a.Code != "" {
		t.Errorf("a good pass: %q %q", a.Code, a.Msg)
	}
	older := good
	older.N--
	x.refused("an older one", shows(older, issuer), ipc.CodePassInvalid, "phone", false)
	second := pass("second-device")
	second.Device, second.N = good.Device, good.N-1
	x.refused("another device under the same number", shows(second, issuer), ipc.CodePassInvalid, "second-device", false)
	thief := pass("thief")
	thief.WG, thief.Device = good.WG, guest.Device{9}
	x.refused("another guest's key", shows(thief, issuer), ipc.CodePassInvalid, "thief", false)
	more := pass("more")
	more.Device = guest.Device{8}
	x.refused("one too many", shows(more, issuer), ipc.CodeLimit, "more", false)

	nas.kith("share", "revoke", "nas", "--guest", "phone", "--yes")
	x.refused("put out", shows(good, issuer), ipc.CodeGuestDenied, "phone", false)
	x.refused("put out, with new keys", shows(pass("again"), issuer), ipc.CodeGuestDenied, "again", false)
	nas.kith("share", "revoke", "nas", "--yes")
	x.refused("taken back", shows(more, issuer), ipc.CodeShareRevoked, "more", false)
	x.refused("accepting what was taken back", x.asks(x.link, accept(l.Network, l.ID, issuer, "friend")), ipc.CodeLinkRevoked, "friend", true)
	if s := read[ipc.ShareList](nas, "share", "list").Shares[0]; len(s.Refused) != 8 {
		t.Errorf("after all that %d are kept: %+v", len(s.Refused), s.Refused)
	}
}
