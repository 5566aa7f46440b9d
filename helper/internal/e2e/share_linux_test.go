package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// serveHTTP answers HTTP on a port of n, for all families, and holds each
// request's connection as long as it likes.
func (n *node) serveHTTP(port int, text string) {
	n.t.Helper()
	var l net.Listener
	var err error
	n.host.Do(func() { l, err = net.Listen("tcp", fmt.Sprintf("[::]:%d", port)) })
	must(n.t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, text) })}
	go srv.Serve(l)
	n.t.Cleanup(func() { srv.Close() })
}

// fetch is what curl says of a URL.
func (n *node) fetch(url string) string {
	n.t.Helper()
	return n.exec("", "curl", "-s", "-g", "--max-time", "2", url).out
}

// gets waits until a URL gives what is wanted and returns how long that took.
func (n *node) gets(url, want string, limit time.Duration) time.Duration {
	n.t.Helper()
	return until(n.t, n.name+" gets "+url, limit, func() bool { return strings.TrimSpace(n.fetch(url)) == want })
}

// share offers the devices and returns the link.
func (n *node) share(args ...string) string {
	n.t.Helper()
	return n.kith(append([]string{"share", "create"}, args...)...)
}

// received is the friend's only share, its zero value where there is none.
func (n *node) received() ipc.Share {
	n.t.Helper()
	for _, s := range read[ipc.ShareList](n, "share", "list").Shares {
		if s.Direction == "in" {
			return s
		}
	}
	return ipc.Share{}
}

func TestNetnsShareOneLAN(t *testing.T) {
	var anna *node
	within(t, "from kith share accept to the first byte", 3*time.Second, func(t *testing.T) time.Duration {
		b := newBed(t)
		nas := b.start("nas")
		anna = b.start("anna")
		nas.create("home")
		nas.serveHTTP(80, "hello")
		anna.create("annas")
		link := nas.share("nas", "--port", "80/tcp")
		start := time.Now()
		anna.kithIn(link, "share", "accept", "-")
		accepted := time.Since(start)
		anna.gets("http://nas.home.internal/", "hello", patience)
		t.Logf("accepted after %v, first byte after %v", accepted, time.Since(start))
		return time.Since(start)
	})
	if s := anna.received(); s.State != ipc.ShareActive || s.FQDN != "nas.home.internal" || s.Devices[0].Short == nil || s.Devices[0].Path != ipc.PathLAN {
		t.Errorf("received: %+v", s)
	}
}

// twoNATs is an owner with a shared nas and a relay, and a friend, behind a NAT each.
func twoNATs(w *world) (s, nas, anna *node) {
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	s, nas, anna = w.founder(), w.member("nas", one.lan), w.member("anna", two.lan)
	nas.join(s)
	nas.meets(s)
	anna.create("annas")
	return s, nas, anna
}

func TestNetnsShareTwoNATs(t *testing.T) {
	within(t, "from kith share accept to the first byte", 3*time.Second, func(t *testing.T) time.Duration {
		s, nas, anna := twoNATs(newWorld(t))
		nas.serveHTTP(80, "hello")
		link := s.share("nas", "--port", "80/tcp")
		start := time.Now()
		anna.kithIn(link, "share", "accept", "-")
		anna.gets("http://nas.home.internal/", "hello", patience)
		return time.Since(start)
	})
}

// guestAddr is the address that n has as a guest, of its only share.
func (n *node) guestAddr() netip.Addr {
	n.t.Helper()
	var own []netip.Addr
	for _, i := range n.host.Interfaces() {
		if strings.HasPrefix(i.Name, "kith") {
			for _, p := range i.Prefixes {
				if p.Addr().Is6() && !p.Addr().IsLinkLocalUnicast() && p.Addr() != n.overlay() {
					own = append(own, p.Addr())
				}
			}
		}
	}
	if len(own) != 1 {
		n.t.Fatalf("%s has the guest's addresses %v", n.name, own)
	}
	return own[0]
}

// tunOf is n's interface with an address.
func (n *node) tunOf(a netip.Addr) string {
	n.t.Helper()
	for _, i := range n.host.Interfaces() {
		for _, p := range i.Prefixes {
			if p.Addr() == a {
				return i.Name
			}
		}
	}
	n.t.Fatalf("%s has no interface with %v", n.name, a)
	return ""
}

// TestNetnsShareClosed scans from both sides: all but the shared port is closed.
func TestNetnsShareClosed(t *testing.T) {
	b := newBed(t)
	nas, desk, anna := b.start("nas"), b.start("desk"), b.start("anna")
	nas.create("home")
	desk.join(nas)
	anna.create("annas")
	for _, port := range []int{22, 80, 443, 8080} {
		nas.serveHTTP(port, "hello")
		desk.serveHTTP(port, "hello")
		anna.serveHTTP(port, "hello")
	}
	anna.kithIn(nas.share("nas", "--port", "80/tcp"), "share", "accept", "-")
	anna.gets("http://nas.home.internal/", "hello", patience)
	at := anna.guestAddr()
	if got := anna.scanOpen(at, nas.overlay()); len(got) != 1 || got[0] != 80 {
		t.Errorf("the shared device answers at %v", got)
	}
	// As if the guest's own routes were bent.
	lan := netip.MustParseAddr("2001:db8:77::1")
	nas.host.Run("ip", "addr", "add", lan.String()+"/64", "dev", "lan")
	tun := anna.tunOf(at)
	for _, to := range []netip.Addr{desk.overlay(), lan} {
		anna.host.Run("ip", "route", "add", to.String(), "dev", tun, "src", at.String())
		if got := anna.scan(at, to); len(got) > 0 {
			t.Errorf("%v, which is not shared, answers at %v", to, got)
		}
	}
	if got := nas.scan(nas.overlay(), at); len(got) > 0 {
		t.Errorf("the guest answers at %v", got)
	}
	desk.host.Run("ip", "route", "replace", at.String(), "dev", desk.tunOf(desk.overlay()), "src", desk.overlay().String())
	if got := desk.scan(desk.overlay(), at); len(got) > 0 {
		t.Errorf("the guest answers a device that was not shared at %v", got)
	}
	until(t, "anna has an IPv4 address for nas", patience, func() bool { return anna.mapped().IsValid() })
	if got := anna.scanOpen(netip.Addr{}, anna.mapped()); len(got) != 1 || got[0] != 80 {
		t.Errorf("by IPv4 the shared device answers at %v", got)
	}
	anna.reach(nas.overlay().String(), patience)
	if nas.ping(at.String()) {
		t.Error("the guest answers a ping")
	}
	st := anna.status()
	for _, w := range st.Networks {
		if len(w.Peers) > 0 || w.Name != "annas" {
			t.Errorf("the friend sees %s with %d devices", w.Name, len(w.Peers))
		}
	}
	if s := anna.received(); len(s.Devices) != 1 || s.Devices[0].Name != "nas" {
		t.Errorf("the friend sees %+v", s.Devices)
	}
}

// serveDrip answers HTTP on a port with a body that has no end.
func (n *node) serveDrip(port int) {
	n.t.Helper()
	var l net.Listener
	var err error
	n.host.Do(func() { l, err = net.Listen("tcp", fmt.Sprintf("[::]:%d", port)) })
	must(n.t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat("x", 1000))); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			<-time.After(10 * time.Millisecond)
		}
	})}
	go srv.Serve(l)
	n.t.Cleanup(func() { srv.Close() })
}

// drip is serveDrip on a port that is shared already: 80 is the other's.
func (n *node) drip() uint16 { n.t.Helper(); n.serveDrip(81); return 81 }

// download is a running one.
type download struct {
	last atomic.Int64 // when something came last, Unix time in nanoseconds
}

// download begins one; it ends with the test.
func (n *node) download(at netip.AddrPort) *download {
	n.t.Helper()
	d := &download{}
	var c net.Conn
	var err error
	n.host.Do(func() { c, err = net.DialTimeout("tcp", at.String(), patience) })
	must(n.t, err)
	n.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n")
	go func() {
		b := make([]byte, 4096)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			d.last.Store(time.Now().UnixNano())
		}
	}()
	until(n.t, n.name+" downloads", patience, d.runs)
	return d
}

func (d *download) runs() bool {
	return time.Now().UnixNano()-d.last.Load() < int64(200*time.Millisecond)
}

// stops waits for the end and returns how long after since the last byte came.
func (d *download) stops(t *testing.T, since time.Time) time.Duration {
	t.Helper()
	until(t, "the download stops", patience, func() bool { return time.Now().UnixNano()-d.last.Load() > int64(time.Second) })
	return time.Unix(0, d.last.Load()).Sub(since)
}

func TestNetnsShareRevoke(t *testing.T) {
	within(t, "from kith share revoke to the last byte", time.Second, func(t *testing.T) time.Duration {
		s, nas, anna := twoNATs(newWorld(t))
		nas.serveDrip(80)
		link := s.share("nas", "--port", "80/tcp")
		anna.kithIn(link, "share", "accept", "-")
		anna.kith("share", "list")
		until(t, "anna has a way to nas", patience, func() bool { s := anna.received(); return len(s.Devices) == 1 && s.Devices[0].Path != ipc.PathNone })
		d := anna.download(netip.AddrPortFrom(nas.overlay(), 80))
		start := time.Now()
		s.kith("share", "revoke", "nas", "--yes")
		took := d.stops(t, start)
		until(t, "anna hears why", patience, func() bool {
			s := anna.received()
			return s.State == ipc.ShareRevoked && s.Why != nil
		})
		return took
	})
}

// friends is a LAN without internet with nas, shared, and the network "annas" of
// anna, an admin, and two more devices.
func friends(t *testing.T) (b *bed, nas, anna, phone, tablet *node) {
	t.Helper()
	b = newBed(t)
	nas, anna, phone, tablet = b.start("nas"), b.start("anna"), b.start("phone"), b.start("tablet")
	nas.create("home")
	nas.serveHTTP(80, "hello")
	anna.create("annas")
	phone.join(anna)
	tablet.join(anna)
	return b, nas, anna, phone, tablet
}

const nasURL = "http://nas.home.internal/"

// TestNetnsShareThreeDevices: the share appears on all devices of the friend's
// network by itself, and on nobody else's; who is removed loses it.
func TestNetnsShareThreeDevices(t *testing.T) {
	b, nas, anna, phone, tablet := friends(t)
	link := nas.share("nas", "--port", "80-81/tcp")
	anna.kithIn(link, "share", "accept", "-")
	for _, n := range []*node{anna, phone, tablet} {
		t.Logf("%s: %v", n.name, n.gets(nasURL, "hello", patience))
	}
	late := b.start("late")
	late.join(anna)
	late.gets(nasURL, "hello", patience)

	// A device that was never admitted there holds the link, forwarded.
	thief := b.start("thief")
	thief.create("thieves")
	thief.refuse(thief.tryIn(link, "share", "accept", "-"), 1, "accepted by somebody already")
	nas.showsRefused(ipc.CodeLinkUsed, "thief")
	if s := thief.received(); s.ID != "" {
		t.Errorf("a thief has %+v", s)
	}
	until(t, "the owner sees four devices", patience, func() bool {
		s := read[ipc.ShareList](nas, "share", "list").Shares
		return len(s) == 1 && len(s[0].Guests) == 4 && s[0].Label == "anna" && s[0].State == ipc.ShareActive
	})

	start := time.Now()
	at := phone.guestAddr()
	d := phone.download(netip.AddrPortFrom(nas.overlay(), nas.drip()))
	anna.kith("device", "revoke", "phone", "--yes")
	t.Logf("a removed device's download ends after %v", d.stops(t, start))
	until(t, "nas forgets the removed device", patience, func() bool {
		for _, g := range read[ipc.ShareList](nas, "share", "list").Shares[0].Guests {
			if *g.IPv6 == at {
				return false
			}
		}
		return true
	})
	if got := phone.fetch(nasURL); got != "" {
		t.Errorf("a removed device gets %q", got)
	}
	tablet.gets(nasURL, "hello", patience)
}

// TestNetnsShareAgain: the same link accepted again by who has accepted it is no
// error; both sides keep the share over restarts without anyone else.
func TestNetnsShareAgain(t *testing.T) {
	_, nas, anna, phone, tablet := friends(t)
	link := nas.share("nas", "--port", "80/tcp")
	anna.kithIn(link, "share", "accept", "-")
	anna.kithIn(link, "share", "accept", "-")
	phone.gets(nasURL, "hello", patience)
	for _, n := range []*node{nas, anna, phone, tablet} {
		n.kill()
	}
	start := time.Now()
	nas.start()
	phone.start()
	phone.gets(nasURL, "hello", patience)
	t.Logf("both killed and started, their admin away: the first byte after %v", time.Since(start))
}

// TestNetnsShareTwoHomes: two friends' networks and one's own are all called home,
// each with a nas.
func TestNetnsShareTwoHomes(t *testing.T) {
	b := newBed(t)
	anna := b.start("anna")
	anna.create("home")
	own := b.start("own")
	own.kithIn(anna.invite(), "join", "-", "--device", "nas")
	own.serveHTTP(80, "own")
	var names []string
	for _, name := range []string{"bob", "carl"} {
		n := b.start(name)
		n.kith("create", "home", "--device", "nas", "--phrase-file", n.dir+"/phrase")
		n.serveHTTP(80, name)
		anna.kithIn(n.share("nas", "--port", "80/tcp"), "share", "accept", "-")
	}
	for _, s := range read[ipc.ShareList](anna, "share", "list").Shares {
		names = append(names, s.FQDN)
		if s.Devices[0].Short != nil {
			t.Errorf("the short name leads to a friend's: %+v", s)
		}
	}
	if len(names) != 2 || names[0] == names[1] {
		t.Fatalf("the friends' are called %v", names)
	}
	anna.gets("http://nas.home.internal/", "own", patience)
	anna.gets("http://nas/", "own", patience)
	anna.gets("http://"+names[0]+"/", "bob", patience)
	anna.gets("http://"+names[1]+"/", "carl", patience)
}

// TestNetnsShareConfirm: with --confirm it counts once the owner has approved, and
// both see the same words.
func TestNetnsShareConfirm(t *testing.T) {
	_, nas, anna, phone, _ := friends(t)
	link := nas.share("nas", "--port", "80/tcp", "--confirm")
	out := anna.kithIn(link, "share", "accept", "-")
	mine, theirs := anna.received().Words, read[ipc.ShareList](nas, "share", "list").Shares[0].Words
	if len(mine) != 4 || strings.Join(mine, " ") != strings.Join(theirs, " ") || !strings.Contains(out, strings.Join(mine, " ")) {
		t.Errorf("the words are %v and %v; %s", mine, theirs, out)
	}
	if got := anna.fetch(nasURL); got != "" {
		t.Errorf("before it is approved there is %q", got)
	}
	nas.kith("share", "approve", "nas")
	anna.gets(nasURL, "hello", patience)
	phone.gets(nasURL, "hello", patience)
	phone.refuse(phone.try("share", "remove", "nas", "--yes"), 4)
	anna.kith("share", "remove", "nas", "--yes")
	for _, n := range []*node{anna, phone} {
		until(t, n.name+" has no share any more", patience, func() bool { return n.received().ID == "" })
	}
	until(t, "nas forgets its guests", patience, func() bool { return len(read[ipc.ShareList](nas, "share", "list").Shares[0].Guests) == 0 })
}

// TestNetnsShareFirst: who has no network gets one in the same step.
func TestNetnsShareFirst(t *testing.T) {
	b := newBed(t)
	nas, anna := b.start("nas"), b.start("anna")
	nas.create("home")
	nas.serveHTTP(80, "hello")
	anna.kithIn(nas.share("nas", "--port", "80/tcp"), "share", "accept", "-", "--label", "anna")
	s := anna.received()
	anna.gets("http://"+s.FQDN+"/", "hello", patience)
	if w := anna.network(); w.Self.Role != ipc.RoleOwner || s.FQDN != "nas.home.internal" || w.Name != "mine" {
		t.Errorf("%+v; %+v", w.Self, s)
	}
}

// showsRefused wants n to show its user that somebody wanted to accept a link and was
// refused.
func (n *node) showsRefused(code ipc.Code, label string) {
	n.t.Helper()
	list := read[ipc.ShareList](n, "share", "list").Shares
	if !slices.ContainsFunc(list, func(s ipc.Share) bool {
		return slices.ContainsFunc(s.Refused, func(r ipc.Refusal) bool { return r.Code == code && r.Label == label && r.Link })
	}) {
		n.t.Errorf("%s does not show that %s was refused, %s: %+v", n.name, label, code, list)
	}
}

// TestNetnsShareRefused: each link that does not fit is refused with its reason.
func TestNetnsShareRefused(t *testing.T) {
	b := newBed(t)
	nas, desk, anna := b.start("nas"), b.start("desk"), b.start("anna")
	nas.create("home")
	desk.join(nas)
	anna.create("annas")
	accept := func(link string) answer { return anna.tryIn(link, "share", "accept", "-", "--wait", "10s") }

	link := nas.share("nas", "--port", "all")
	anna.refuse(accept(link[:len(link)-9]), 2, "not a whole Kith link")
	anna.refuse(accept(strings.Replace(link, "share/A", "share/B", 1)), 2)
	anna.refuse(accept(nas.invite()), 1, "shares no device")
	nas.refuse(nas.tryIn(link, "share", "accept", "-"), 1, "in home itself")
	nas.refuse(nas.try("share", "create", "nope", "--port", "all"), 6, "nope")
	nas.refuse(nas.try("share", "create", "nas", "--port", "http"), 2, "not a port")
	desk.refuse(desk.try("share", "create", "nas", "--port", "all"), 4)
	nas.refuse(nas.try("share", "revoke", "none", "--yes"), 6, "no share")

	nas.kith("share", "revoke", "nas", "--yes")
	anna.refuse(accept(link), 1, "taken back")
	nas.showsRefused(ipc.CodeLinkRevoked, "anna")

	gone := nas.share("desk", "--port", "all")
	nas.kith("device", "revoke", "desk", "--yes")
	anna.refuse(accept(gone), 1, "has left home")
	nas.showsRefused(ipc.CodeNotShared, "anna")

	// The network is founded anew: nobody there knows the link.
	old := nas.share("nas", "--port", "all")
	nas.kith("leave", "--yes")
	nas.create("home2")
	a := anna.tryIn(old, "share", "accept", "-", "--wait", "2s")
	anna.refuse(a, 7, "nas has not answered", "kith share remove")
	if s := anna.received(); s.State != ipc.ShareAsking {
		t.Errorf("what is asked for: %+v", s)
	}
	anna.kith("share", "remove", "nas", "--yes")
	if s := anna.received(); s.ID != "" {
		t.Errorf("given up, and still there: %+v", s)
	}
}
