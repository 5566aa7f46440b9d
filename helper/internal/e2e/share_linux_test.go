package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
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
	b := newBed(t)
	nas, anna := b.start("nas"), b.start("anna")
	nas.create("home")
	nas.serveHTTP(80, "hello")
	anna.create("annas")
	link := nas.share("nas", "--port", "80/tcp")
	start := time.Now()
	anna.kithIn(link, "share", "accept", "-")
	accepted := time.Since(start)
	anna.gets("http://nas.home.internal/", "hello", patience)
	t.Logf("accepted after %v, first byte after %v", accepted, time.Since(start))
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
	if got := anna.scan(at, nas.overlay()); len(got) != 1 || got[0] != 80 {
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
	if anna.ping(nas.overlay().String()) == false {
		t.Error("the shared device does not answer a ping")
	}
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
		a := anna.tryIn(link, "share", "accept", "-", "--wait", "10s")
		if a.code != 0 {
			t.Logf("again: %v", a)
		}
		return took
	})
}
