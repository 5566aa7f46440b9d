package e2e

import (
	"testing"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// TestNetnsNearby: without a link and without internet, by comparing digits.
func TestNetnsNearby(t *testing.T) {
	w := newBed(t)
	nearby(t, w.start("laptop"), w.start("nas"), w.start("tv"))
}

// TestNetnsNearbyLinkLocal: a LAN with IPv6 link-local addresses alone.
func TestNetnsNearbyLinkLocal(t *testing.T) {
	b := netnstest.New(t)
	lan := b.LAN("lan", netnstest.WireLike)
	var all []*node
	for _, name := range []string{"laptop", "nas", "tv"} {
		n := bareNode(t, b, name)
		n.host.Attach(lan)
		n.start()
		all = append(all, n)
	}
	nearby(t, all[0], all[1], all[2])
}

// nearby lets one in and refuses another.
func nearby(t *testing.T, admin, wanted, other *node) {
	t.Helper()
	admin.create("home")
	wanted.refuse(wanted.try("nearby", "join", "home", "--wait", "1s"), ipc.ExitTimeout)
	admin.kith("nearby", "open")
	joined := wanted.asksNearby(t)
	asking := admin.asked(t)
	var shown string
	until(t, "the digits are shown", patience, func() bool {
		for _, n := range read[ipc.NearbyList](wanted, "nearby", "list").Networks {
			if n.Digits != nil {
				shown = *n.Digits
			}
		}
		return shown != ""
	})
	if len(asking.Digits) != 6 || asking.Digits != shown {
		t.Errorf("the admin sees %q, %s shows %q", asking.Digits, wanted.name, shown)
	}
	admin.refuse(admin.try("nearby", "approve", wanted.name), ipc.ExitUsage, "ID")
	admin.kith("nearby", "approve", asking.ID)
	if a := <-joined; a.code != 0 {
		t.Fatalf("join: %v", a)
	}
	wanted.reach(admin.name+".home.internal", patience)
	admin.reach(wanted.name, patience)

	refused := other.asksNearby(t)
	admin.asked(t)
	admin.kith("nearby", "approve", "--refuse")
	other.refuse(<-refused, ipc.ExitPermission, "refused")
	if n := len(other.status().Networks); n != 0 {
		t.Errorf("refused, and in %d networks", n)
	}
	admin.kith("nearby", "open", "--close")
	until(t, "closed", 2*patience, func() bool { return len(read[ipc.NearbyList](other, "nearby", "list").Networks) == 0 })
}

// asksNearby asks to join the only open network.
func (n *node) asksNearby(t *testing.T) <-chan answer {
	out := make(chan answer, 1)
	cmd := n.host.Command(program(t, "kith"), "--socket", n.socket(), "nearby", "join", "--device", n.name)
	go func() { out <- n.run(cmd, "") }()
	return out
}

// asked waits until one device asks.
func (n *node) asked(t *testing.T) (a ipc.NearbyAsking) {
	t.Helper()
	until(t, "a device asks", patience, func() bool {
		all := read[ipc.NearbyList](n, "nearby", "list").Asking
		if len(all) == 1 {
			a = all[0]
		}
		return len(all) == 1
	})
	return a
}
