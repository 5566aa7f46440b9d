package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith.internal/helper/internal/link"
	"kith.internal/ipc"
)

// The sponsor is away: the request says so within its bound, outlives a
// restart of the helper, and ends well when the sponsor is back.
func TestNetnsSponsorAway(t *testing.T) {
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
	a.start()
	c.start()
	a.create("home")
	text := a.invite()
	a.term()
	c.refuse(c.tryIn(text, "join", "--device", "nas", "--wait", "1s", "-"), ipc.ExitTimeout, "laptop", "1s", "goes on", "kith leave")
	waits := func(st ipc.Status) bool {
		return len(st.Joining) == 1 && st.Joining[0].Sponsor == "laptop" && st.Joining[0].Network == "home"
	}
	c.await("the request", waits)
	if out := c.kith("status"); !strings.Contains(out, "laptop") {
		t.Errorf("status does not say for whom it waits: %s", out)
	}
	// Asked again it waits on; nothing is asked for twice.
	c.refuse(c.tryIn(text, "join", "--wait", "1s", "-"), ipc.ExitTimeout, "laptop")
	c.kill()
	c.start()
	c.await("the request after a restart", waits)
	a.start()
	c.await("the network", func(st ipc.Status) bool { return len(st.Networks) == 1 && len(st.Joining) == 0 })
	if self := c.status().Networks[0].Self.Name; self != "nas" {
		t.Errorf("this device is called %q: the name asked for is lost", self)
	}
	c.reach("laptop.home.internal", patience)
}

// Withdrawn is withdrawn: the sponsor's return changes nothing, and the link
// is still good.
func TestNetnsJoinWithdrawn(t *testing.T) {
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
	a.start()
	c.start()
	a.create("home")
	text := a.invite()
	a.term()
	waiting := make(chan answer)
	go func() { waiting <- c.tryIn(text, "join", "--wait", "1m", "-") }()
	c.await("the request", func(st ipc.Status) bool { return len(st.Joining) == 1 })
	if out := c.kith("leave"); !strings.Contains(out, "home") {
		t.Errorf("leave does not name the network: %s", out)
	}
	c.refuse(<-waiting, ipc.ExitNotFound, "withdrawn")
	c.term()
	c.start()
	a.start()
	if st := c.status(); len(st.Joining)+len(st.Networks) > 0 {
		t.Errorf("the request came back: %+v", st)
	}
	c.joinBy(text)
	c.reach("laptop.home.internal", patience)
}

func TestNetnsNames(t *testing.T) {
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
	a.start()
	c.start()
	for _, name := range []string{"Home", "my home", "-x", "x-", "h\u00f6me", "a.b", strings.Repeat("a", 64), "docker", "..", "a\nb", "internal\x1b[2J"} {
		file := filepath.Join(a.dir, "unused")
		a.refuse(a.try("create", "--phrase-file", file, "--", name), ipc.ExitUsage, "kith:")
		if _, err := os.Stat(file); err == nil {
			t.Errorf("create %q left its file for the phrase", name)
			os.Remove(file)
		}
	}
	a.refuse(a.try("create", "home", "--device", "My Laptop"), ipc.ExitUsage, "lower-case")
	a.create("home")
	a.refuse(a.try("device", "rename", "laptop", "no host"), ipc.ExitUsage, "lower-case")

	text := a.invite()
	c.refuse(c.tryIn(text, "join", "--device", "Not A Host", "-"), ipc.ExitUsage, "lower-case")
	c.refuse(c.tryIn(text, "join", "--device", "laptop", "-"), ipc.ExitFailed, "laptop", "Choose another name")
	if st := c.status(); len(st.Joining)+len(st.Networks) > 0 {
		t.Errorf("a refused request is left: %+v", st)
	}
	c.joinBy(text) // the link was not used up by what was refused
	c.refuse(c.try("device", "rename", "nas", "laptop"), ipc.ExitFailed, "laptop")

	// A name that nobody chose gets a number. All namespaces have the
	// machine's own name.
	var got []string
	for _, name := range []string{"c", "d"} {
		n := b.node(name)
		n.start()
		if x := n.tryIn(a.invite(), "join", "-"); x.code != 0 {
			t.Fatal(x)
		}
		got = append(got, n.status().Networks[0].Self.Name)
	}
	if got[0] == "" || got[1] != got[0]+"-2" {
		t.Errorf("two devices of one host name are called %q", got)
	}
	c.reach(got[1]+".home.internal", patience)
}

// An invite's link whose sponsor is another network's device: nobody answers,
// since strangers get no answer, and it is said who is waited for.
func TestNetnsSponsorOfAnotherNetwork(t *testing.T) {
	b := newBed(t)
	a, c, d := b.node("laptop"), b.node("desk"), b.node("nas")
	for _, n := range []*node{a, c, d} {
		n.start()
	}
	a.create("home")
	c.create("work")
	other, err := link.ParseJoin(c.invite())
	if err != nil {
		t.Fatal(err)
	}
	text := alter(t, a.invite(), func(l *link.Join) {
		l.Sponsor, l.SponsorName, l.SponsorControl, l.Endpoints = other.Sponsor, other.SponsorName, other.SponsorControl, other.Endpoints
	})
	d.refuse(d.tryIn(text, "join", "--wait", "2s", "-"), ipc.ExitTimeout, "desk")
	// A good link to the same network takes the request's place.
	d.joinBy(a.invite())
	if st := d.status(); len(st.Joining) > 0 {
		t.Errorf("the bad request goes on: %+v", st.Joining)
	}
	d.reach("laptop.home.internal", patience)
}
