package replica

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
)

type noKeeper struct{}

func (noKeeper) Keep([]*roster.Record, time.Time) error { return nil }

type noWire struct{}

func (noWire) Dial(context.Context, key.Public) (wire.Session, error) {
	return nil, errors.New("unreachable")
}
func (noWire) Seek(key.Public) {}

type listener struct{ heard []Presence }

func (e *listener) Presence(p Presence)                   { e.heard = append(e.heard, p) }
func (*listener) Epoch([32]byte)                          {}
func (*listener) Note(key.Public, []byte) <-chan struct{} { return dealtWith }
func (*listener) ClockOffset(key.Public, time.Duration)   {}
func (*listener) Linked(key.Public, bool)                 {}
func (e *listener) last(t *testing.T, n int) (p Presence) {
	t.Helper()
	if len(e.heard) != n {
		t.Fatalf("%d words were taken, want %d", len(e.heard), n)
	}
	return e.heard[n-1]
}

// founded is a network of its founder and one more device.
func founded(t *testing.T) (r *Replica, words *listener, owner, other key.Private) {
	t.Helper()
	owner, other = key.New(), key.New()
	wg, control := key.NewExchange(), key.NewExchange()
	set, _, err := roster.Found(roster.Founding{
		Name: "home", Device: owner, DeviceName: "a", WG: wg.Public(), Control: control.Public(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	wg2, control2 := key.NewExchange().Public(), key.NewExchange().Public()
	_, err = roster.NewAuthor(set, owner, time.Now).Admit(roster.Admission{
		Device: other.Public(), WG: wg2, Control: control2, N: 1, Name: "b",
		Pop: roster.SignPop(set.Network(), other, wg2, control2, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	words = &listener{}
	r = New(Config{
		Network: set.Network(), Self: owner, Book: NewBook(set, noKeeper{}, func() {}), Wire: noWire{}, Handler: words,
		Epoch: func() ([32]byte, bool) { return [32]byte{}, false }, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(r.Close)
	r.SetMembers([]key.Public{other.Public()}, nil)
	return r, words, owner, other
}

func say(t *testing.T, r *Replica, by key.Private, seq time.Time, os string) [][]byte {
	t.Helper()
	raw, err := signPresence(r.cfg.Network, by, Presence{Device: by.Public(), Seq: seq.UnixMilli(), OS: os})
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{raw}
}

// TestPresenceOfTheFuture: a word with a number far ahead is taken from nobody
// but the device itself, and does not outlast its next word.
func TestPresenceOfTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, words, _, other := founded(t)
		third := key.New().Public()
		now := time.Now()
		r.Hear(say(t, r, other, now.AddDate(50, 0, 0), "forged"), third)
		if len(words.heard) != 0 {
			t.Fatalf("taken: %+v", words.heard)
		}
		r.Hear(say(t, r, other, now.AddDate(0, 0, 2), "ahead"), other.Public())
		if p := words.last(t, 1); p.OS != "ahead" || time.UnixMilli(p.Seq).Sub(now) > presenceAhead+time.Second {
			t.Errorf("of a clock that is ahead: %+v", p)
		}
		r.Hear(say(t, r, other, now, "replayed"), third)
		words.last(t, 1)
		r.Hear(say(t, r, other, now.Add(time.Second), "set right"), other.Public())
		if p := words.last(t, 2); p.OS != "set right" {
			t.Errorf("after the clock was set right: %+v", p)
		}
	})
}

// TestPresenceFlood: words without end from one device are not all taken.
func TestPresenceFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, words, _, other := founded(t)
		now := time.Now()
		for i := range 1000 {
			r.Hear(say(t, r, other, now.Add(time.Duration(i)*time.Millisecond), "flood"), key.New().Public())
		}
		if n := len(words.heard); n > wordBurst+1 {
			t.Errorf("%d of 1000 were taken at once", n)
		}
		time.Sleep(time.Minute)
		before := len(words.heard)
		r.Hear(say(t, r, other, time.Now(), "later"), other.Public())
		if p := words.last(t, before+1); p.OS != "later" {
			t.Errorf("after the flood: %+v", p)
		}
	})
}

// TestPresenceOfOurs: our own word from a time when the clock was ahead is
// overtaken, a forged one of the far future is not.
func TestPresenceOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, owner, other := founded(t)
		r.SetPresence(Presence{OS: "now"})
		said := func() int64 {
			p, err := openPresence(r.cfg.Network, r.Presences()[0])
			if err != nil || p.OS != "now" {
				t.Fatalf("%+v: %v", p, err)
			}
			return p.Seq
		}
		before := said()
		r.Hear(say(t, r, owner, time.Now().AddDate(50, 0, 0), "forged"), other.Public())
		if said() != before {
			t.Error("a forged number of the far future was followed")
		}
		ahead := time.Now().Add(time.Hour)
		r.Hear(say(t, r, owner, ahead, "old"), other.Public())
		if said() <= ahead.UnixMilli() {
			t.Error("an earlier word of ours was not overtaken")
		}
	})
}

// TestRemovedIsNoOther: as soon as the roster says so, a device is not among
// those that hear anything, whatever SetMembers was told last.
func TestRemovedIsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, owner, other := founded(t)
		r.mu.Lock()
		r.links[other.Public()] = newLink(r, other.Public(), nil, true)
		r.mu.Unlock()
		if len(r.others(key.Public{})) != 1 {
			t.Fatal("a member is no other")
		}
		if _, err := r.cfg.Book.Write(func(s *roster.Set) error {
			_, err := roster.NewAuthor(s, owner, time.Now).Remove(other.Public(), roster.RemoveOptions{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(r.others(key.Public{})) != 0 {
			t.Error("a removed device still hears what members hear")
		}
		if len(r.removal(other.Public())) == 0 {
			t.Error("there is nothing to tell it")
		}
		r.mu.Lock()
		delete(r.links, other.Public())
		r.mu.Unlock()
	})
}

// TestChosenStay: a change of the roster elsewhere does not change whom we dial
// in a large network.
func TestChosenStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _, _ := founded(t)
		var all []key.Public
		for range 50 {
			all = append(all, key.New().Public())
		}
		chosen := func(members []key.Public) []key.Public {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.members = setOf(members)
			r.choose()
			return slices.Clone(r.chosen)
		}
		first := chosen(all)
		if len(first) != neighbours || len(setOf(first)) != neighbours {
			t.Fatalf("chosen: %d, %d of them different", len(first), len(setOf(first)))
		}
		for range 20 {
			if got := chosen(all); !slices.Equal(got, first) {
				t.Fatal("others are chosen without need")
			}
		}
		gone := slices.DeleteFunc(slices.Clone(all), func(k key.Public) bool { return k == first[neighbours-1] })
		if got := chosen(gone); slices.Contains(got, first[neighbours-1]) || len(setOf(got)) != neighbours {
			t.Error("whoever is gone is not replaced")
		}
	})
}

// TestRewire: where many join a large network one after another, they change
// whom we dial now and then; whoever is gone is replaced at once.
func TestRewire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _, _ := founded(t)
		defer r.Close()
		var all []key.Public
		for range 20 * floodUpTo {
			all = append(all, key.New().Public())
		}
		took := func(n int) []key.Public { r.SetMembers(all[:n], nil); return r.Chosen() }
		last, changes := took(floodUpTo+1), 0
		began := time.Now()
		for n := floodUpTo + 2; n <= len(all); n += 10 {
			if got := took(n); !slices.Equal(got, last) {
				last, changes = got, changes+1
			}
			time.Sleep(100 * time.Millisecond)
		}
		if most := int(time.Since(began)/rewireEvery) + 1; changes == 0 || changes > most {
			t.Errorf("%d changes in %v, want 1 to %d", changes, time.Since(began), most)
		}
		next := r.self // the first after us on the ring of keys
		for i := len(next) - 1; i >= 0; i-- {
			if next[i]++; next[i] != 0 {
				break
			}
		}
		all = append(all, next)
		took(len(all))
		time.Sleep(2 * rewireEvery)
		if !slices.Contains(r.Chosen(), next) {
			t.Error("who joined last is never considered")
		}
		gone := r.Chosen()[0]
		left := slices.DeleteFunc(slices.Clone(all), func(k key.Public) bool { return k == gone })
		if r.SetMembers(left, nil); slices.Contains(r.Chosen(), gone) {
			t.Error("whoever is gone is not replaced at once")
		}
	})
}

func TestPace(t *testing.T) {
	now := time.Now()
	p := newPace(100, 10)
	for i, step := range []struct {
		after time.Duration
		cost  float64
		want  time.Duration
	}{
		{0, 100, 0},
		{0, 10, time.Second},
		{time.Second, 0, 0},
		{time.Second, 20, time.Second},
		{time.Hour, 100, 0}, // no more than the burst is saved
		{0, 1, 100 * time.Millisecond},
		{-time.Hour, 1, 200 * time.Millisecond}, // a clock set back
	} {
		now = now.Add(step.after)
		if got := p.take(step.cost, now); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
