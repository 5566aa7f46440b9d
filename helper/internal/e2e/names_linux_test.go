package e2e

import (
	"net"
	"net/netip"
	"testing"
)

// TestNetnsPort53Taken: another resolver has port 53 of every address and shares
// it with nobody. Names are answered inside the TUN then, and on the device's own
// address again once the other has gone.
func TestNetnsPort53Taken(t *testing.T) {
	w := newBed(t)
	laptop, nas := w.start("laptop"), w.node("nas")
	laptop.create("home")
	var other net.PacketConn
	var err error
	nas.host.Do(func() { other, err = net.ListenPacket("udp", ":53") })
	must(t, err)
	defer other.Close()
	nas.start()
	nas.join(laptop)
	self := *laptop.network().Self.IPv4
	until(t, "nas resolves", patience, func() bool { return nas.getent("laptop") == self.String() })
	at, own := *nas.network().Self.DNS, *nas.network().Self.IPv4
	if four := own.As4(); at.Addr() != netip.AddrFrom4([4]byte{four[0], four[1], 255, 255}) {
		t.Errorf("names are answered at %v, beside another resolver on %v", at, own)
	}
	if got := nas.getent("laptop.home.internal"); got != self.String() {
		t.Errorf("laptop.home.internal is %q", got)
	}
	if got := nas.ask("laptop.home.internal", 1); len(got) != 1 || got[0] != self.String() {
		t.Errorf("asked at self.dns: %q", got)
	}
	// Neither the other members nor their packets get there.
	if a := laptop.exec("", "dig", "+time=1", "+tries=1", "@"+at.Addr().String(), "laptop.home.internal"); a.code == 0 {
		t.Errorf("another member is answered: %v", a)
	}
	other.Close()
	until(t, "the device's own address answers again", patience, func() bool {
		return *nas.network().Self.DNS == netip.AddrPortFrom(own, 53) && nas.getent("laptop") == self.String()
	})
}
