package egress

import (
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/bypass"
)

// hostState is all of a host that egress may touch.
const hostState = `ip rule; ip -6 rule; nft list ruleset; ip route show table all | grep -v kith; ip -6 route show table all | grep -v kith; sysctl -a 2>/dev/null | grep -e '^net.ipv[46].conf' | grep -e forward -e filter -e mark -e accept | grep -v kith`

// TestNetnsLeaks holds the capture of the uplink against what has been set.
func TestNetnsLeaks(t *testing.T) {
	w := newWorld(t)
	w.echo()
	for _, key := range []string{"all", "default", "lan"} {
		w.client.Run("sysctl", "-qw", "net.ipv4.conf."+key+".rp_filter=1")
	}
	before := w.sh(w.client, hostState)
	check := func(when string) {
		t.Helper()
		w.storm()
		if leaks := w.tap.leaks(); len(leaks) > 0 {
			t.Errorf("%s: in clear: %q", when, leaks)
		}
		if !w.own("udp4") || !w.own("udp6") {
			t.Errorf("%s: our own sockets do not get through", when)
		}
	}
	w.storm()
	if all := w.tap.leaks(); len(all) < 20 {
		t.Fatalf("the storm is not seen without an exit: %q", all)
	}

	h := w.start()
	c := w.exit()
	h.set(c)
	w.tap.take()
	check("exit in use")
	none := c
	none.TUN, none.Index = "", 0
	h.set(none)
	check("no path yet")
	v4 := c
	v4.V6 = false
	h.set(v4)
	check("an exit without IPv6")
	other := c
	other.TUN, other.Index = "kith1", c.Own[1].Index
	h.set(other)
	check("another exit")

	h.kill()
	check("helper killed")
	w.sh(w.client, "ip link set lan down; ip link set lan up; ip addr add 2001:db8:1::10/64 dev lan nodad || true; sleep 0.2; ip route replace default via "+router4+"; ip -6 route replace default via "+router6)
	check("uplink lost and back, no helper")
	w.sh(w.client, "ip rule del prio 5311; ip -6 rule del prio 5311; ip route flush table 27496")
	check("rules deleted, no helper")

	h = w.start()
	check("helper back, nothing set yet")
	c = w.exit()
	h.set(c)
	check("set again")
	w.sh(w.client, "ip rule del prio 5311; ip -6 rule del prio 5300; ip route flush table 27496")
	check("rules deleted under the helper")
	if rules := w.sh(w.client, "ip rule; ip -6 rule; ip route show table 27496"); !strings.Contains(rules, "5311") || strings.Count(rules, "5300:") != 2 || !strings.Contains(rules, "default dev kith0") {
		t.Errorf("not put back:\n%s", rules)
	}
	h.set(Config{})
	if after := w.sh(w.client, hostState); after != before {
		t.Errorf("switched off, the host is not as before (-before +after):\n%s", cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
	}
	w.storm()
	if all := w.tap.leaks(); len(all) < 20 {
		t.Errorf("switched off, and still blocked: %q", all)
	}
}

// TestNetnsWaiting: what was sent before, and waits for a neighbour to be found,
// does not leave once it is.
func TestNetnsWaiting(t *testing.T) {
	for name, guarded := range map[string]bool{"no guard": false, "guard": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.start()
			w.client.Run("sysctl", "-qw", "net.ipv4.neigh.lan.mcast_solicit=100", "net.ipv6.neigh.lan.mcast_solicit=100")
			absent := []string{"192.168.1.77", "2001:db8:1::77"}
			w.client.Do(func() {
				for _, a := range absent {
					unix.Close(send(unix.SOCK_DGRAM, netip.MustParseAddr(a), 9999, "", netip.Addr{}))
				}
			})
			if guarded {
				h.set(w.exit())
			}
			w.sh(w.router, "ip addr add 192.168.1.77/24 dev lan; ip addr add 2001:db8:1::77/64 dev lan nodad")
			var seen []string
			for _, a := range absent {
				own := a + " udp " + strconv.Itoa(ownPort)
				for began := time.Now(); !slices.Contains(seen, own) && time.Since(began) < 20*time.Second; {
					w.client.Do(func() {
						d := net.Dialer{Control: bypass.Control}
						if c, err := d.Dial("udp", net.JoinHostPort(a, strconv.Itoa(ownPort))); err == nil {
							c.Write([]byte("sealed"))
							c.Close()
						}
					})
					seen = append(seen, w.tap.take()...)
				}
				if !slices.Contains(seen, own) {
					t.Fatalf("%s is not found: %q", a, seen)
				}
				if slices.Contains(seen, a+" udp 9999") == guarded {
					t.Errorf("seen: %q", seen)
				}
			}
		})
	}
}

// TestNetnsFlush has others flush the whole ruleset: routes hold meanwhile, and
// the guard is back.
func TestNetnsFlush(t *testing.T) {
	w := newWorld(t)
	w.echo()
	h := w.start()
	h.set(w.exit())
	w.tap.take()
	w.client.Run("nft", "flush", "ruleset")
	w.tap.take() // what is bound to the uplink may leave until the guard is back
	if out := w.client.Run("nft", "list", "ruleset"); !strings.Contains(out, guardTable) {
		t.Fatalf("the guard is not back: %s", out)
	}
	w.storm()
	if leaks := w.tap.leaks(); len(leaks) > 0 {
		t.Errorf("in clear: %q", leaks)
	}
}

// TestNetnsLAN lets a LAN be reached, and nothing else.
func TestNetnsLAN(t *testing.T) {
	w := newWorld(t)
	w.echo()
	h := w.start()
	c := w.exit()
	c.AllowLAN = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
	h.set(c)
	w.tap.take()
	w.storm()
	got := w.tap.leaks()
	for _, want := range []string{"192.168.1.1 udp 9999", "192.168.1.1 tcp 443", "192.168.1.255 udp 9999", "224.0.0.251 udp 9999", "ff02::fb udp 9999"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is blocked", want)
		}
	}
	for _, g := range got {
		dst, err := netip.ParseAddr(strings.Fields(g)[0])
		if err != nil || strings.HasSuffix(g, " 53") || strings.HasSuffix(g, " 853") || !dst.IsMulticast() && !dst.IsLinkLocalUnicast() &&
			!c.AllowLAN[0].Contains(dst) && dst != netip.MustParseAddr("255.255.255.255") {
			t.Errorf("in clear: %s", g)
		}
	}
	w.sh(w.client, "ping -c1 -w20 "+router4)
	c.AllowLAN = nil
	h.set(c)
	w.tap.take()
	w.storm()
	if leaks := w.tap.leaks(); len(leaks) > 0 {
		t.Errorf("with the switch off: %q", leaks)
	}
}

// TestNetnsPortal lets what signing in takes pass, for the time being.
func TestNetnsPortal(t *testing.T) {
	w := newWorld(t)
	h := w.start()
	c := w.exit()
	c.Portal = true
	h.set(c)
	w.tap.take()
	w.storm()
	got := w.tap.leaks()
	for _, want := range []string{public4 + " udp 53", public4 + " tcp 443", public6 + " tcp 80", router4 + " udp 53"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is blocked", want)
		}
	}
	for _, g := range got {
		if strings.HasSuffix(g, " 9999") || strings.HasSuffix(g, " 853") || strings.Contains(g, "proto") {
			t.Errorf("in clear: %s", g)
		}
	}
}

// TestNetnsInside keeps networks within the machine reachable.
func TestNetnsInside(t *testing.T) {
	w := newWorld(t)
	c := w.bed.Host("container")
	w.sh(w.client, `ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up`)
	if out, err := exec.Command("ip", "-n", w.client.Namespace, "link", "add", "veth1", "type", "veth", "peer", "name", "eth0", "netns", c.Namespace).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.sh(w.client, `ip link set veth1 master docker0 up; sysctl -qw net.ipv4.ip_forward=1
		nft 'add table ip n; add chain ip n p { type nat hook postrouting priority 100; }; add rule ip n p ip saddr 172.17.0.0/16 oifname != "docker0" masquerade'`)
	w.sh(c, "ip addr add 172.17.0.2/16 dev eth0; ip link set eth0 up; ip route add default via 172.17.0.1; ping -c1 -w20 "+public4)
	h := w.start()
	h.set(w.exit())
	w.sh(w.client, "ping -c1 -w20 172.17.0.2")
	w.tap.take()
	w.sh(c, "ping -c2 -W1 "+public4+" || true")
	if leaks := w.tap.leaks(); len(leaks) > 0 {
		t.Errorf("a container's packets in clear: %q", leaks)
	}
	h.kill()
	w.sh(w.client, "ping -c1 -w20 172.17.0.2")
	w.sh(c, "ping -c2 -W1 "+public4+" || true")
	if leaks := w.tap.leaks(); len(leaks) > 0 {
		t.Errorf("helper killed: a container's packets in clear: %q", leaks)
	}
}

// TestNetnsCleanup undoes what a process left that is dead by now.
func TestNetnsCleanup(t *testing.T) {
	w := newWorld(t)
	before := w.sh(w.client, hostState)
	h := w.start()
	h.set(w.exit())
	h.kill()
	for range 2 {
		var err error
		w.client.Do(func() { err = Cleanup(w.journal) })
		if err != nil {
			t.Fatal(err)
		}
		if after := w.sh(w.client, hostState); after != before {
			t.Errorf("something is left:\n%s\nbecame\n%s", before, after)
		}
	}
}
