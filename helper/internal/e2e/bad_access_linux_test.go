package e2e

import (
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.internal/ipc"
)

func TestNetnsHelperAbsent(t *testing.T) {
	b := newBed(t)
	a := b.node("laptop")
	for _, verb := range [][]string{{"status"}, {"create", "home"}, {"join", "kith://join/AAAA"}, {"leave", "--yes"}, {"ping", "nas"}, {"diag"}} {
		a.refuse(a.try(verb...), ipc.ExitUnreachable, "kithd start")
	}
	if out := a.kith("completion", "bash"); out == "" {
		t.Error("completion needs the helper")
	}
	// A socket that nobody serves any more, and something else in its place.
	a.start()
	a.kill()
	if _, err := os.Stat(a.socket()); err != nil {
		t.Fatal(err)
	}
	a.refuse(a.try("status"), ipc.ExitUnreachable, "kithd start")
	a.start()
	a.kith("status")
	a.term()
	if err := os.WriteFile(a.socket(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.refuse(a.try("status"), ipc.ExitUnreachable)
	if code := a.refuses(); code != 1 || !strings.Contains(a.said(), a.socket()) {
		t.Errorf("exit %d: %s", code, a.said())
	}
}

func TestNetnsCallerWithoutPermission(t *testing.T) {
	b := newBed(t)
	a, c := b.pair()
	a.reach("nas.home.internal", patience)
	as := func(args ...string) answer { return a.as("65534", args...) }
	for _, verb := range [][]string{
		{"create", "x"}, {"invite"}, {"join", "kith://join/AAAA"}, {"leave", "--yes"}, {"up"}, {"down"}, {"ping", "nas"},
		{"device", "rename", "nas", "x"}, {"device", "revoke", "nas", "--yes"}, {"device", "renew"}, {"device", "approve", "nas"},
		{"device", "role", "nas", "admin"}, {"device", "tag", "nas", "+x"},
		{"recover", "--show"}, {"operator", "add", "nobody"}, {"operator", "remove", "nobody"}, {"diag"},
	} {
		a.refuse(as(verb...), ipc.ExitPermission, "kith:")
	}
	a.kith("exit", "lan", "on", "192.168.77.0/24")
	// Any user may look, and sees no endpoint, no traffic and no secret.
	x := as("status", "--json")
	var st ipc.Status
	if err := json.Unmarshal([]byte(x.out), &st); err != nil || x.code != 0 {
		t.Fatalf("%v: %v", err, x)
	}
	if len(st.Networks) != 1 || len(st.Networks[0].Peers) != 1 || st.Networks[0].Peers[0].Name != "nas" {
		t.Errorf("names are not there: %s", x.out)
	}
	p := st.Networks[0].Peers[0]
	if p.Endpoint != nil || p.RxBytes != nil || p.TxBytes != nil || p.LastHandshake != nil {
		t.Errorf("a stranger sees endpoints or traffic: %+v", p)
	}
	if strings.Contains(x.out, "192.168.77.") {
		t.Errorf("a stranger sees an endpoint: %s", x.out)
	}
	filepath.WalkDir(a.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, a.state()) || strings.Contains(path, "phrase") {
			if y := a.exec("", append(user("65534"), "cat", path)...); !d.IsDir() && y.code == 0 {
				t.Errorf("a stranger can read %s", path)
			}
		}
		return nil
	})
	c.reach("laptop.home.internal", patience)

	a.kith("operator", "add", "nobody")
	if x := as("invite"); x.code != 0 {
		t.Errorf("an operator may not act: %v", x)
	}
	a.refuse(as("operator", "add", "daemon"), ipc.ExitPermission, "administrator")
	a.kith("operator", "remove", "nobody")
	a.refuse(as("invite"), ipc.ExitPermission)
}

// Bytes that are no request, on the socket, hold nobody up.
func TestNetnsGarbageOnSocket(t *testing.T) {
	b := newBed(t)
	a, c := b.pair()
	for _, s := range []string{
		"\x00\x01\x02\x03", strings.Repeat("A", 1<<20), "GET / HTTP/1.1\r\n\r\n", "GET /v1/status HTTP/9.9\r\n\r\n",
		"POST /v1/create HTTP/1.1\r\nHost: kith\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{",
		"POST /v1/create HTTP/1.1\r\nHost: kith\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull",
		"POST /v1/../../etc/passwd HTTP/1.1\r\nHost: kith\r\nContent-Length: 0\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		conn, err := net.Dial("unix", a.socket())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Write([]byte(s)) // it may hang up while it is told
		defer conn.Close()
	}
	// Another user who connects a lot and says nothing keeps nobody else out.
	defer flood(t, a.socket(), 300)()
	began := time.Now()
	if a.kith("status"); time.Since(began) > slow*3*time.Second {
		t.Errorf("status took %s", time.Since(began))
	}
	c.reach("laptop.home.internal", patience)
}

// flood opens connections as another user; the answer closes them.
func flood(t *testing.T, socket string, n int) func() {
	t.Helper()
	var conns []net.Conn
	done := make(chan error)
	go func() {
		// The user is one thread's alone, which ends with the goroutine.
		runtime.LockOSThread()
		if _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); no != 0 {
			done <- no
			return
		}
		for range n {
			conn, err := net.Dial("unix", socket)
			if err != nil {
				done <- err
				return
			}
			conns = append(conns, conn)
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}
