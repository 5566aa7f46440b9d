package replica

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
)

// sent takes what waits to be sent on a link that nobody serves.
func sent(l *link) (out []message) {
	for {
		select {
		case m := <-l.queue:
			out = append(out, *m)
		default:
			return out
		}
	}
}

// asks counts the questions and words in messages.
func asks(ms []message) (who, words int, hops uint8) {
	for _, m := range ms {
		who, words, hops = who+len(m.Who), words+len(m.Presence), max(hops, m.Hops)
	}
	return who, words, hops
}

// TestAskOn: a question for a member that nobody here knows goes on, once, and
// its answer comes back to all who asked.
func TestAskOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 5)
		defer f.r.Close()
		r, wanted := f.r, f.members[4]
		id := wanted.Public()
		var links []*link
		for _, m := range f.members[:3] {
			l := newLink(r, m.Public(), nil, false)
			links = append(links, l)
			r.mu.Lock()
			r.links[m.Public()] = l
			r.mu.Unlock()
		}
		defer func() {
			r.mu.Lock()
			clear(r.links)
			r.mu.Unlock()
		}()
		who := [][]byte{id[:]}
		r.answerWho(links[0], who, 0)
		if n, _, _ := asks(append(sent(links[1]), sent(links[2])...)); n != 0 {
			t.Error("a question that may not go on did")
		}
		r.answerWho(links[0], who, 2)
		for i, want := range []int{0, 1, 1} {
			if n, _, hops := asks(sent(links[i])); n != want || want > 0 && hops != 1 {
				t.Errorf("link %d has %d questions with %d hops left", i, n, hops)
			}
		}
		r.answerWho(links[1], who, 200)
		if n, _, _ := asks(append(sent(links[0]), sent(links[2])...)); n != 0 {
			t.Error("the question went on twice")
		}
		r.Hear(say(t, r, wanted, time.Now(), "linux"), links[2].id)
		for i, want := range []int{1, 1, 0} {
			if _, n, _ := asks(sent(links[i])); n < want || want == 0 && n > 0 {
				t.Errorf("link %d has %d words, want %d", i, n, want)
			}
		}
		// What is known is answered at once.
		r.answerWho(links[2], who, 2)
		if _, n, _ := asks(sent(links[2])); n != 1 {
			t.Errorf("%d words about a member that is known", n)
		}
		// Strangers are nobody's to ask for, and there is a limit.
		for range 3 * askMost {
			k := key.New().Public()
			r.answerWho(links[0], [][]byte{k[:], {1}}, 2)
		}
		if n, _, _ := asks(sent(links[1])); n != 0 || len(r.asked) > askMost {
			t.Errorf("%d questions for strangers went on; %d remembered", n, len(r.asked))
		}
	})
}

// TestAskOnIsPaced: nobody makes the network ask without end.
func TestAskOnIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 3)
		defer f.r.Close()
		r := f.r
		a, b := newLink(r, f.members[0].Public(), nil, false), newLink(r, f.members[1].Public(), nil, false)
		r.mu.Lock()
		r.links[a.id], r.links[b.id] = a, b
		r.mu.Unlock()
		id := f.members[2].Public()
		on := 0
		for range 1000 {
			r.mu.Lock()
			clear(r.asked) // as after askFor
			r.mu.Unlock()
			r.answerWho(a, [][]byte{id[:]}, 3)
			n, _, _ := asks(sent(b))
			on += n
		}
		if on != askBurst {
			t.Errorf("%d of 1,000 questions went on at once, want %d", on, askBurst)
		}
		r.mu.Lock()
		clear(r.links)
		r.mu.Unlock()
	})
}
