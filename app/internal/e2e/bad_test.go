//go:build gui

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
	"kith.internal/ipc/transport"
)

// impostor is what answers in a helper's place.
func impostor(t *testing.T, sock string, answer http.HandlerFunc) (stop func()) {
	t.Helper()
	ln, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: answer}
	go s.Serve(ln)
	stop = func() { s.Close(); os.Remove(sock) }
	t.Cleanup(stop)
	return stop
}

// TestBadHelpers has helpers answer as none should. What the app shows stays
// true, and it lives to meet a good one.
func TestBadHelpers(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	cmd := b.launch()
	b.see("The background service isn't running.")
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		row    string
	}{
		"another version": {otherVersion, "Restart to finish updating"},
		"dies in the middle": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"rev":1,"snapshot":{"schema":1,"state":"running","netw`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "⚠ The background service isn't running."},
		"speaks nonsense": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "\x00\xff{}[]]]")
		}, "⚠ The background service isn't running."},
		"answers with a megabyte in a line": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("x", 1<<20))
		}, "⚠ The background service isn't running."},
		"refuses the account": {refusing, "⚠ The service does not answer this account. What is connected stays connected."},
	} {
		stop := impostor(t, b.sock, tc.answer)
		b.menuHas(tc.row)
		for _, l := range b.host.labels() {
			if strings.Contains(l, "Connected") {
				t.Errorf("%s: the menu says %q", name, l)
			}
		}
		b.shot(strings.ReplaceAll(name, " ", "-"))
		stop()
	}
	if !alive(cmd.Process.Pid) {
		t.Fatal("the tray died")
	}
	member(t, b)
	b.menuHas("● Connected — 5 of 7 devices")
	b.see("Relayed via vps")
}

// TestHangingHelper is one that takes connections and says nothing: the app
// goes on saying that it waits.
func TestHangingHelper(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	end := make(chan struct{})
	impostor(t, b.sock, func(http.ResponseWriter, *http.Request) { <-end })
	t.Cleanup(func() { close(end) })
	b.launch()
	b.menuHas("○ Reaching the background service…")
	b.see("Reaching the background service…")
	b.click("Settings")
	b.see("Start Kith at login") // it is alive
	b.shot("hanging")
}

// TestFlood sends a change a millisecond about 5,000 devices, and holds both
// processes to memory and life.
func TestFlood(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHelper()
	n := home("laptop")
	for i := range 5000 {
		p := peers()[i%6]
		p.Name = fmt.Sprintf("host-%04d", i)
		p.FQDN, p.Key = p.Name+".home.internal", fmt.Sprintf("k%d", i)
		n.Peers = append(n.Peers, p)
	}
	h.change(func(st *ipc.Status) { st.Networks = []ipc.Network{n} })
	h.start(t, b.sock)
	cmd := b.launch()
	b.see("host-0000")
	win := b.windowPid()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i := 0; ctx.Err() == nil; i++ {
		h.net(func(n *ipc.Network) { n.Peers[i%5000].LatencyMS = ptr(float64(i % 300)) })
		<-time.After(time.Millisecond)
	}
	start := time.Now()
	b.typing("host-4999")
	b.see("1 device")
	t.Logf("after the flood a search takes %v; window VmRSS %d kB, tray %d kB", time.Since(start), status(t, win, "VmRSS"), status(t, cmd.Process.Pid, "VmRSS"))
	if !alive(cmd.Process.Pid) || !alive(win) {
		t.Error("a process died")
	}
	h.net(func(n *ipc.Network) { n.Peers[7].Online = !n.Peers[7].Online }) // one more: what the flood took is given back
	rss := status(t, cmd.Process.Pid, "VmRSS")
	for end := time.Now().Add(patience); rss > trayBudget && time.Now().Before(end); {
		<-time.After(time.Second)
		rss = status(t, cmd.Process.Pid, "VmRSS")
	}
	t.Logf("tray process with 5,000 devices: VmRSS %d kB (anonymous %d kB)", rss, status(t, cmd.Process.Pid, "RssAnon"))
	if rss > trayBudget {
		t.Errorf("VmRSS %d kB is over 30 MiB", rss)
	}
}

// windowPid is the window process.
func (b *bed) windowPid() int {
	b.t.Helper()
	out, err := exec.Command("pgrep", "-f", "^"+app+" --window$").Output()
	var pid int
	if _, serr := fmt.Sscan(string(out), &pid); err != nil || serr != nil {
		b.t.Fatalf("no window process: %v %s", err, out)
	}
	return pid
}

// TestTwoUsers is an account that the helper lets look and one that it lets
// act, on one machine.
func TestTwoUsers(t *testing.T) {
	a := newBed(t, false)
	a.host.appear(t)
	h := member(t, a)
	// The second sees the same helper through a socket that grants less.
	r := newBed(t, false)
	r.host.appear(t)
	ln, err := transport.Listen(r.sock)
	if err != nil {
		t.Fatal(err)
	}
	reader := &readOnly{h}
	s := server.New(server.Config{Version: "0.1", Source: h.board, Authorizer: reader})
	h.verbs(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); <-done })
	a.launch()
	r.launch()
	a.see("nas")
	r.see("Your account can view but not change the VPN.")
	a.host.click(a, "vps")
	a.menuHas("Exit node: vps")
	r.menuHas("Exit node: vps") // it sees the change
	r.menuLocks("None")
	if _, ok := findRow(r.host.menu(), "Disconnect"); ok {
		t.Error("who may look can disconnect")
	}
	r.shot("reader")
}

// readOnly lets look.
type readOnly struct{ *helper }

func (r *readOnly) Rights(transport.Identity) []ipc.Right { return nil }

func (r *readOnly) Authorize(_ transport.Identity, v ipc.Verb) error {
	switch v {
	case ipc.VerbVersion, ipc.VerbStatus, ipc.VerbWatch, ipc.VerbPreview:
		return nil
	}
	return ipc.Errorf(ipc.CodePermission, "no")
}

// TestBareSession has no session bus, no notification service and a home that
// cannot be written to.
func TestBareSession(t *testing.T) {
	b := newBed(t, false)
	for i, e := range b.env {
		if strings.HasPrefix(e, "DBUS_SESSION_BUS_ADDRESS=") {
			b.env[i] = "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent"
		}
	}
	home := filepath.Join(filepath.Dir(b.run), "home")
	b.until("no folder, which stops root, too", func() bool { // the window manager keeps something there
		return os.RemoveAll(home) == nil && os.WriteFile(home, nil, 0o400) == nil
	})
	member(t, b)
	cmd := b.launch()
	b.see("Relayed via vps")
	b.see("This desktop shows no tray icons.") // the words of welcome, where they cannot be kept
	b.shot("1-bare")
	b.click("OK")
	b.click("Settings")
	b.see("This desktop shows no tray icons.")
	b.click("Start Kith at login")
	b.see("Could not change it:")
	b.shot("2-readonly")
	b.click("OK")
	b.click("Devices")
	b.key("Down", "Return")
	b.see("Copied")
	if !alive(cmd.Process.Pid) {
		t.Error("the app died")
	}
}
