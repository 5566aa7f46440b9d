package e2e

import (
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kith.internal/ipc"
)

func TestNetnsFirewall(t *testing.T) {
	// What ufw does by default: nothing comes in that was not asked for, but
	// what IPv6 itself needs.
	const rules = `table inet fw {
		chain input {
			type filter hook input priority filter; policy drop;
			iif lo accept
			ct state established,related accept
			ct state invalid drop
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept
			icmp type echo-request accept
			icmpv6 type echo-request accept
		}
	}`
	t.Run("rules", func(t *testing.T) {
		b := newBed(t)
		a, c := b.node("laptop"), b.node("nas")
		a.host.NFT(rules)
		c.host.NFT(rules)
		behind(t, a, c)
	})
	if _, err := exec.LookPath("ufw"); err == nil {
		t.Run("ufw", func(t *testing.T) {
			b := newBed(t)
			a, c := b.node("laptop"), b.node("nas")
			a.ufw()
			c.ufw()
			behind(t, a, c)
		})
	}
}

func behind(t *testing.T, a, c *node) {
	t.Helper()
	a.start()
	c.start()
	a.create("home")
	c.joinBy(a.invite())
	c.reach("laptop.home.internal", patience)
	a.reach("nas.home.internal", patience)
	for range 2 {
		a.kill()
		c.kill()
		a.start()
		c.start()
		c.reach("laptop.home.internal", patience)
		a.reach("nas.home.internal", patience)
	}
	a.term()
	c.kith("status")
	a.start()
	c.reach("laptop.home.internal", patience)
	if p := c.status().Networks[0].Peers[0]; p.Path != ipc.PathLAN {
		t.Errorf("the path is %q", p.Path)
	}
}

func TestNetnsFirewallDropsAll(t *testing.T) {
	// Without even echo requests from the overlay: only answers come in.
	const rules = `table inet fw {
		chain input {
			type filter hook input priority filter; policy drop;
			iif lo accept
			iifname "kith*" accept
			ct state established,related accept
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		}
	}`
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
	a.host.NFT(rules)
	c.host.NFT(rules)
	behind(t, a, c)
}

// The same on a segment that has IPv6 link-local addresses alone.
func TestNetnsFirewallLinkLocal(t *testing.T) {
	const rules = `table inet fw {
		chain input {
			type filter hook input priority filter; policy drop;
			iif lo accept
			iifname "kith*" accept
			ct state established,related accept
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		}
	}`
	b := newBed(t)
	a, c := b.bare("laptop"), b.bare("nas")
	for _, n := range []*node{a, c} {
		n.host.Attach(b.lan, []netip.Prefix{}...)
		n.host.NFT(rules)
	}
	behind(t, a, c)
}

// ufw turns it on in the namespace, on a copy of its settings.
func (n *node) ufw() {
	n.t.Helper()
	dir := filepath.Join(n.dir, "ufw")
	const script = `set -e
		mkdir -p "$1/etc" "$1/lib"
		cp -a /etc/ufw/. "$1/etc"; cp -a /lib/ufw/. "$1/lib"
		mount --bind "$1/etc" /etc/ufw; mount --bind "$1/lib" /lib/ufw
		ufw --force enable; ufw status verbose`
	x := n.exec("", "sh", "-c", script, "sh", dir)
	if x.code != 0 || !strings.Contains(x.out, "Status: active") || !strings.Contains(x.out, "deny (incoming)") {
		n.t.Fatalf("ufw: %v", x)
	}
}
