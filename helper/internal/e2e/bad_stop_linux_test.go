package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kith.internal/helper/internal/store"
)

// own is the interfaces of ours on a host.
func (n *node) own() (names []string) {
	for _, i := range n.host.Interfaces() {
		if strings.HasPrefix(i.Name, "kith") {
			names = append(names, i.Name)
		}
	}
	return names
}

func (n *node) resolvConf() string {
	n.t.Helper()
	b, err := os.ReadFile(n.resolv())
	if err != nil {
		n.t.Fatal(err)
	}
	return string(b)
}

// clean wants no trace of ours on the host.
func (n *node) clean(resolv string) {
	n.t.Helper()
	if got := n.resolvConf(); got != resolv {
		n.t.Errorf("resolv.conf is %q, was %q", got, resolv)
	}
	if own := n.own(); len(own) > 0 {
		n.t.Errorf("interfaces are left: %v", own)
	}
	for _, cmd := range [][]string{{"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"}, {"ip", "rule"}, {"nft", "list", "ruleset"}} {
		if x := n.exec("", cmd...); strings.Contains(x.out, "kith") || strings.Contains(x.out, "100.") {
			n.t.Errorf("%v: %s", cmd, x.out)
		}
	}
}

// journal counts what the stopped helper's store says is changed on the host.
func (n *node) journal() int {
	n.t.Helper()
	st, err := store.Open(n.state())
	if err != nil {
		n.t.Fatal(err)
	}
	defer st.Close()
	all, err := st.Journal()
	if err != nil {
		n.t.Fatal(err)
	}
	return len(all)
}

func TestNetnsStopRestoresAll(t *testing.T) {
	b := newBed(t)
	const mine = "# written by hand\nsearch lan\nnameserver 192.168.77.9\noptions timeout:1\n"
	a, c := b.node("laptop"), b.node("nas")
	if err := os.WriteFile(a.resolv(), []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	a.start()
	c.start()
	a.create("home")
	c.joinBy(a.invite())
	a.reach("nas", patience)
	if a.resolvConf() == mine || len(a.own()) != 1 {
		t.Fatalf("nothing to restore: %q, %v", a.resolvConf(), a.own())
	}
	a.term()
	a.clean(mine)
	if _, err := os.Stat(a.socket()); err == nil {
		t.Error("the socket is left")
	}
	if left := a.journal(); left > 0 {
		t.Errorf("%d entries are left in the journal", left)
	}
	a.start()
	a.reach("nas", patience)

	// Nobody restores anything at a kill: cleanup does.
	a.kill()
	if a.journal() == 0 {
		t.Error("the test proves nothing: a killed program left no entries in the journal")
	}
	if a.resolvConf() == mine {
		t.Error("the test proves nothing: resolv.conf was restored by a killed program")
	}
	if x := a.exec("", program(b.t, "kithd"), "cleanup", "--state-dir", a.state()); x.code != 0 {
		t.Errorf("cleanup: %v", x)
	}
	a.clean(mine)
	if left := a.journal(); left > 0 {
		t.Errorf("%d entries are left in the journal after cleanup", left)
	}
	if x := a.exec("", program(b.t, "kithd"), "cleanup", "--state-dir", a.state()); x.code != 0 || x.out+x.err != "" {
		t.Errorf("cleanup with nothing to do: %v", x)
	}
	a.start()
	a.reach("nas", patience)
	// The next start cleans up as well.
	a.kill()
	a.start()
	a.reach("nas", patience)
	a.term()
	a.clean(mine)
	// With down there is nothing on the host while it runs.
	a.start()
	a.kith("down")
	a.clean(mine)
	a.kith("up")
	a.reach("nas", patience)
	// kithd started by Ctrl-C's signal ends the same way.
	if code := a.end(syscall.SIGINT); code != 0 {
		t.Errorf("interrupted: exit %d", code)
	}
	a.clean(mine)
}

// This machine may have no service manager: it is said, and nothing is done.
func TestNetnsServiceManager(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here: this test would change the machine")
	}
	b := newBed(t)
	a := b.node("laptop")
	for _, tc := range []struct {
		args  []string
		code  int
		words []string
	}{
		{[]string{"status"}, 0, []string{"not installed"}},
		{[]string{"start"}, 1, []string{"kithd run", "service manager"}},
		{[]string{"stop"}, 1, []string{"service manager"}},
		{[]string{"install"}, 1, []string{"kithd run", "service manager"}},
		{[]string{"uninstall", "--state-dir", a.state()}, 0, []string{"not installed"}},
		{[]string{"run", "--dns", "perhaps"}, 2, []string{"--dns"}},
		{[]string{"run", "--operator", "no such user", "--state-dir", filepath.Join(a.dir, "other"), "--socket", a.socket()}, 6, []string{"--operator", "no such user"}},
		{[]string{"run", "--port", "70000"}, 2, []string{"--port"}},
		{[]string{"version"}, 0, []string{"kithd"}},
	} {
		x := a.exec("", append([]string{"timeout", "20", program(b.t, "kithd")}, tc.args...)...)
		if x.code != tc.code {
			t.Errorf("kithd %v: %v", tc.args, x)
		}
		for _, w := range tc.words {
			if !strings.Contains(x.out+x.err, w) {
				t.Errorf("kithd %v does not say %q: %v", tc.args, w, x)
			}
		}
	}
	for _, path := range []string{a.state(), "/etc/init.d/kithd", "/etc/systemd/system/kithd.service"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	a.start()
	a.create("home")
}
