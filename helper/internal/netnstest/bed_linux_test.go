package netnstest

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestNetnsHostsReachOneAnother(t *testing.T) {
	b := New(t)
	lan := b.LAN("lan", WireLike)
	one, two := b.Host("one"), b.Host("two")
	one.Attach(lan, netip.MustParsePrefix("192.0.2.1/24"))
	two.Attach(lan, netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64"))

	var server net.PacketConn
	var err error
	two.Do(func() { server, err = net.ListenPacket("udp", "192.0.2.2:7") })
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var client net.Conn
	one.Do(func() { client, err = net.Dial("udp", "192.0.2.2:7") })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 10)
	n, _, err := server.ReadFrom(buf)
	if err != nil || !bytes.Equal(buf[:n], []byte("hello")) {
		t.Fatalf("read %q: %v", buf[:n], err)
	}
}

func TestNetnsInterfaces(t *testing.T) {
	b := New(t)
	lan := b.LAN("lan")
	h := b.Host("h")
	h.Attach(lan, netip.MustParsePrefix("192.0.2.1/24"))
	var up []string
	for _, i := range h.Interfaces() {
		if i.Up() && i.Flags&net.FlagMulticast != 0 && i.Flags&net.FlagLoopback == 0 {
			up = append(up, i.Name)
			if len(i.Prefixes) != 2 || !i.Prefixes[1].Addr().IsLinkLocalUnicast() {
				t.Errorf("addresses of %s: %v", i.Name, i.Prefixes)
			}
		}
	}
	if len(up) != 1 || up[0] != "lan" {
		t.Errorf("interfaces up: %v", up)
	}
	b.SetCarrier(lan, false)
	if out := h.Run("ip", "link", "show", "lan"); !strings.Contains(out, "NO-CARRIER") {
		t.Errorf("without carrier: %s", out)
	}
	b.SetCarrier(lan, true)
	if out := h.Run("ip", "link", "show", "lan"); strings.Contains(out, "NO-CARRIER") {
		t.Errorf("with carrier again: %s", out)
	}
	h.NFT("table inet t { chain input { type filter hook input priority 0; policy drop; }; }")
	if out := h.Run("nft", "list", "ruleset"); !strings.Contains(out, "policy drop") {
		t.Errorf("rules: %s", out)
	}
	h.Detach(lan)
	if n := len(h.Interfaces()); n != 1 {
		t.Errorf("%d interfaces after Detach", n)
	}
}
