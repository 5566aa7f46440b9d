package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
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

