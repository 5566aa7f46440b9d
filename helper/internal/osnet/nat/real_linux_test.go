package nat

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// talk has the member open a TCP connection to the public host, by IPv4 and IPv6:
// firewalls let pings pass.
func (w *world) talk() {
	w.t.Helper()
	for _, addr := range []string{public4 + ":8080", "[" + public6 + "]:8080"} {
		var l net.Listener
		var err error
		w.public_.Do(func() { l, err = net.Listen("tcp", addr) })
		if err != nil {
			w.t.Fatal(err)
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				c.Write([]byte(c.RemoteAddr().String()))
				c.Close()
			}
		}()
		w.member.Do(func() {
			c, derr := net.DialTimeout("tcp", addr, 20*time.Second)
			if err = derr; err == nil {
				c.SetReadDeadline(time.Now().Add(20 * time.Second))
				_, err = c.Read(make([]byte, 100))
				c.Close()
			}
		})
		if err != nil {
			w.t.Errorf("the member does not reach %s: %v", addr, err)
		}
		l.Close()
	}
}

// needs ends the test where a program is missing: installer/linux/deps.sh has it.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is needed: run installer/linux/deps.sh test", program)
	}
}

// under runs what a firewall's own tool does to the exit, with settings that are
// gone with the mount namespace that ip netns exec makes.
const under = `
mount -t tmpfs none /run; mkdir -p /run/dbus /run/firewalld /run/copy
for d in /etc/ufw /etc/firewalld; do [ ! -d $d ] || { cp -a $d /run/copy/; mount --bind /run/copy/${d#/etc/} $d; }; done
cp -a /etc/default/ufw /run/copy/ufw.default; mount --bind /run/copy/ufw.default /etc/default/ufw
`

func TestNetnsUFW(t *testing.T) {
	needs(t, "ufw")
	w := newWorld(t)
	h := start(t, w.exit)
	w.sh(w.exit, under+"ufw --force enable; ufw allow 22/tcp")
	before := w.sh(w.exit, hostState)
	if !strings.Contains(before, "ufw-user-forward") {
		t.Fatal("ufw is not there")
	}
	o := w.offer()
	o.Exit = true
	h.set(Config{Offers: []Offer{o}})
	w.reach(w.member, internet)
	w.talk()
	w.reach(w.lan, map[string]bool{member4: false, member6: false})
	h.set(Config{})
	w.same(before, "ufw, no offer any more")
}

func TestNetnsFirewalld(t *testing.T) {
	needs(t, "firewalld")
	w := newWorld(t)
	h := start(t, w.exit)
	daemon := w.exit.Command("sh", "-ec", under+`
		bus=$(dbus-daemon --system --fork --print-pid)
		firewalld --nofork --nopid >/dev/null 2>&1 &
		trap "kill $! $bus" EXIT
		for i in $(seq 60); do ! firewall-cmd --state >/dev/null 2>&1 || break; sleep 0.5; done
		firewall-cmd -q --add-interface=wan --zone=public
		echo ready
		read reload
		firewall-cmd -q --reload
		echo reloaded
		read end`)
	in, err := daemon.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		daemon.Wait()
	}()
	says := func(word string) {
		t.Helper()
		b := make([]byte, 100)
		if k, err := out.Read(b); err != nil || strings.TrimSpace(string(b[:k])) != word {
			t.Fatalf("firewalld says %q: %v", b[:k], err)
		}
	}
	says("ready")
	before := w.sh(w.exit, hostState)
	if !strings.Contains(before, "table inet firewalld") {
		t.Fatal("firewalld is not there")
	}
	o := w.offer()
	o.Exit = true
	h.set(Config{Offers: []Offer{o}})
	w.reach(w.member, internet)
	w.talk()
	w.reach(w.lan, map[string]bool{member4: false, member6: false})
	in.Write([]byte("\n"))
	says("reloaded")
	w.sh(w.exit, "sleep 0.5")
	w.reach(w.member, internet)
	w.talk()
	h.set(Config{})
	if after := w.sh(w.exit, "nft list ruleset"); strings.Contains(after, "kith0") || strings.Contains(after, natTable) {
		t.Errorf("something is left:\n%s", after)
	}
}
