package e2e

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/netnstest"
)

// hostRules is the rules of all programs on a host, without what they have counted,
// and the settings that decide about passing on.
const hostRules = `set +e; nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+//'
	(iptables-nft-save; ip6tables-nft-save) 2>/dev/null | grep -v '^#' | sed -E 's/.[0-9]+:[0-9]+.$//'
	ip rule; ip -6 rule
	sysctl -a 2>/dev/null | grep -e 'ip_forward ' -e '^net.ipv[46].conf.[^.]*.\(forwarding\|accept_ra\|rp_filter\|.*redirects\) ' | grep -v kith`

// firewalls are what else rules a host, as programs that run in its namespace.
// Each says "ready", and goes on until its standard input ends.
var firewalls = map[string]string{
	"ufw": ownSettings + `ufw --force enable; ufw allow 22/tcp`,
	"firewalld": ownSettings + `
		bus=$(dbus-daemon --system --fork --print-pid)
		firewalld --nofork --nopid >/dev/null 2>&1 &
		trap "kill $! $bus" EXIT
		for i in $(seq 120); do ! firewall-cmd --state >/dev/null 2>&1 || break; sleep 0.5; done
		firewall-cmd -q --add-interface=net-e1 --zone=public`,
	"Docker": `ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up
		sysctl -qw net.ipv4.ip_forward=1
		` + netnstest.DockerRules + `
		ip6tables-nft -P FORWARD DROP`,
	"iptables":         `iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP; iptables-nft -A FORWARD -s 10.66.0.0/16 -j ACCEPT`,
	"strict rp_filter": `for i in all default net-e1; do sysctl -qw net.ipv4.conf.$i.rp_filter=1; done`,
}

// ownSettings has a firewall's tools change nothing but copies, which are gone
// with the mount namespace that ip netns exec makes.
const ownSettings = `
	mount -t tmpfs none /run; mkdir -p /run/dbus /run/firewalld /run/copy
	for d in /etc/ufw /etc/firewalld /lib/ufw; do [ ! -d $d ] || { mkdir -p /run/copy$d; cp -a $d/. /run/copy$d; mount --bind /run/copy$d $d; }; done
	[ ! -e /etc/default/ufw ] || { cp -a /etc/default/ufw /run/copy/ufw.default; mount --bind /run/copy/ufw.default /etc/default/ufw; }
`

// TestNetnsExitFirewalls: an exit node passes on beside other programs' rules,
// which are as before whenever it does not offer, has stopped, or was killed and
// cleaned up after.
func TestNetnsExitFirewalls(t *testing.T) {
	w := newExitWorld(t)
	c, e := w.c, w.e1
	w.useE1()
	for name, script := range firewalls {
		t.Run(name, func(t *testing.T) {
			defer func(old *testing.T) { w.t = old }(w.t.(*testing.T))
			w.t = t
			for _, tool := range []string{"ufw", "firewalld"} {
				if name != tool {
					continue
				}
				if _, err := exec.LookPath(tool); err != nil {
					t.Fatalf("%s is needed: run installer/linux/deps.sh test", tool)
				}
			}
			e.term()
			bare := e.rules()
			end := w.firewall(script)
			before := e.rules()
			if before == bare {
				t.Fatal("there are no rules")
			}
			e.start()
			e.kith("exit", "offer", "off")
			e.meets(c)
			idle := e.rules()
			e.kith("exit", "offer", "on")
			w.leavesBy("e1", patience)
			if got := c.getent("web.test"); !strings.Contains(got, w.web[0].String()) {
				t.Errorf("web.test is %q", got)
			}
			if st := e.network().Exit; st.NAT != "kernel" {
				t.Errorf("passed on by %q", st.NAT)
			}
			e.kith("exit", "offer", "off")
			e.has(idle, "no offer any more")
			e.kith("exit", "offer", "on")
			w.leavesBy("e1", patience)
			e.term()
			e.has(before, "stopped")
			e.start()
			w.leavesBy("e1", patience)
			e.kill()
			if a := e.exec("", e.kithd, "cleanup", "--state-dir", e.state()); a.code != 0 {
				t.Errorf("cleanup: %v", a)
			}
			e.has(before, "killed, and cleaned up after")
			end()
			e.exec("", "sh", "-c", "nft flush ruleset; ip link del docker0; for i in all default net-e1; do sysctl -qw net.ipv4.conf.$i.rp_filter=0; done; sysctl -qw net.ipv4.ip_forward=0")
			e.start()
			w.leavesBy("e1", patience)
		})
	}
}

func (n *node) rules() string { n.t.Helper(); return n.exec("", "sh", "-c", hostRules).out }

func (n *node) has(want, when string) {
	n.t.Helper()
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(n.rules(), "\n")); d != "" {
		n.t.Errorf("%s: the host's rules are not as before (-before +after):\n%s", when, d)
	}
}

// firewall runs a script on the exit node and leaves what it started running.
func (w *exitWorld) firewall(script string) (end func()) {
	t := w.t
	t.Helper()
	cmd := w.e1.host.Command("sh", "-c", script+"\necho ready; read end")
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var said strings.Builder
	for b := make([]byte, 4096); !strings.HasSuffix(said.String(), "ready\n"); {
		k, err := out.Read(b)
		said.Write(b[:k])
		if err != nil {
			t.Fatalf("the firewall says %q: %v", said.String(), err)
		}
	}
	return func() { in.Close(); cmd.Wait() }
}
