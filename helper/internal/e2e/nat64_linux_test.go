package e2e

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/siit"
	"kith.internal/ipc"
)

// nat64 makes a router whose LAN has IPv6 alone translate to IPv4 (RFC 6146):
// packets go through a TUN that translates without a state, and through the
// kernel's NAT before and after it.
func nat64(t *testing.T, r *netnstest.Host, client netip.Addr) {
	t.Helper()
	var dev tun.Device
	var err error
	r.Do(func() { dev, err = tun.CreateTUN("siit", 1500) })
	must(t, err)
	for _, line := range [][]string{
		{"link", "set", "siit", "up"},
		{"route", "add", "192.168.64.0/24", "dev", "siit"},
		{"-6", "route", "add", siit.Prefix.String(), "dev", "siit"},
	} {
		r.Run("ip", line...)
	}
	r.NFT(`table ip6 nat64 { chain pre { type nat hook prerouting priority dstnat; dnat prefix to ip6 daddr map { 64:ff9b::/96 : ` + siit.Prefix.String() + ` }; }; }`)
	table := siit.NewTable([]siit.Pair{{Four: netip.MustParseAddr("192.168.64.2"), Six: client}})
	done := make(chan bool)
	go func() {
		defer close(done)
		translate(dev, table)
	}()
	t.Cleanup(func() {
		dev.Close()
		<-done
	})
}

// translate sends each packet back as one of the other family.
func translate(dev tun.Device, table *siit.Table) {
	const room = 64
	bufs, sizes := make([][]byte, dev.BatchSize()), make([]int, dev.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, room+1<<16)
	}
	for id := uint16(1); ; id++ {
		n, err := dev.Read(bufs, sizes, room)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		for i := range n {
			p := bufs[i][room:][:sizes[i]]
			out := make([]byte, room, room+len(p)+64)
			if p[0]>>4 == 6 {
				out = table.Four(out, p, id)
			} else {
				out = table.Six(out, p)
			}
			if len(out) > room {
				dev.Write([][]byte{out}, room)
			}
		}
		if err != nil && n == 0 {
			return
		}
	}
}

// TestNetnsPathNAT64: A has IPv6 alone, behind a NAT64; the relay, which it joins
// by, and B, behind a NAT, have IPv4 alone.
func TestNetnsPathNAT64(t *testing.T) {
	w := newWorld(t)
	s := w.founder()
	s.host.Run("ip", "-6", "addr", "flush", "dev", "net-s", "scope", "global")
	r := w.bed.Router("ra")
	w.internet.Subnet("wan-a").Join(r, 0)
	r.Load(netnstest.HomeNAT("wan-a"))
	lan := r.Subnet("lan-a", "2001:db8:a::/64")
	home := w.site("b", netnstest.HomeNAT)
	a, b := w.member("a", lan), w.member("b", home.lan)
	nat64(t, r, lan.Addrs(a.host)[0])
	b.join(s)
	w.meet(s, b, a, patience, ipc.PathDirect)
	a.meets(s)
	until(t, "kith diag tells the relay's latency over UDP and TLS", patience, func() bool {
		c := a.diagnosis(ipc.CheckRelays)
		return strings.Contains(c.Detail, "UDP ") && strings.Contains(c.Detail, "TLS connects in")
	})
	if c := a.diagnosis(ipc.CheckHonest); !c.OK {
		t.Errorf("kith diag says %+v", c)
	}
}
