package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kith.internal/ipc"
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

// TestNetnsPort53Dnsmasq: dnsmasq has port 53 of every address, UDP and TCP, before
// kithd starts. Names resolve all the same, those whose answers want TCP too, and
// dnsmasq goes on with its own.
func TestNetnsPort53Dnsmasq(t *testing.T) {
	w := newBed(t)
	laptop, nas := w.start("laptop"), w.node("nas")
	laptop.create("home")
	for i := range 20 { // more than the 1,232 bytes of an answer by UDP
		laptop.kith("dns", "records", "add", "notes.example.com", "TXT", fmt.Sprint(i, strings.Repeat(" word", 20)))
	}
	nas.host.Run("ip", "link", "set", "lo", "up")
	dnsmasq := nas.host.Command("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--no-resolv", "--no-hosts", "--address=/dnsmasq.test/192.0.2.53")
	must(t, dnsmasq.Start())
	defer func() { dnsmasq.Process.Kill(); dnsmasq.Wait() }()
	dig := func(args ...string) []string {
		return strings.Fields(nas.exec("", append([]string{"dig", "+short", "+time=2", "+tries=1"}, args...)...).out)
	}
	until(t, "dnsmasq answers", patience, func() bool {
		return slices.Equal(dig("@127.0.0.1", "dnsmasq.test"), []string{"192.0.2.53"}) && slices.Equal(dig("+tcp", "@::1", "dnsmasq.test"), []string{"192.0.2.53"})
	})
	nas.start()
	nas.join(laptop)
	self := *laptop.network().Self.IPv4
	want := []string{self.String()}
	until(t, "nas resolves by TCP", patience, func() bool { return slices.Equal(dig("+tcp", "laptop.home.internal"), want) })
	self4, b := nas.network().Self.DNS.Addr(), nas.network().Self.IPv6.As16()
	clear(b[6:])
	b[15] = 53
	six := netip.AddrFrom16(b)
	for _, at := range []netip.Addr{self4, six} {
		for _, how := range []string{"+tcp", "+notcp"} {
			if got := dig("@"+at.String(), how, "laptop.home.internal"); !slices.Equal(got, want) {
				t.Errorf("laptop.home.internal, %s at %v, is %q", how, at, got)
			}
		}
	}
	if got := nas.exec("", "dig", "+short", "notes.example.com", "TXT").out; strings.Count(got, "\n") != 20 {
		t.Errorf("a truncated answer leads to %q", got)
	}
	if got := nas.getent("laptop"); got != self.String() {
		t.Errorf("laptop is %q", got)
	}
	if got := dig("@127.0.0.1", "+tcp", "dnsmasq.test"); !slices.Equal(got, []string{"192.0.2.53"}) {
		t.Errorf("dnsmasq answers %q", got)
	}
	for _, how := range []string{"+tcp", "+notcp"} {
		if a := laptop.exec("", "dig", how, "+time=1", "+tries=1", "@"+self4.String(), "laptop.home.internal"); a.code == 0 {
			t.Errorf("another member is answered, %s: %v", how, a)
		}
	}
	must(t, dnsmasq.Process.Signal(syscall.SIGTERM))
	until(t, "the device's own address answers by TCP", patience, func() bool {
		own := *nas.network().Self.IPv4
		return nas.network().Self.DNS.Addr() == own && slices.Equal(dig("+tcp", "@"+own.String(), "laptop.home.internal"), want)
	})
}

// TestNetnsDNSRepair: another program that keeps rewriting the resolver's settings
// is told of; repairing sets them up anew, and connections stay.
func TestNetnsDNSRepair(t *testing.T) {
	laptop := newBed(t).start("laptop")
	laptop.create("home")
	dns := laptop.network().Self.DNS.Addr().String()
	ours := func() bool { return strings.Contains(laptop.resolvConf(), dns) }
	until(t, "names are set up", patience, ours)
	// Each time it is written again, until that is given up.
	until(t, "it is given up", 4*patience, func() bool {
		if ours() {
			must(t, os.WriteFile(laptop.resolv(), []byte("# Generated by NetworkManager\nnameserver 192.0.2.53\n"), 0o644))
		}
		return laptop.health(ipc.HealthDNSOverridden)
	})
	if words := laptop.warning(ipc.HealthDNSOverridden); !strings.Contains(words, "NetworkManager replaced") || !strings.Contains(words, "kith dns repair") {
		t.Error(words)
	}
	laptop.kith("dns", "repair")
	if !ours() || laptop.health(ipc.HealthDNSOverridden) {
		t.Errorf("repaired, and yet: %v, %q", laptop.status().Health, laptop.resolvConf())
	}
	until(t, "names resolve", patience, func() bool { return laptop.getent("laptop") != "" })
}
