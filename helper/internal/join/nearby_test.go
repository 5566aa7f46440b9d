package join

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// near is an opening with its two ends.
type near struct {
	o      Opening
	host   Host
	asked  chan Asker // what the admin is shown
	word   chan error // the admin's
	begun  int
	answer Answer
}

func newNear() *near {
	n := &near{asked: make(chan Asker, 1), word: make(chan error, 1), answer: Answer{Name: "b", Records: [][]byte{{1}}, Epoch: make([]byte, 32)}}
	n.o = Opening{Network: [32]byte{9}, Key: key.New().Public(), Admin: key.New().Public(), Control: key.NewExchange().Public()}
	n.host = Host{
		Opening: n.o, WG: key.NewExchange().Public(),
		Begin: func() error { n.begun++; return nil },
		Decide: func(ctx context.Context, a Asker) (Answer, error) {
			n.asked <- a
			select {
			case err := <-n.word:
				return n.answer, err
			case <-ctx.Done():
				return Answer{}, ctx.Err()
			}
		},
	}
	return n
}

// serve runs the admin's side.
func (n *near) serve(t *testing.T, s wire.Session) <-chan error {
	done := make(chan error, 1)
	go func() { done <- ServeNearby(t.Context(), s, n.host) }()
	return done
}

type asked struct {
	a   Answer
	err error
}

// ask runs the joiner's side; its digits come on the first channel.
func (n *near) ask(ctx context.Context, s wire.Session) (<-chan string, <-chan asked) {
	digits, done := make(chan string, 1), make(chan asked, 1)
	go func() {
		a, err := AskNearby(ctx, s, n.o, request(), "linux", func(d string) { digits <- d })
		s.(session).st.w.Close()
		s.(session).st.r.Close()
		done <- asked{a, err}
	}()
	return digits, done
}

func TestNearby(t *testing.T) {
	n := newNear()
	j, s := sessions(n.o.Key)
	served := n.serve(t, s)
	digits, done := n.ask(t.Context(), j)
	a, d := <-n.asked, <-digits
	if a.Digits != d || len(d) != 6 || a.OS != "linux" || a.Name != "b" {
		t.Errorf("the joiner shows %q, the admin %+v", d, a)
	}
	n.word <- nil
	if got := <-done; got.err != nil || got.a.Name != "b" || len(got.a.Records) != 1 {
		t.Errorf("asked: %+v", got)
	}
	if err := <-served; err != nil {
		t.Errorf("served: %v", err)
	}
	// Another time, other digits.
	j, s = sessions(n.o.Key)
	served = n.serve(t, s)
	digits, done = n.ask(t.Context(), j)
	if again := <-digits; again == d {
		t.Errorf("the same digits twice: %s", d)
	}
	<-n.asked
	n.word <- ipc.Errorf(ipc.CodeRefused, "no")
	if got := <-done; ipc.CodeOf(got.err) != ipc.CodeRefused {
		t.Errorf("refused, and the joiner hears %v", got.err)
	}
	if err := <-served; ipc.CodeOf(err) != ipc.CodeRefused {
		t.Errorf("refused: %v", err)
	}
}

// TestNearbyEnds: each side that goes away ends the other's wait.
func TestNearbyEnds(t *testing.T) {
	n := newNear()
	j, s := sessions(n.o.Key)
	served := n.serve(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	digits, done := n.ask(ctx, j)
	<-n.asked
	<-digits
	cancel()
	j.st.r.Close() // what the deadline does to a stream
	if got := <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("the joiner gave up: %v", got.err)
	}
	if err := <-served; err == nil {
		t.Error("the joiner went away, and the admin's side is content")
	}

	j, s = sessions(n.o.Key)
	served = n.serve(t, s)
	digits, done = n.ask(t.Context(), j)
	<-n.asked
	<-digits
	s.st.r.Close()
	s.st.w.Close()
	if got := <-done; ipc.CodeOf(got.err) != ipc.CodeNotConnected {
		t.Errorf("the admin's device went away after the digits: %v", got.err)
	}
	<-served

	// Before the digits it may be tried again.
	n.host.Begin = func() error { return ipc.Errorf(ipc.CodeBusy, "others ask") }
	j, s = sessions(n.o.Key)
	served = n.serve(t, s)
	_, done = n.ask(t.Context(), j)
	if got := <-done; !errors.Is(got.err, ErrNotNow) {
		t.Errorf("busy: %v", got.err)
	}
	<-served
}

// TestNearbyInTheMiddle: an attacker in between, who announces the network with
// keys of its own and asks the admin as a device of its own, leaves the two
// people with different digits, in whichever order it goes about it.
func TestNearbyInTheMiddle(t *testing.T) {
	for _, joinerFirst := range []bool{true, false} {
		real, forged := newNear(), newNear()
		forged.o.Network, forged.host.Opening.Network = real.o.Network, real.o.Network
		victim, mid1 := sessions(forged.o.Key)
		mid2, admin := sessions(real.o.Key)
		var digits <-chan string
		var done, mine <-chan asked
		var there, here string
		toVictim := func() {
			forged.serve(t, mid1)
			digits, done = forged.ask(t.Context(), victim)
			<-forged.asked
			there = <-digits
		}
		toAdmin := func() {
			real.serve(t, admin)
			_, mine = real.ask(t.Context(), mid2)
			here = (<-real.asked).Digits
		}
		if joinerFirst {
			toVictim()
			toAdmin()
		} else {
			toAdmin()
			toVictim()
		}
		if here == there {
			t.Errorf("joiner first %v: both show %s", joinerFirst, here)
		}
		real.word <- ipc.Errorf(ipc.CodeRefused, "the digits differ")
		forged.word <- ipc.Errorf(ipc.CodeRefused, "")
		<-done
		if got := <-mine; ipc.CodeOf(got.err) != ipc.CodeRefused {
			t.Errorf("the attacker got %v", got.err)
		}
	}
}

// TestNearbyPassedOn: an attacker who passes on what both say, but claims to be
// the admin with keys of its own, is found out by the joiner's device.
func TestNearbyPassedOn(t *testing.T) {
	n := newNear()
	n.host.Opening.Control = key.NewExchange().Public() // not what was announced
	j, s := sessions(n.o.Key)
	served := n.serve(t, s)
	_, done := n.ask(t.Context(), j)
	if got := <-done; ipc.CodeOf(got.err) != ipc.CodeLinkForeign {
		t.Errorf("another's offer: %v", got.err)
	}
	if err := <-served; err == nil || n.begun != 1 {
		t.Errorf("%v after %d tries", err, n.begun)
	}
}

// TestNearbyCommitment: a joiner that reveals something other than it has
// committed to shows no digits to anybody, and has used up a try.
func TestNearbyCommitment(t *testing.T) {
	n := newNear()
	j, s := sessions(n.o.Key)
	served := n.serve(t, s)
	first, err := frame.Marshal(opened{Nonce: nonce(), Request: request()})
	if err != nil {
		t.Fatal(err)
	}
	second, _ := frame.Marshal(opened{Nonce: nonce(), Request: request()})
	var r reply
	for _, step := range []func() error{
		func() error { return frame.Write(j.st, commitment{commitTo(first)}) },
		func() error { return frame.Read(j.st, requestMax, &r) },
		func() error { return frame.Write(j.st, reveal{second}) },
		func() error { return frame.Read(j.st, requestMax, &r) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	j.st.w.Close()
	if err := <-served; ipc.CodeOf(err) != ipc.CodeDigitsDiffer || r.Code != ipc.CodeDigitsDiffer || n.begun != 1 || len(n.asked) != 0 {
		t.Errorf("%v, told %+v, %d tries, %d shown", err, r, n.begun, len(n.asked))
	}
}

// TestDigitsBindAll: each part of the transcript changes the digits.
func TestDigitsBindAll(t *testing.T) {
	base := transcript{Network: make([]byte, 32), Commit: []byte{1}, Offer: []byte{2}, Opened: []byte{3}}
	seen := map[string]bool{}
	for _, change := range []func(*transcript){
		func(*transcript) {},
		func(x *transcript) { x.Network = append(make([]byte, 31), 1) },
		func(x *transcript) { x.Opening = key.Public{1} },
		func(x *transcript) { x.Commit = []byte{9} },
		func(x *transcript) { x.Offer = []byte{2, 3}; x.Opened = nil },
		func(x *transcript) { x.Opened = []byte{4} },
	} {
		x := base
		change(&x)
		d, err := x.digits()
		if err != nil || seen[d] {
			t.Errorf("%+v: %s, %v", x, d, err)
		}
		seen[d] = true
	}
}

func aNotice() Notice {
	return Notice{
		Key: key.Private{1}, Network: [32]byte{2}, Device: key.Public{3}, Control: key.Exchange{4},
		Name: "home", By: "laptop", Port: 20777, Left: 9 * time.Minute,
	}
}

func TestNotice(t *testing.T) {
	n := aNotice()
	n.Name, n.By = string(bytes.Repeat([]byte("n"), 63)), string(bytes.Repeat([]byte("b"), 63))
	b, err := n.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 400 {
		t.Errorf("the longest notice has %d bytes: discovery takes no more than 400", len(b))
	}
	got, err := ParseNotice(b)
	if err != nil || !cmp.Equal(*got, n) {
		t.Errorf("%+v became %+v, %v", n, got, err)
	}
	for name, change := range map[string]func(*Notice){
		"control characters": func(n *Notice) { n.Name = "a\x1b[2J" },
		"no name":            func(n *Notice) { n.Name = "" },
		"a reserved name":    func(n *Notice) { n.Name = "docker" },
		"a device's name":    func(n *Notice) { n.By = "x\u202e" },
		"a long name":        func(n *Notice) { n.By += string(bytes.Repeat([]byte("b"), 64)) },
		"no port":            func(n *Notice) { n.Port = 0 },
		"for ever":           func(n *Notice) { n.Left = 18 * time.Hour },
	} {
		n := aNotice()
		change(&n)
		b, err := n.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseNotice(b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzNotice: what is read can be said again, and is fit for a menu.
func FuzzNotice(f *testing.F) {
	n := aNotice()
	b, err := n.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNotice(b)
		if err != nil {
			return
		}
		again, err := n.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if m, err := ParseNotice(again); err != nil || *m != *n || n.Name != frame.Clean(n.Name) || n.By != frame.Clean(n.By) {
			t.Errorf("%+v became %+v, %v", n, m, err)
		}
	})
}

// FuzzServeNearby: whatever a joiner sends, it is shown only after a whole
// exchange, and never with a system's name that is not one.
func FuzzServeNearby(f *testing.F) {
	mine, err := frame.Marshal(opened{Nonce: nonce(), Request: request(), OS: "linux"})
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	for _, v := range []any{commitment{commitTo(mine)}, reveal{mine}} {
		if err := frame.Write(&b, v); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		n := newNear()
		shown := false
		n.host.Decide = func(_ context.Context, a Asker) (Answer, error) {
			shown = true
			if n.begun != 1 || len(a.Digits) != 6 || a.OS != frame.Clean(a.OS) || len(a.OS) > 16 {
				t.Errorf("shown %+v after %d tries", a, n.begun)
			}
			return Answer{Name: "x"}, nil
		}
		if err := ServeNearby(t.Context(), rest(b), n.host); shown != (err == nil) {
			t.Errorf("shown %v, and %v", shown, err)
		}
	})
}

// FuzzAskNearby: whatever an admin sends, the joiner ends, and shows digits only
// for the keys that were announced.
func FuzzAskNearby(f *testing.F) {
	n := newNear()
	theirs, err := frame.Marshal(offer{Nonce: nonce(), Network: n.o.Network[:], Device: n.o.Admin, Control: n.o.Control})
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	for _, v := range []any{reply{Offer: theirs}, reply{Name: "x", Records: [][]byte{{1}}}, reply{Done: true}} {
		if err := frame.Write(&b, v); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		shown := false
		_, err := AskNearby(t.Context(), rest(b), n.o, request(), "linux", func(string) { shown = true })
		var verdict *ipc.Error
		if shown && err != nil && !errors.As(err, &verdict) {
			t.Errorf("after the digits: %v", err)
		}
		if !shown && err == nil {
			t.Error("admitted without digits")
		}
	})
}
