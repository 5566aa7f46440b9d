package guest

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// board is an owner's network with a share, and the friend that has accepted it.
type board struct {
	t      *testing.T
	now    time.Time
	set    *roster.Set
	root   key.Private
	owner  key.Private
	nas    key.Private
	link   key.Private
	issuer key.Private
	door   key.Private
	sid    SID
	share  Share
	by     By
}

func newBoard(t *testing.T) *board {
	t.Helper()
	b := &board{
		t: t, now: time.Unix(1_800_000_000, 0), owner: key.New(), nas: key.New(), link: key.New(), issuer: key.New(), door: key.New(), sid: NewSID(),
	}
	var err error
	b.set, b.root, err = roster.Found(roster.Founding{
		Name: "home", Device: b.owner, DeviceName: "laptop", Now: func() time.Time { return b.now },
		WG: key.NewExchange().Public(), Control: key.NewExchange().Public(),
	})
	b.must(err)
	wg, control := key.NewExchange().Public(), key.NewExchange().Public()
	b.write(func(a *roster.Author) error {
		_, err := a.Admit(roster.Admission{
			Device: b.nas.Public(), WG: wg, Control: control, N: 1, Name: "nas",
			Pop: roster.SignPop(b.set.Network(), b.nas, wg, control, 1),
		})
		return err
	})
	b.share = Share{
		Key: b.link.Public(), Name: "nas", Sponsor: b.owner.Public(), Devices: []key.Public{b.nas.Public()},
		Ports: Ports{{Proto: TCP, First: 80, Last: 80}}, AcceptBy: b.now.Add(24 * time.Hour).UnixMilli(),
		PassMax: PassDefault.Milliseconds(), MaxGuests: 2,
	}
	b.setShare()
	raw, err := Accept(b.link, b.set.Network(), b.sid, b.issuer.Public(), b.door.Public(), "anna")
	b.must(err)
	a, err := DecodeAcceptance(raw)
	b.must(err)
	b.by = By{Acceptance: *a, At: b.now.UnixMilli()}
	b.setBy()
	return b
}

func (b *board) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *board) write(fn func(*roster.Author) error) {
	b.t.Helper()
	b.must(fn(roster.NewAuthor(b.set, b.owner, func() time.Time { return b.now })))
}

func (b *board) put(k string, v []byte, err error) {
	b.t.Helper()
	b.must(err)
	b.write(func(a *roster.Author) error { _, err := a.Set(k, v); return err })
}

func (b *board) setShare() { v, err := b.share.Encode(); b.put(b.sid.Key(), v, err) }
func (b *board) setBy()    { v, err := b.by.Encode(); b.put(b.sid.KeyBy(), v, err) }
func (b *board) deny(d Deny) {
	v, err := d.Encode()
	b.put(b.sid.KeyDeny(), v, err)
}

// device is a guest's keys.
type device struct {
	key  key.Private
	pass Pass
}

func (b *board) device() *device {
	k := key.New()
	return &device{k, Pass{
		Network: b.set.Network(), SID: b.sid, Guest: k.Public(), WG: key.NewExchange().Public(), Control: key.NewExchange().Public(),
		Label: "phone", NotBefore: b.now.Unix(), NotAfter: b.now.Add(PassDefault).Unix(), N: 5,
		Device: DeviceOf(b.issuer, k.Public()),
	}}
}

// TestEachCheckOfAPassFailsAlone begins with a pass that is good and spoils one
// thing.
func TestEachCheckOfAPassFailsAlone(t *testing.T) {
	const good ipc.Code = ""
	type world struct {
		*board
		d      *device
		by     key.Private // who signs
		stream key.Public
		raw    []byte // instead of the pass
		at     time.Time
		guests []Known
		issue  func() []byte
	}
	known := func(w *world, d *device) Known {
		return Known{Guest: d.pass.Guest, SID: w.sid, WG: d.pass.WG, Control: d.pass.Control, Device: d.pass.Device, N: d.pass.N, Ends: d.pass.Ends()}
	}
	tests := []struct {
		name  string
		spoil func(w *world)
		want  ipc.Code
	}{
		{"nothing", func(*world) {}, good},
		{"the share was taken back", func(w *world) { w.deny(Deny{All: true}) }, ipc.CodeShareRevoked},
		{"the share was cleared", func(w *world) { w.put(w.sid.Key(), nil, nil) }, ipc.CodeShareRevoked},
		{"no such share", func(w *world) { w.d.pass.SID = NewSID() }, ipc.CodeLinkForeign},
		{"the share has ended", func(w *world) { w.share.Expires = w.now.Add(-Grace - time.Second).UnixMilli(); w.setShare() }, ipc.CodeShareExpired},
		{"the share ended within the clocks' grace", func(w *world) { w.share.Expires = w.now.Add(-Grace).UnixMilli(); w.setShare() }, good},
		{"its author was cut", func(w *world) {
			_, err := roster.NewAuthor(w.set, w.root, func() time.Time { return w.now }).Remove(w.owner.Public(), roster.RemoveOptions{Since: w.now.Add(-time.Hour)})
			w.must(err)
		}, ipc.CodeLinkForeign},
		{"not accepted", func(w *world) { w.put(w.sid.KeyBy(), nil, nil) }, ipc.CodeBusy},
		{"accepted by another issuer", func(w *world) { w.by = key.New() }, ipc.CodePassInvalid},
		{"the acceptance is not the link's", func(w *world) { w.board.by.Sig[0] ^= 1; w.setBy() }, ipc.CodePassInvalid},
		{"not approved", func(w *world) { w.share.Confirm = true; w.setShare() }, ipc.CodePassInvalid},
		{"approved", func(w *world) { w.share.Confirm = true; w.setShare(); w.board.by.Approved = true; w.setBy() }, good},
		{"another network", func(w *world) { w.d.pass.Network[0] ^= 1 }, ipc.CodeLinkForeign},
		{"another device shows it", func(w *world) { w.stream = key.New().Public() }, ipc.CodePassInvalid},
		{"longer than the share allows", func(w *world) { w.d.pass.NotAfter++ }, ipc.CodePassInvalid},
		{"over, within the clocks' grace", func(w *world) { w.at = w.d.pass.Ends().Add(Grace) }, good},
		{"over", func(w *world) { w.at = w.d.pass.Ends().Add(Grace + time.Second) }, ipc.CodePassExpired},
		{"not begun, within the clocks' grace", func(w *world) { w.at = w.d.pass.Begins().Add(-Grace) }, good},
		{"not begun", func(w *world) { w.at = w.d.pass.Begins().Add(-Grace - time.Second) }, ipc.CodeClock},
		{"an older one than seen", func(w *world) { k := known(w, w.d); k.N++; w.guests = []Known{k} }, ipc.CodePassInvalid},
		{"the same again", func(w *world) { w.guests = []Known{known(w, w.d)} }, good},
		{"cancelled", func(w *world) { k := known(w, w.d); k.Cancelled = k.N; w.guests = []Known{k} }, ipc.CodeGuestDenied},
		{"denied", func(w *world) { w.deny(Deny{Guests: []key.Public{w.d.pass.Guest}}) }, ipc.CodeGuestDenied},
		{"denied under other keys", func(w *world) {
			w.deny(Deny{Guests: []key.Public{key.New().Public()}, Devices: []Device{w.d.pass.Device}})
		}, ipc.CodeGuestDenied},
		{"of no device", func(w *world) {
			p := w.d.pass
			p.Version, p.Device = 1, Device{}
			w.raw, _ = sign(w.issuer, tagPass, &p)
		}, ipc.CodePassInvalid},
		{"the same device under other keys does not count twice", func(w *world) {
			o, p := known(w, w.device()), known(w, w.device())
			p.Device, p.N = w.d.pass.Device, w.d.pass.N-1
			w.guests = []Known{o, p}
		}, good},
		{"a later pass of the same device, under other keys", func(w *world) {
			o := known(w, w.device())
			o.Device, o.N = w.d.pass.Device, w.d.pass.N+1
			w.guests = []Known{o}
		}, ipc.CodePassInvalid},
		{"a later pass of another share's device of that number", func(w *world) {
			o := known(w, w.device())
			o.SID, o.Device, o.N = NewSID(), w.d.pass.Device, w.d.pass.N+1
			w.guests = []Known{o}
		}, good},
		{"another guest was denied", func(w *world) { w.deny(Deny{Guests: []key.Public{key.New().Public()}}) }, good},
		{"a member's device key", func(w *world) { w.d.pass.Guest = w.nas.Public(); w.stream = w.nas.Public() }, ipc.CodePassInvalid},
		{"a member's WireGuard key", func(w *world) { w.d.pass.WG = w.set.View().Member(w.nas.Public()).WG }, ipc.CodePassInvalid},
		{"a member's control key", func(w *world) { w.d.pass.Control = w.set.View().Member(w.nas.Public()).Control }, ipc.CodePassInvalid},
		{"a removed device's key", func(w *world) {
			w.write(func(a *roster.Author) error { _, err := a.Remove(w.nas.Public(), roster.RemoveOptions{}); return err })
			w.d.pass.Guest, w.stream = w.nas.Public(), w.nas.Public()
		}, ipc.CodePassInvalid},
		{"another guest's WireGuard key", func(w *world) { o := w.device(); o.pass.WG = w.d.pass.WG; w.guests = []Known{known(w, o)} }, ipc.CodePassInvalid},
		{"another guest's control key", func(w *world) {
			o := w.device()
			o.pass.Control = w.d.pass.Control
			w.guests = []Known{known(w, o)}
		}, ipc.CodePassInvalid},
		{"one guest beside it", func(w *world) { w.guests = []Known{known(w, w.device())} }, good},
		{"too many guests", func(w *world) { w.guests = []Known{known(w, w.device()), known(w, w.device())} }, ipc.CodeLimit},
		{"too many, and it came first", func(w *world) {
			w.guests = []Known{known(w, w.device()), known(w, w.device()), known(w, w.d)}
			w.guests[0].First, w.guests[1].First, w.guests[2].First = 3, 1, 2
		}, good},
		{"too many, and it came last", func(w *world) {
			w.guests = []Known{known(w, w.device()), known(w, w.device()), known(w, w.d)}
			w.guests[0].First, w.guests[1].First, w.guests[2].First = 2, 1, 3
		}, ipc.CodeLimit},
		{"too many, and it came first under other keys", func(w *world) {
			o := w.device()
			o.pass.Device, o.pass.N = w.d.pass.Device, w.d.pass.N-1
			w.guests = []Known{known(w, w.device()), known(w, w.device()), known(w, o)}
			w.guests[0].First, w.guests[1].First, w.guests[2].First = 3, 2, 1
		}, good},
		{"cancelled, shown under other keys", func(w *world) {
			o := w.device()
			o.pass.Device, o.pass.N = w.d.pass.Device, w.d.pass.N-1
			k := known(w, o)
			k.Cancelled = w.d.pass.N
			w.guests = []Known{k}
		}, ipc.CodeGuestDenied},
		{"cancelled, never shown", func(w *world) {
			w.guests = []Known{{SID: w.sid, Device: w.d.pass.Device, Cancelled: w.d.pass.N + 9}}
		}, ipc.CodeGuestDenied},
		{"an older one was cancelled", func(w *world) {
			w.guests = []Known{{SID: w.sid, Device: w.d.pass.Device, Cancelled: w.d.pass.N - 1}}
		}, good},
		{"another device's was cancelled", func(w *world) {
			w.guests = []Known{{SID: w.sid, Device: Device{1}, Cancelled: w.d.pass.N}}
		}, good},
		{"that of another share was cancelled", func(w *world) {
			w.guests = []Known{{SID: NewSID(), Device: w.d.pass.Device, Cancelled: w.d.pass.N}}
		}, good},
		{"guests whose passes are over do not count", func(w *world) {
			o, p := known(w, w.device()), known(w, w.device())
			o.Ends = w.now.Add(-Grace - time.Second)
			p.Cancelled = p.N
			w.guests = []Known{o, p}
		}, good},
		{"a bit altered", func(w *world) { w.raw = w.issue(); w.raw[30] ^= 1 }, ipc.CodeLinkForeign},
		{"the signature altered", func(w *world) { w.raw = w.issue(); w.raw[len(w.raw)-1] ^= 1 }, ipc.CodePassInvalid},
		{"cut short", func(w *world) { w.raw = w.issue()[:100] }, ipc.CodePassInvalid},
		{"more behind it", func(w *world) { w.raw = append(w.issue(), 0) }, ipc.CodePassInvalid},
		{"of a later version", func(w *world) { p := w.d.pass; p.Version = 2; w.raw, _ = sign(w.issuer, tagPass, &p) }, ipc.CodePassInvalid},
		{"signed for something else", func(w *world) { p := w.d.pass; p.Version = 1; w.raw, _ = sign(w.issuer, tagCancel, &p) }, ipc.CodePassInvalid},
		{"a label that is none", func(w *world) {
			p := w.d.pass
			p.Version, p.Label = 1, "a b"
			w.raw, _ = sign(w.issuer, tagPass, &p)
		}, ipc.CodePassInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBoard(t)
			w := &world{board: b, d: b.device(), by: b.issuer, at: b.now}
			w.stream = w.d.pass.Guest
			w.issue = func() []byte { raw, err := w.d.pass.Issue(w.by); w.must(err); return raw }
			tt.spoil(w)
			raw := w.raw
			if raw == nil {
				raw = w.issue()
			}
			_, _, err := Judge{View: w.set.View(), Now: w.at, Guests: w.guests}.Pass(raw, w.stream)
			var coded *ipc.Error
			if err != nil && !errors.As(err, &coded) {
				t.Fatalf("an error without a code: %v", err)
			}
			if got := ipc.CodeOf(err); got != tt.want {
				t.Errorf("%q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestAcceptOnce(t *testing.T) {
	b := newBoard(t)
	other := key.New().Public()
	tests := []struct {
		name   string
		spoil  func(b *board)
		issuer key.Public
		want   ipc.Code
	}{
		{"again by the same", func(*board) {}, b.issuer.Public(), ""},
		{"by another", func(*board) {}, other, ipc.CodeLinkUsed},
		{"revoked", func(b *board) { b.deny(Deny{All: true}) }, b.issuer.Public(), ipc.CodeLinkRevoked},
	}
	for _, tt := range tests {
		tt.spoil(b)
		err := Read(b.set.View(), b.sid).MayAccept(tt.issuer, b.now)
		if got := ipc.CodeOf(err); got != tt.want {
			t.Errorf("%s: %q (%v), want %q", tt.name, got, err, tt.want)
		}
	}
	b.sid = NewSID()
	b.setShare()
	s := Read(b.set.View(), b.sid)
	if err := s.MayAccept(other, b.now); err != nil {
		t.Errorf("the first: %v", err)
	}
	if got := ipc.CodeOf(s.MayAccept(other, b.now.Add(25*time.Hour))); got != ipc.CodeLinkExpired {
		t.Errorf("too late: %q", got)
	}
}

// TestAcceptance: an acceptance holds for one link, network, share, issuer, door
// and label alone.
func TestAcceptance(t *testing.T) {
	link, network, sid := key.New(), roster.ID{1}, NewSID()
	issuer, door := key.New().Public(), key.New().Public()
	raw, err := Accept(link, network, sid, issuer, door, "annas")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(a *Acceptance, l *key.Public, n *roster.ID, s *SID){
		"another link":    func(_ *Acceptance, l *key.Public, _ *roster.ID, _ *SID) { *l = key.New().Public() },
		"another network": func(_ *Acceptance, _ *key.Public, n *roster.ID, _ *SID) { n[31] ^= 1 },
		"another share":   func(_ *Acceptance, _ *key.Public, _ *roster.ID, s *SID) { *s = NewSID() },
		"another issuer":  func(a *Acceptance, _ *key.Public, _ *roster.ID, _ *SID) { a.Issuer = key.New().Public() },
		"another door":    func(a *Acceptance, _ *key.Public, _ *roster.ID, _ *SID) { a.Door = key.New().Public() },
		"another label":   func(a *Acceptance, _ *key.Public, _ *roster.ID, _ *SID) { a.Label = "anna" },
	}
	check := func(spoil func(*Acceptance, *key.Public, *roster.ID, *SID)) bool {
		a, err := DecodeAcceptance(raw)
		if err != nil {
			t.Fatal(err)
		}
		l, n, s := link.Public(), network, sid
		spoil(a, &l, &n, &s)
		return a.Verify(l, n, s)
	}
	if !check(func(*Acceptance, *key.Public, *roster.ID, *SID) {}) {
		t.Error("it does not hold")
	}
	for name, spoil := range tests {
		if check(spoil) {
			t.Errorf("it holds for %s", name)
		}
	}
}

func TestView(t *testing.T) {
	b := newBoard(t)
	v := b.set.View()
	s := Read(v, b.sid)
	yes := func(*roster.Member) bool { return true }
	raw, err := Prove(b.owner, v, s, Seen{Exits: yes, IPv4: yes}, b.now)
	b.must(err)
	w, err := OpenView(raw, v.Network, b.sid)
	b.must(err)
	nas := v.Member(b.nas.Public())
	want := []Target{{Key: nas.Key, WG: nas.WG, Control: nas.Control, Name: "nas", IP: nas.IPv6, IP4: nas.IPv4}} // shared, but not as an exit node
	if d := cmp.Diff(want, w.Targets, cmp.Comparer(func(a, b Address) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if !w.Fresh(b.now) || !w.Fresh(b.now.Add(ViewMost)) || w.Fresh(b.now.Add(ViewMost+Grace+2*time.Second)) || w.Stale(b.now) {
		t.Error("its times are wrong")
	}
	if _, err := OpenView(raw, roster.ID{1}, b.sid); err == nil {
		t.Error("another network is believed")
	}
	if _, err := OpenView(raw, v.Network, NewSID()); err == nil {
		t.Error("another share is believed")
	}
	if _, err := Prove(b.nas, v, s, Seen{}, b.now); err == nil {
		t.Error("a plain device proves a share")
	}
	var p proof
	b.must(unmarshal(raw, &p))
	payload, _, err := split(p.View, proofMost)
	b.must(err)
	// The plain device signs the same view, with the owner's grants.
	forged := *w
	forged.Signer = b.nas.Public()
	p.View, err = sign(b.nas, tagView, &forged)
	b.must(err)
	bad, err := enc.Marshal(&p)
	b.must(err)
	if _, err := OpenView(bad, v.Network, b.sid); err == nil {
		t.Error("a plain device's view is believed")
	}
	// An address that is not the device's own, or none of the network's.
	for name, move := range map[string]func(*Target){
		"another device's address":           func(t *Target) { t.IP = t.IP.Next() },
		"an IPv4 address of another network": func(t *Target) { t.IP4 = netip.MustParseAddr("192.168.7.1") },
	} {
		var moved View
		b.must(unmarshal(payload, &moved))
		move(&moved.Targets[0])
		p.View, err = sign(b.owner, tagView, &moved)
		b.must(err)
		bad, err = enc.Marshal(&p)
		b.must(err)
		if _, err := OpenView(bad, v.Network, b.sid); err == nil {
			t.Error(name + " is believed")
		}
	}
}

func TestCancel(t *testing.T) {
	b := newBoard(t)
	d := b.device()
	c := Cancel{Network: b.set.Network(), SID: b.sid, Device: d.pass.Device, N: d.pass.N}
	raw, err := c.Issue(b.issuer)
	b.must(err)
	issuer := func(s SID) (key.Public, bool) { return b.issuer.Public(), s == b.sid }
	if got, err := OpenCancel(raw, issuer); err != nil || *got != c {
		t.Errorf("%+v, %v", got, err)
	}
	forged, err := c.Issue(key.New())
	b.must(err)
	if _, err := OpenCancel(forged, issuer); err == nil {
		t.Error("another's cancel is believed")
	}
	for _, c := range []Cancel{{Network: c.Network, SID: c.SID, N: 1}, {Network: c.Network, SID: c.SID, Device: c.Device, N: roster.MaxClock + 1}} {
		raw, err := c.Issue(b.issuer)
		b.must(err)
		if _, err := OpenCancel(raw, issuer); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAsk(t *testing.T) {
	g := key.New()
	a := Ask{Network: roster.ID{1}, SID: NewSID(), Guest: g.Public(), WG: key.NewExchange().Public(), Control: key.NewExchange().Public()}
	raw, err := a.Sign(g)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenAsk(raw); err != nil || *got != a {
		t.Errorf("%+v, %v", got, err)
	}
	forged, _ := a.Sign(key.New())
	if _, err := OpenAsk(forged); err == nil {
		t.Error("a wish for another's keys is believed")
	}
}

func TestPorts(t *testing.T) {
	tests := []struct {
		in   []string
		want []string // nil: refused
	}{
		{[]string{"all"}, []string{"all"}},
		{[]string{"445/tcp", "80/tcp"}, []string{"80/tcp", "445/tcp"}},
		{[]string{"53"}, []string{"53/tcp", "53/udp"}},
		{[]string{"60000-61000/udp"}, []string{"60000-61000/udp"}},
		{[]string{"80/TCP", "80/tcp"}, []string{"80/tcp"}},
		{nil, nil},
		{[]string{"all", "80/tcp"}, nil},
		{[]string{"0/tcp"}, nil},
		{[]string{"65536/tcp"}, nil},
		{[]string{"90-80/tcp"}, nil},
		{[]string{"80/sctp"}, nil},
		{[]string{"http"}, nil},
		{[]string{"80/"}, nil},
		{[]string{"-80/tcp"}, nil},
	}
	for _, tt := range tests {
		p, err := ParsePorts(tt.in)
		if err != nil {
			if tt.want != nil {
				t.Errorf("%q: %v", tt.in, err)
			}
			continue
		}
		if d := cmp.Diff(tt.want, p.Strings()); d != "" {
			t.Errorf("%q: %s", tt.in, d)
		}
		if q, err := UnpackPorts(p.Pack()); err != nil || !cmp.Equal(p.Strings(), q.Strings()) {
			t.Errorf("%q: packed and unpacked: %v, %v", tt.in, q, err)
		}
	}
}

func TestWordsStandForWhoHasAccepted(t *testing.T) {
	a, b := Words(roster.ID{1}, SID{1}, key.Public{1}, key.Public{2}), Words(roster.ID{1}, SID{1}, key.Public{3}, key.Public{2})
	if len(a) != 4 || cmp.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
}

// TestOneDeviceOnePass: of passes that name one device under many keys just one
// counts, in whatever order they came, also where their numbers are equal.
func TestOneDeviceOnePass(t *testing.T) {
	b := newBoard(t)
	for _, step := range []uint64{0, 1} {
		var guests []Known
		var raws [][]byte
		for i := range uint64(8) {
			d := b.device()
			d.pass.Device, d.pass.N = Device{7}, 5+i*step
			raw, err := d.pass.Issue(b.issuer)
			b.must(err)
			raws = append(raws, raw)
			p := d.pass
			guests = append(guests, Known{Guest: p.Guest, SID: p.SID, WG: p.WG, Control: p.Control, Device: p.Device, N: p.N, Ends: p.Ends(), First: int64(i)})
		}
		come := 0
		for _, raw := range raws {
			_, _, err := Judge{View: b.set.View(), Now: b.now, Guests: guests}.Pass(raw, key.Public{})
			if err == nil {
				come++
			} else if ipc.CodeOf(err) != ipc.CodePassInvalid {
				t.Errorf("numbers %d apart: %v", step, err)
			}
		}
		if come != 1 {
			t.Errorf("with numbers %d apart %d of 8 keys of one device may come", step, come)
		}
	}
}
