package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
)

// policy has n set a policy and returns what came of it.
func (n *node) policy(text string, args ...string) string {
	n.t.Helper()
	return n.kithIn(text, append([]string{"policy", "set", "-"}, args...)...)
}

// loses wants a URL to give nothing.
func (n *node) loses(url string) {
	n.t.Helper()
	until(n.t, n.name+" no longer gets "+url, patience, func() bool { return n.fetch(url) == "" })
}

// drips serves a connection that says something every 100 ms, and tells of each
// word that has arrived at the other end.
func drips(t *testing.T, server, client *node, port int) (heard func() time.Duration) {
	t.Helper()
	var l net.Listener
	var err error
	server.host.Do(func() { l, err = net.Listen("tcp", fmt.Sprintf("[%s]:%d", server.overlay(), port)) })
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
			if _, err := c.Write([]byte{1}); err != nil {
				return
			}
		}
	}()
	var c net.Conn
	client.host.Do(func() { c, err = net.DialTimeout("tcp", l.Addr().String(), patience) })
	must(t, err)
	t.Cleanup(func() { c.Close() })
	words := make(chan struct{}, 1000)
	go func() {
		for b := make([]byte, 64); ; words <- struct{}{} {
			if _, err := c.Read(b); err != nil && err != io.EOF {
				return
			}
		}
	}()
	// heard is how long the stream stays silent, up to 2 s.
	return func() time.Duration {
		start := time.Now()
		select {
		case <-words:
		case <-time.After(2 * time.Second):
		}
		return time.Since(start)
	}
}

func TestNetnsPolicy(t *testing.T) {
	b := newBed(t)
	nas, desk := b.start("nas"), b.start("desk")
	nas.create("home")
	desk.join(nas)
	for _, port := range []int{80, 81} {
		nas.serveHTTP(port, "hello")
		desk.serveHTTP(port, "hello")
	}
	desk.gets("http://nas.home.internal:81/", "hello", patience)
	heard := drips(t, nas, desk, 7000)
	until(t, "the stream is heard", patience, func() bool { return heard() < 2*time.Second })

	const narrow = `{"allow": [
		{"from": ["desk"], "to": ["nas"], "ports": ["80/tcp"]}, // the web
		{"from": ["nas"], "to": ["desk"]},
	], "tests": [{"from": "desk", "to": "nas", "allow": ["80/tcp"], "deny": ["81/tcp"]}]}`
	dry := nas.policy(narrow, "--dry-run")
	if !strings.Contains(dry, "desk loses nas: 1-79/tcp, 81-65535/tcp, 1-65535/udp, icmp") || strings.Contains(dry, "in force") {
		t.Errorf("the dry run says %q", dry)
	}
	desk.gets("http://nas.home.internal:81/", "hello", patience)

	nas.policy(narrow)
	desk.gets("http://nas.home.internal/", "hello", patience)
	desk.loses("http://nas.home.internal:81/")
	nas.gets("http://desk.home.internal:81/", "hello", patience)
	until(t, "the stream is silent", patience, func() bool { return heard() >= 2*time.Second })
	until(t, "the policy is on desk", patience, func() bool {
		return strings.Contains(read[ipc.PolicyAnswer](desk, "policy", "show").Text, "the web")
	})
	reach := read[ipc.ReachAnswer](desk, "policy", "reach", "nas")
	if len(reach.From) != 1 || strings.Join(reach.From[0].Ports, " ") != "80/tcp" {
		t.Errorf("who reaches nas: %+v", reach.From)
	}

	for text, code := range map[string]string{
		`{"allow": [}`: "malformed",
		`{"allow": [{"from": ["tag:none"], "to": ["*"]}]}`: "unknown-tag",
		`{"allow": []}`: "locks-out",
		`{"tests": [{"from": "desk", "to": "nas", "deny": ["22/tcp"]}]}`: "test-failed",
	} {
		r := nas.tryIn(text, "policy", "set", "-")
		if r.code != ipc.ExitFailed || !strings.Contains(r.err, code) {
			t.Errorf("%s: exit %d, %s", text, r.code, r.err)
		}
	}
	if r := desk.tryIn("", "policy", "set", "-"); r.code != ipc.ExitPermission {
		t.Errorf("a plain device sets the policy: exit %d, %s", r.code, r.err)
	}

	nas.policy("")
	desk.gets("http://nas.home.internal:81/", "hello", patience)
}

func TestNetnsShields(t *testing.T) {
	b := newBed(t)
	nas, desk := b.start("nas"), b.start("desk")
	nas.create("home")
	desk.join(nas)
	nas.serveHTTP(80, "hello")
	desk.serveHTTP(80, "hello")
	desk.gets("http://nas.home.internal/", "hello", patience)
	nas.kith("up", "--shields")
	desk.loses("http://nas.home.internal/")
	nas.gets("http://desk.home.internal/", "hello", patience)
	if st := nas.status(); !st.Networks[0].Shields {
		t.Error("the status does not tell of shields")
	}
	nas.kith("up", "--shields=off")
	desk.gets("http://nas.home.internal/", "hello", patience)
}
