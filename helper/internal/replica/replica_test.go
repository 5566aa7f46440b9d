package replica

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory keeps nothing; the set does.
type memory struct{ fail error }

func (m *memory) Keep([]*roster.Record, time.Time) error { return m.fail }

// witness hears nothing but who is linked.
type witness struct {
	mu     sync.Mutex
	linked int
	said   []Presence
	notes  []string
	dealt  chan struct{} // what Note returns
}

func (e *witness) Presence(p Presence) { e.mu.Lock(); e.said = append(e.said, p); e.mu.Unlock() }
func (*witness) Epoch([32]byte)        {}
func (e *witness) Note(_ key.Public, note []byte) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notes = append(e.notes, string(note))
	if e.dealt == nil {
		return dealtWith
	}
	return e.dealt
}

var dealtWith = make(chan struct{})

func init()                                            { close(dealtWith) }
func (*witness) ClockOffset(key.Public, time.Duration) {}
func (e *witness) Linked(_ key.Public, up bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if up {
		e.linked++
	} else {
		e.linked--
	}
}

// deaf is a wire on which nobody can be reached.
type deaf struct{}

func (deaf) Dial(ctx context.Context, _ key.Public) (wire.Session, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (deaf) Seek(key.Public) {}

// fixture is a replica of a network whose owner it belongs to, with members.
type fixture struct {
	r       *Replica
	witness *witness
	keeper  *memory
	device  key.Private
	author  *roster.Author // on a set of its own, ahead of the replica's
	set     *roster.Set
	members []key.Private
}

func newFixture(t testing.TB, members int) *fixture {
	t.Helper()
	f := &fixture{witness: &witness{}, keeper: &memory{}, device: key.New()}
	var err error
	f.set, _, err = roster.Found(roster.Founding{
		Name: "home", Device: f.device, DeviceName: "a", Now: time.Now,
		WG: key.NewExchange().Public(), Control: key.NewExchange().Public(),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.author = roster.NewAuthor(f.set, f.device, time.Now)
	var ids []key.Public
	for range members {
		k := key.New()
		wg, control := key.NewExchange().Public(), key.NewExchange().Public()
		_, err := f.author.Admit(roster.Admission{
			Device: k.Public(), WG: wg, Control: control, N: 1, Name: "m", Pop: roster.SignPop(f.set.Network(), k, wg, control, 1),
		})
		if err != nil {
			t.Fatal(err)
		}
		f.members, ids = append(f.members, k), append(ids, k.Public())
	}
	f.r = New(Config{
		Network: f.set.Network(), Self: f.device, Book: NewBook(f.set.Clone(), f.keeper, func() {}), Wire: deaf{},
		Handler: f.witness, Epoch: func() (s [32]byte, ok bool) { return s, false }, Log: slog.New(slog.DiscardHandler),
	})
	f.r.SetMembers(ids, nil)
	return f
}

// pipe is a stream in memory; each direction ends by itself.
type pipe struct{ r, w net.Conn }

func pipes() (a, b pipe) {
	r1, w1 := net.Pipe()
	r2, w2 := net.Pipe()
	return pipe{r1, w2}, pipe{r2, w1}
}

func (p pipe) Read(b []byte) (int, error)  { return p.r.Read(b) }
func (p pipe) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p pipe) Close() error                { return p.w.Close() }
func (p pipe) CancelRead(uint64)           { p.r.Close() }
func (p pipe) CancelWrite(uint64)          { p.w.Close() }
func (p pipe) SetDeadline(t time.Time) error {
	return errors.Join(p.r.SetDeadline(t), p.w.SetDeadline(t))
}
func (p pipe) SetReadDeadline(t time.Time) error  { return p.r.SetReadDeadline(t) }
func (p pipe) SetWriteDeadline(t time.Time) error { return p.w.SetWriteDeadline(t) }

// session is one end of a control session that has one stream.
type session struct {
	peer key.Public
	st   pipe
	code chan uint64
	once sync.Once
}

func (s *session) Peer() key.Public                            { return s.peer }
func (s *session) Open(context.Context) (wire.Stream, error)   { return s.st, nil }
func (s *session) Accept(context.Context) (wire.Stream, error) { return s.st, nil }
func (s *session) Context() context.Context                    { return context.Background() }
func (s *session) Close(code uint64) error {
	s.once.Do(func() {
		s.code <- code
		s.st.r.Close()
		s.st.w.Close()
	})
	return nil
}

// join has a member open a session with the replica and gives the member's end.
func (f *fixture) join(i int) (theirs pipe, code chan uint64) {
	ours, theirs := pipes()
	s := &session{peer: f.members[i].Public(), st: ours, code: make(chan uint64, 1)}
	go f.r.Accept(s.peer, s)
	return theirs, s.code
}

// drain reads and throws away.
func drain(p pipe) {
	go func() {
		b := make([]byte, 4096)
		for {
			if _, err := p.Read(b); err != nil {
				return
			}
		}
	}()
}

func (f *fixture) say(t *testing.T, p pipe, m message) {
	t.Helper()
	if err := frame.Write(p, m); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func closed(code chan uint64) (uint64, bool) {
	select {
	case c := <-code:
		return c, true
	default:
		return 0, false
	}
}

// bogus is a record that nobody can accept: a stranger's invite.
func (f *fixture) bogus(t *testing.T) []byte {
	t.Helper()
	r, err := roster.Sign(key.New(), f.set.Network(), f.set.Genesis().ID, roster.Millis(time.Now())+9, &roster.Leave{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Raw
}

// TestBadNeighbour: who repeats what nobody can accept is dropped; once is
// forgiven, and what is malformed in the message itself is not.
func TestBadNeighbour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 2)
		defer f.r.Close()
		p, code := f.join(0)
		drain(p)
		f.say(t, p, message{Records: [][]byte{f.bogus(t)}})
		if c, ended := closed(code); ended {
			t.Fatalf("dropped at once with %d", c)
		}
		f.say(t, p, message{Records: [][]byte{{1, 2, 3}}})
		if c, ended := closed(code); !ended || c != codeBad {
			t.Errorf("repeated: ended %v with %d", ended, c)
		}
		p, code = f.join(1)
		drain(p)
		f.say(t, p, message{Buckets: make([][]byte, 255)})
		if c, ended := closed(code); !ended || c != codeBad {
			t.Errorf("255 buckets: ended %v with %d", ended, c)
		}
	})
}

// TestWithheld: a record whose references one neighbour withholds is completed
// by another.
func TestWithheld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 2)
		defer f.r.Close()
		var raws [][]byte
		for range 3 {
			r, err := f.author.Invite(roster.InviteRequest{Key: key.New().Public(), Expires: time.Now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			raws = append(raws, r.Raw)
		}
		has := func() int { return len(f.r.cfg.Book.View().Invites) }
		p, _ := f.join(0)
		drain(p)
		f.say(t, p, message{Records: raws[1:]})
		if has() != 0 {
			t.Fatalf("%d invites without what they refer to", has())
		}
		q, _ := f.join(1)
		drain(q)
		f.say(t, q, message{Records: raws[:1]})
		if has() != 3 {
			t.Errorf("%d invites, want 3", has())
		}
	})
}

// TestNotes: notes come in order, and a neighbour that sends many is not read until
// each is dealt with, nor faster than they are to be.
func TestNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		defer f.r.Close()
		heard := func() []string {
			synctest.Wait()
			f.witness.mu.Lock()
			defer f.witness.mu.Unlock()
			return slices.Clone(f.witness.notes)
		}
		f.witness.dealt = make(chan struct{})
		theirs, _ := f.join(0)
		drain(theirs)
		f.say(t, theirs, message{Notes: [][]byte{[]byte("1"), []byte("2")}})
		if diff := cmp.Diff([]string{"1"}, heard()); diff != "" {
			t.Errorf("before the first is dealt with: %s", diff)
		}
		sent := 0
		go func() {
			many := make([][]byte, maxNotes)
			for i := range many {
				many[i] = []byte("3")
			}
			for frame.Write(theirs, message{Notes: many}) == nil {
				sent += maxNotes
			}
		}()
		synctest.Wait()
		if sent > 0 {
			t.Errorf("%d more are read", sent)
		}
		close(f.witness.dealt)
		if got := heard(); !slices.Equal(got[:3], []string{"1", "2", "3"}) {
			t.Errorf("in this order: %q", got[:3])
		}
		at := len(heard())
		time.Sleep(time.Minute)
		if got := len(heard()) - at; at > linkBurst/noteCost+2*maxNotes || got > linkRate/noteCost*60+2*maxNotes {
			t.Errorf("%d at once, %d in a minute", at, got)
		}
	})
}

// TestSlowReader is disconnected, and costs the others nothing.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 2)
		defer f.r.Close()
		_, code := f.join(0)
		q, other := f.join(1)
		drain(q)
		synctest.Wait()
		for range queueLen + 10 {
			f.r.Push([][]byte{{1}}, key.Public{})
			synctest.Wait()
		}
		if c, ended := closed(code); !ended || c != codeSlow {
			t.Errorf("ended %v with %d", ended, c)
		}
		if c, ended := closed(other); ended {
			t.Errorf("the one that reads was dropped with %d", c)
		}
	})
}

// TestSessions: of two sessions with one member one stays; strangers have none.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		p, first := f.join(0)
		drain(p)
		synctest.Wait()
		q, second := f.join(0)
		drain(q)
		synctest.Wait()
		if c, ended := closed(first); !ended || c != codeDuplicate {
			t.Errorf("the older of two that the peer dialled: ended %v with %d", ended, c)
		}
		if _, ended := closed(second); ended || f.witness.linked != 1 || len(f.r.Linked()) != 1 {
			t.Errorf("the newer has ended: %v; linked %d", ended, f.witness.linked)
		}
		ours, _ := pipes()
		s := &session{peer: key.New().Public(), st: ours, code: make(chan uint64, 1)}
		f.r.Accept(s.peer, s)
		if c := <-s.code; c != codeStranger {
			t.Errorf("a stranger is closed with %d", c)
		}
		f.r.Close()
		if _, ended := closed(second); !ended || f.witness.linked != 0 {
			t.Errorf("closed, and the session has ended: %v; linked %d", ended, f.witness.linked)
		}
		ours, _ = pipes()
		s = &session{peer: f.members[0].Public(), st: ours, code: make(chan uint64, 1)}
		f.r.Accept(s.peer, s)
		if c := <-s.code; c != codeClosing {
			t.Errorf("after the end a session is closed with %d", c)
		}
	})
}

// TestUnstored: what could not be stored is not acted on, and is nobody's fault.
func TestUnstored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		defer f.r.Close()
		r, err := f.author.Invite(roster.InviteRequest{Key: key.New().Public(), Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		p, code := f.join(0)
		drain(p)
		full := errors.New("disk full")
		f.keeper.fail = full
		for range 3 {
			f.say(t, p, message{Records: [][]byte{r.Raw}})
		}
		if _, ended := closed(code); ended || len(f.r.cfg.Book.View().Invites) != 0 {
			t.Errorf("ended %v, %d invites", ended, len(f.r.cfg.Book.View().Invites))
		}
		if _, err := f.r.cfg.Book.Write(func(s *roster.Set) error {
			_, err := roster.NewAuthor(s, f.device, time.Now).SetEpoch([32]byte{1})
			return err
		}); !errors.Is(err, full) {
			t.Errorf("a record of our own: %v", err)
		}
		f.keeper.fail = nil
		f.say(t, p, message{Records: [][]byte{r.Raw}})
		if len(f.r.cfg.Book.View().Invites) != 1 {
			t.Error("there is space again, and the record is not taken")
		}
	})
}

// TestPresence: each check alone.
func TestPresence(t *testing.T) {
	network, other := roster.ID{1}, roster.ID{2}
	k := key.New()
	good := Presence{Device: k.Public(), Seq: 5, OS: "linux", Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:5")}}
	sign := func(n roster.ID, by key.Private, change func(*Presence)) []byte {
		p := good
		if change != nil {
			change(&p)
		}
		raw, err := signPresence(n, by, p)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	raw := sign(network, k, nil)
	if got, err := openPresence(network, raw); err != nil || got.Device != good.Device || got.Seq != 5 || len(got.Endpoints) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, bad := range map[string][]byte{
		"another network's": sign(other, k, nil),
		"another's":         sign(network, key.New(), nil),
		"cut":               raw[:len(raw)-1],
		"nothing":           nil,
		"too long":          append(bytes.Clone(raw), make([]byte, maxPresence)...),
		"many endpoints":    sign(network, k, func(p *Presence) { p.Endpoints = make([]netip.AddrPort, maxEndpoints+1) }),
		"many requests":     sign(network, k, func(p *Presence) { p.Asks = make([]Ask, maxAsks+1) }),
		"a long OS":         sign(network, k, func(p *Presence) { p.OS = string(make([]byte, 33)) }),
		"a negative number": sign(network, k, func(p *Presence) { p.Seq = -1 }),
		"a long name":       sign(network, k, func(p *Presence) { p.Asks = []Ask{{Name: string(make([]byte, 64))}} }),
		"many neighbours":   sign(network, k, func(p *Presence) { p.Neighbours = make([]Neighbour, MaxNeighbours+1) }),
		"a long relay":      sign(network, k, func(p *Presence) { p.Asks = []Ask{{Relay: make([]byte, maxRelay+1)}} }),
		"a long proof":      sign(network, k, func(p *Presence) { p.Asks = []Ask{{Pop: make([]byte, 65)}} }),
	} {
		if p, err := openPresence(network, bad); err == nil {
			t.Errorf("%s: taken as %+v", name, p)
		}
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := openPresence(network, bad); err == nil {
			t.Errorf("byte %d of %d changed, and it is taken", i, len(raw))
		}
	}
}

// TestAwait: a neighbour has acknowledged a record when it names our digest.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		defer f.r.Close()
		m := f.members[0].Public()
		await := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return f.r.Await(ctx, m)
		}
		if err := await(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a session: %v", err)
		}
		p, _ := f.join(0)
		drain(p)
		said := f.r.cfg.Book.View().Digest().Sum
		f.say(t, p, message{Hello: &hello{Digest: said[:]}})
		if err := await(time.Second); err != nil {
			t.Errorf("in step: %v", err)
		}
		_, err := f.r.cfg.Book.Write(func(set *roster.Set) error {
			_, err := roster.NewAuthor(set, f.device, time.Now).Rename(f.device.Public(), "b")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := await(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before it has the record: %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- await(time.Minute) }()
		time.Sleep(time.Second)
		now := f.r.cfg.Book.View().Digest().Sum
		f.say(t, p, message{Digest: now[:]})
		if err := <-done; err != nil {
			t.Errorf("once it has it: %v", err)
		}
	})
}

// TestAwaitAll: neighbours are in step once we have taken in what they hold.
func TestAwaitAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 2)
		defer f.r.Close()
		await := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			return f.r.AwaitAll(ctx)
		}
		if err := await(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a session: %v", err)
		}
		mine := f.r.cfg.Book.View().Digest().Sum
		p, _ := f.join(0)
		drain(p)
		f.say(t, p, message{Hello: &hello{Digest: mine[:]}})
		if err := await(time.Second); err != nil {
			t.Errorf("in step: %v", err)
		}
		var ahead *roster.Set
		f.r.cfg.Book.With(func(s *roster.Set) { ahead = s.Clone() })
		r, err := roster.NewAuthor(ahead, f.device, time.Now).Rename(f.device.Public(), "b")
		if err != nil {
			t.Fatal(err)
		}
		theirs := ahead.View().Digest().Sum
		q, _ := f.join(1)
		drain(q)
		f.say(t, q, message{Hello: &hello{Digest: theirs[:]}})
		f.say(t, p, message{Digest: theirs[:]})
		if err := await(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before it has the record: %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- await(time.Hour) }()
		f.say(t, q, message{Records: [][]byte{r.Raw}})
		if err := <-done; err != nil {
			t.Errorf("once it has it: %v", err)
		}
	})
}

// TestHearsMembers: the highest number counts; members' word alone is kept.
func TestHearsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		defer f.r.Close()
		say := func(by key.Private, seq int64, os string) {
			raw, err := signPresence(f.set.Network(), by, Presence{Device: by.Public(), Seq: seq, OS: os})
			if err != nil {
				t.Fatal(err)
			}
			f.r.Hear([][]byte{raw}, key.Public{})
		}
		now := time.Now().UnixMilli()
		m := f.members[0]
		say(m, now, "new")
		say(m, now-1, "old")
		say(m, now, "same")
		say(m, now+(24*time.Hour).Milliseconds(), "from the future")
		say(key.New(), now, "stranger")
		say(f.device, now+5, "ourselves")
		if len(f.witness.said) != 1 || f.witness.said[0].OS != "new" {
			t.Errorf("heard %+v", f.witness.said)
		}
	})
}

func FuzzPresence(f *testing.F) {
	network := roster.ID{1}
	k := key.New()
	raw, err := signPresence(network, k, Presence{Device: k.Public(), Seq: 5, OS: "linux", Asks: []Ask{{Kind: AskRename, Name: "x"}, {Kind: AskRelay, Relay: []byte{0xa0}}},
		Neighbours: []Neighbour{{ID: k.Public(), RTT: 7}}, NoForward: true, NAT: NATHard, Relays: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := openPresence(network, b)
		if err == nil && (len(p.Endpoints) > maxEndpoints || len(p.Asks) > maxAsks || len(p.Neighbours) > MaxNeighbours) {
			t.Errorf("beyond its bounds: %+v", p)
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, m := range []message{
		{Hello: &hello{Digest: make([]byte, 32), Clock: 1, Epoch: make([]byte, 32)}, Presence: [][]byte{{1}}},
		{Buckets: make([][]byte, 256)},
		{IDs: []bucketIDs{{Bucket: 3, IDs: make([]byte, 65)}}, Digest: make([]byte, 32)},
		{Records: [][]byte{{0xa0}}, Epoch: make([]byte, 32), Who: [][]byte{make([]byte, 32), {1}}},
		{Notes: [][]byte{{1}, make([]byte, 100)}},
	} {
		b, err := frame.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	fx := newFixture(f, 1)
	defer fx.r.Close()
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if frame.Unmarshal(b, &m) != nil {
			return
		}
		ours, _ := pipes()
		s := &session{peer: fx.members[0].Public(), st: ours, code: make(chan uint64, 1)}
		l := newLink(fx.r, s.peer, s, false)
		before := fx.r.cfg.Book.View().Digest().Sum
		l.handle(m)
		l.close(codeClosing)
		if fx.r.cfg.Book.View().Digest().Sum != before {
			t.Error("random bytes have changed the roster")
		}
	})
}
