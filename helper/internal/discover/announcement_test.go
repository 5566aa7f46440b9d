package discover

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/osnet/netmon"
)

func TestSealAndOpen(t *testing.T) {
	s, other := newSecret([32]byte{1}), newSecret([32]byte{2})
	for _, c := range []content{{1, [8]byte{}, false}, {65535, [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, true}} {
		b := s.seal(c)
		if got, ok := s.open(b); !ok || got != c {
			t.Errorf("%v became %v, %v", c, got, ok)
		}
		if _, ok := other.open(b); ok {
			t.Error("another secret opened it")
		}
		for i := range b {
			forged := append([]byte(nil), b...)
			forged[i] ^= 1
			if _, ok := s.open(forged); ok && wellFormed(forged) {
				t.Errorf("a change of byte %d passed", i)
			}
		}
	}
	if _, ok := s.open(s.seal(content{})); ok {
		t.Error("port 0 passed")
	}
}

func FuzzAnnouncement(f *testing.F) {
	s := newSecret([32]byte{1})
	f.Add(s.seal(content{20777, [8]byte{1}, true}))
	f.Add(newSecret([32]byte{2}).seal(content{20777, [8]byte{1}, true}))
	f.Add(make([]byte, size))
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, b []byte) {
		if !wellFormed(b) {
			return
		}
		if c, ok := s.open(b); ok && c.port == 0 {
			t.Errorf("%x opened as %v", b, c)
		}
	})
}

func TestLocalCandidates(t *testing.T) {
	iface := func(name string, flags netmon.Interface, prefixes ...string) netmon.Interface {
		flags.Name = name
		for _, p := range prefixes {
			flags.Prefixes = append(flags.Prefixes, netip.MustParsePrefix(p))
		}
		return flags
	}
	up := netmon.Interface{Up: true, Multicast: true}
	tunnel := netmon.Interface{Up: true, PointToPoint: true}
	got := LocalCandidates([]netmon.Interface{
		iface("lo", netmon.Interface{Up: true, Loopback: true}, "127.0.0.1/8", "::1/128"),
		iface("kith0", tunnel, "100.70.0.1/32", "fd00:1::1/128"),
		iface("tailscale0", tunnel, "100.101.0.1/32", "fe80::9/64"),
		iface("eth0", up, "203.0.113.5/24", "192.168.1.5/24", "2001:db8::5/64", "fe80::5/64"),
		iface("eth1", up, "10.0.0.5/8", "fe80::5/64"),
		iface("eth2", netmon.Interface{Multicast: true}, "10.9.0.5/8"),
	}, 20777, func(i netmon.Interface) bool { return i.Name == "kith0" })
	var want []netip.AddrPort
	for _, s := range []string{"fe80::5", "192.168.1.5", "10.0.0.5", "203.0.113.5", "2001:db8::5", "100.101.0.1"} {
		want = append(want, netip.AddrPortFrom(netip.MustParseAddr(s), 20777))
	}
	if d := cmp.Diff(want, got, compare); d != "" {
		t.Error(d)
	}
}
