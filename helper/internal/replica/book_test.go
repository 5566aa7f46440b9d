package replica

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// TestBookGathers: in a large roster admissions that come one after another are
// evaluated together, and nothing else waits.
func TestBookGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, atOnceUpTo)
		defer f.r.Close()
		from := f.members[0].Public()
		changes := 0
		b := NewBook(f.set.Clone(), f.keeper, func() { changes++ })
		admit := func() (key.Public, []byte) {
			k := key.New()
			wg, control := key.NewExchange().Public(), key.NewExchange().Public()
			a, err := f.author.Admit(roster.Admission{
				Device: k.Public(), WG: wg, Control: control, N: 1, Name: "n", Pop: roster.SignPop(f.set.Network(), k, wg, control, 1),
			})
			if err != nil {
				t.Fatal(err)
			}
			return k.Public(), a.Raw
		}
		take := func(raws ...[]byte) {
			t.Helper()
			if added, err := b.Add(raws, from); err != nil || len(added) != len(raws) {
				t.Fatalf("%d of %d records taken: %v", len(added), len(raws), err)
			}
		}
		has := func(what string, want bool, id key.Public) {
			t.Helper()
			if (b.View().Member(id) != nil) != want {
				t.Errorf("%s: a member %v, want %v", what, !want, want)
			}
		}
		_, raw := admit()
		take(raw) // the first for a while
		if changes != 1 {
			t.Errorf("changed %d times by the first", changes)
		}
		var last key.Public
		for range 20 {
			last, raw = admit()
			take(raw)
		}
		has("just come", false, last)
		time.Sleep(b.lag())
		synctest.Wait()
		has("after a while", true, last)
		if changes != 2 {
			t.Errorf("changed %d times by twenty more", changes)
		}
		last, raw = admit()
		take(raw)
		has("one more", false, last)
		gone, err := f.author.Remove(f.members[1].Public(), roster.RemoveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var raws [][]byte
		for _, r := range gone.Records {
			raws = append(raws, r.Raw)
		}
		take(raws...)
		has("a removal", false, f.members[1].Public())
		has("with a removal", true, last)

		_, raw = admit()
		take(raw)
		own := key.New()
		_, err = b.Write(func(s *roster.Set) error {
			wg, control := key.NewExchange().Public(), key.NewExchange().Public()
			_, err := roster.NewAuthor(s, f.device, time.Now).Admit(roster.Admission{
				Device: own.Public(), WG: wg, Control: control, N: 1, Name: "own", Pop: roster.SignPop(s.Network(), own, wg, control, 1),
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		has("what is written here", true, own.Public())
		time.Sleep(time.Second)
	})
}

// TestLinkGathers: news that follows closely goes together, in order, and
// nothing overtakes it.
func TestLinkGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		defer f.r.Close()
		l := newLink(f.r, f.members[0].Public(), nil, true)
		news := func(i int) message { return message{Records: [][]byte{fmt.Appendf(nil, "record %d", i)}} }
		for i := range 3 {
			l.send(news(i))
		}
		l.send(message{Digest: make([]byte, 32)})
		l.send(news(3))
		m := <-l.queue
		began := time.Now()
		other := l.gather(m, gatherNews)
		if len(m.Records) != 3 || other == nil || other.Digest == nil || time.Since(began) != 0 {
			t.Errorf("%d records gathered in %v, then %+v", len(m.Records), time.Since(began), other)
		}
		m = <-l.queue
		if other = l.gather(m, gatherNews); other != nil || len(m.Records) != 1 || time.Since(began) != gatherNews {
			t.Errorf("%d records gathered in %v, then %+v", len(m.Records), time.Since(began), other)
		}
		l.send(message{Records: [][]byte{make([]byte, chunk)}})
		if other = l.gather(m, 0); other == nil || len(m.Records) != 1 {
			t.Errorf("more than a message holds was gathered")
		}
	})
}

// TestLinkPatient: admissions wait for more of them, and are not told to who
// has told them; whatever else is news ends that.
func TestLinkPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 1)
		defer f.r.Close()
		l := newLink(f.r, f.members[0].Public(), nil, true)
		record := func(i int) []byte { return fmt.Appendf(nil, "record %d", i) }
		send := func(patient bool, i int) { l.sendEach([][]byte{record(i)}, patient) }
		began := time.Now()
		send(true, 0)
		time.AfterFunc(time.Second, func() { send(true, 1) })
		time.AfterFunc(2*time.Second, func() { send(false, 2) })
		m := <-l.queue
		if other := l.gather(m, time.Minute); other != nil || len(m.Records) != 3 || m.patient || time.Since(began) != 2*time.Second {
			t.Errorf("%d records gathered in %v, then %+v", len(m.Records), time.Since(began), other)
		}
		l.hears([][]byte{record(1), record(7)})
		if got := l.untold(m.Records); len(got) != 2 || len(m.Records) != 3 || !bytes.Equal(got[0], record(0)) || !bytes.Equal(got[1], record(2)) {
			t.Errorf("%q are left to tell", got)
		}
		for i := range 3 * toldMost {
			if l.hears([][]byte{record(i)}); len(l.told) > toldMost {
				t.Fatalf("%d records are remembered", len(l.told))
			}
		}
	})
}
