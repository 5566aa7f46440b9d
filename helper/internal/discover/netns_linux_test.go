package discover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

const wallOff = `table inet wall { chain input { type filter hook input priority 0; policy drop; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }`

// seenOn is what netmon would see on the host.
func seenOn(h *netnstest.Host) (out []netmon.Interface) {
	for _, i := range h.Interfaces() {
		out = append(out, netmon.Interface{
			Index: i.Index, Name: i.Name, MTU: i.MTU, Prefixes: i.Prefixes,
			Up:           i.Up(),
			Multicast:    i.Flags&net.FlagMulticast != 0,
			PointToPoint: i.Flags&net.FlagPointToPoint != 0,
			Loopback:     i.Flags&net.FlagLoopback != 0,
		})
	}
	return out
}

// inNamespace opens the host's multicast and announces in one group on it.
func inNamespace(t *testing.T, h *netnstest.Host, id byte, heard chan<- Heard) *Announcer {
	t.Helper()
	var m Multicast
	h.Do(func() { m = Open() })
	a := announcer(t, m)
	a.Set(seenOn(h), []Group{{Secret: [32]byte{1}, Speak: true, Port: 20000 + uint16(id), ID: [8]byte{id}, Handle: func(h Heard) {
		select {
		case heard <- h:
		default:
		}
	}}})
	return a
}

// await reads until every address in want was heard from, or fails.
func await(t *testing.T, heard <-chan Heard, want ...netip.AddrPort) {
	t.Helper()
	missing := map[netip.AddrPort]bool{}
	for _, w := range want {
		missing[w] = true
	}
	late := time.After(time.Minute)
	for len(missing) > 0 {
		select {
		case h := <-heard:
			delete(missing, h.From)
		case <-late:
			t.Fatalf("not heard within a minute: %v", missing)
		}
	}
}

// linkLocal is how the host at the other end of index knows h's address.
func linkLocal(t *testing.T, h *netnstest.Host, index int, port uint16) netip.AddrPort {
	t.Helper()
	for _, i := range h.Interfaces() {
		for _, p := range i.Prefixes {
			if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return netip.AddrPortFrom(udp.WithIndex(p.Addr(), index), port)
			}
		}
	}
	t.Fatalf("no link-local address: %v", h.Interfaces())
	return netip.AddrPort{}
}

func indexOf(h *netnstest.Host, name string) int {
	for _, i := range h.Interfaces() {
		if i.Name == name {
			return i.Index
		}
	}
	return 0
}

func TestNetnsHearEachOther(t *testing.T) {
	four := [2][]netip.Prefix{{netip.MustParsePrefix("192.0.2.1/24")}, {netip.MustParsePrefix("192.0.2.2/24")}}
	tests := []struct {
		name  string
		addrs [2][]netip.Prefix
		no6   bool
		wall  bool
	}{
		{name: "both families", addrs: four},
		{name: "IPv4 alone", addrs: four, no6: true},
		{name: "IPv6 link-local alone"},
		{name: "both families behind a firewall", addrs: four, wall: true},
		{name: "IPv4 alone behind a firewall", addrs: four, no6: true, wall: true},
		{name: "IPv6 link-local alone behind a firewall", wall: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := netnstest.New(t)
			lan := b.LAN("lan", netnstest.WireLike)
			var hosts [2]*netnstest.Host
			for i := range hosts {
				h := b.Host(fmt.Sprint("h", i))
				if tt.no6 {
					h.Run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1")
				}
				if i == 1 { // so that indexes differ
					h.Run("ip", "link", "add", "spare", "type", "veth", "peer", "name", "spare2")
				}
				h.Attach(lan, tt.addrs[i]...)
				if tt.wall {
					h.NFT(wallOff)
				}
				hosts[i] = h
			}
			var heard [2]chan Heard
			for i, h := range hosts {
				heard[i] = make(chan Heard, 100)
				a := inNamespace(t, h, byte(i+1), heard[i])
				if p := a.Problems(); p != nil {
					t.Errorf("host %d: %v", i, p)
				}
			}
			for i := range hosts {
				var want []netip.AddrPort
				port := uint16(20000 + 2 - i)
				for _, p := range tt.addrs[1-i] {
					want = append(want, netip.AddrPortFrom(p.Addr(), port))
				}
				if !tt.no6 {
					want = append(want, linkLocal(t, hosts[1-i], indexOf(hosts[i], "lan"), port))
				}
				await(t, heard[i], want...)
			}
		})
	}
}

// TestNetnsTwoProcessesShareThePort also follows an interface that comes late
// and one that goes.
func TestNetnsTwoProcessesShareThePort(t *testing.T) {
	b := netnstest.New(t)
	lan, late := b.LAN("lan"), b.LAN("late")
	h, far := b.Host("h"), b.Host("far")
	h.Attach(lan)
	far.Attach(late)
	heard := make(chan Heard, 100)
	one := inNamespace(t, h, 1, heard)
	inNamespace(t, h, 2, nil)
	await(t, heard, linkLocal(t, h, indexOf(h, "lan"), 20002))

	farHeard := make(chan Heard, 100)
	inNamespace(t, far, 3, farHeard)
	h.Detach(lan)
	h.Attach(late)
	one.Set(seenOn(h), []Group{{Secret: [32]byte{1}, Speak: true, Port: 20001, ID: [8]byte{1}, Handle: func(h Heard) { heard <- h }}})
	if p := one.Problems(); p != nil {
		t.Errorf("after the change: %v", p)
	}
	await(t, farHeard, linkLocal(t, h, indexOf(far, "late"), 20001))
}

// TestNetnsUnicastAndForeignGroupsAreIgnored sends valid announcements by ways
// that announcements do not come.
func TestNetnsUnicastAndForeignGroupsAreIgnored(t *testing.T) {
	b := netnstest.New(t)
	lan := b.LAN("lan")
	h, far := b.Host("h"), b.Host("far")
	h.Attach(lan, netip.MustParsePrefix("192.0.2.1/24"))
	far.Attach(lan, netip.MustParsePrefix("192.0.2.2/24"))
	heard := make(chan Heard, 100)
	inNamespace(t, h, 1, heard)
	secret := newSecret([32]byte{1})
	far.Run("ip", "route", "add", "224.0.0.0/4", "dev", "lan")
	far.Do(func() {
		for _, to := range []string{"192.0.2.1", "224.0.0.1"} {
			c, err := net.Dial("udp4", netip.AddrPortFrom(netip.MustParseAddr(to), Port).String())
			if err != nil {
				t.Error(err)
				return
			}
			c.Write(secret.seal(content{port: 1, id: [8]byte{2}}))
			c.Close()
		}
	})
	inNamespace(t, far, 3, nil)
	for got := range heard {
		if got.ID == [8]byte{2} {
			t.Errorf("heard %v", got)
		}
		if got.ID == [8]byte{3} {
			return
		}
	}
}

// TestNetnsWithoutRawSockets opens the sockets on a thread that lacks
// CAP_NET_RAW.
func TestNetnsWithoutRawSockets(t *testing.T) {
	b := netnstest.New(t)
	lan := b.LAN("lan")
	h, far := b.Host("h"), b.Host("far")
	h.Attach(lan)
	far.Attach(lan)
	heard := make(chan Heard, 100)
	var m Multicast
	var err error
	h.Do(func() {
		restore, cerr := dropNetRaw()
		if cerr != nil {
			err = cerr
			return
		}
		m = Open()
		err = restore()
	})
	if err != nil {
		t.Fatal(err)
	}
	a := announcer(t, m)
	a.Set(seenOn(h), []Group{{Secret: [32]byte{1}, ID: [8]byte{1}, Handle: func(h Heard) { heard <- h }}})
	if p := a.Problems(); len(p) != 1 || !errors.Is(p[0], unix.EPERM) {
		t.Errorf("problems: %v", p)
	}
	inNamespace(t, far, 2, nil)
	await(t, heard, linkLocal(t, far, indexOf(h, "lan"), 20002))
}

// dropNetRaw takes CAP_NET_RAW from the calling thread until restore.
func dropNetRaw() (restore func() error, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		return nil, err
	}
	without := had
	without[0].Effective &^= 1 << unix.CAP_NET_RAW
	return func() error { return unix.Capset(&header, &had[0]) }, unix.Capset(&header, &without[0])
}

func TestNetnsMulticast(t *testing.T) {
	b := netnstest.New(t)
	lan := b.LAN("lan")
	var s [2]station
	for i := range s {
		h := b.Host(fmt.Sprint("h", i))
		h.Attach(lan, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 24))
		h.Do(func() { s[i].Multicast = Open() })
		s[i].ifaces = seenOn(h)
	}
	testMulticast(t, s[0], s[1])
}

// TestNetnsPortIsTaken has another program keep the port of announcements to
// itself: discovery says so, and works once the port is free.
func TestNetnsPortIsTaken(t *testing.T) {
	b := netnstest.New(t)
	lan := b.LAN("lan")
	h, other := b.Host("h"), b.Host("other")
	h.Attach(lan, netip.MustParsePrefix("192.0.2.1/24"))
	other.Attach(lan, netip.MustParsePrefix("192.0.2.2/24"))
	var taken net.PacketConn
	var err error
	var s [2]station
	h.Do(func() {
		taken, err = net.ListenPacket("udp", fmt.Sprint(":", Port))
		s[0].Multicast = Open()
	})
	if err != nil {
		t.Fatal(err)
	}
	s[0].ifaces = seenOn(h)
	h.Do(func() { err = s[0].Join(s[0].ifaces) })
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Join while the port is taken: %v", err)
	}
	taken.Close()
	h.Do(func() { err = errors.Join(s[0].Join(s[0].ifaces), s[0].Join(nil)) })
	if err != nil {
		t.Errorf("Join once the port is free: %v", err)
	}
	other.Do(func() { s[1].Multicast = Open() })
	s[1].ifaces = seenOn(other)
	testMulticast(t, s[0], s[1])
}
