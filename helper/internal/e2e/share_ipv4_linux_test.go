package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// serve4 sends bytes to who asks on a port by IPv4; nobody answers by IPv6.
func (n *node) serve4(port, bytes int) {
	n.t.Helper()
	var l net.Listener
	var err error
	n.host.Do(func() { l, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port)) })
	must(n.t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("x", bytes)) })}
	go srv.Serve(l)
	n.t.Cleanup(func() { srv.Close() })
}

// mapped is the IPv4 address by which n reaches its only share.
func (n *node) mapped() (a netip.Addr) {
	n.t.Helper()
	if s := n.received(); len(s.Devices) == 1 && s.Devices[0].IPv4 != nil {
		a = *s.Devices[0].IPv4
	}
	return a
}

// TestNetnsShareIPv4: programs that know IPv4 alone reach what is shared, by an
// address that is free on the friend's host.
func TestNetnsShareIPv4(t *testing.T) {
	_, nas, anna, phone, _ := friends(t)
	nas.serve4(81, 3<<20)
	anna.kithIn(nas.share("nas", "--port", "80-81/tcp"), "share", "accept", "-")
	works := func(n *node) {
		t.Helper()
		until(t, n.name+" has an IPv4 address for nas", patience, func() bool { return n.mapped().IsValid() })
		at := n.mapped()
		until(t, n.name+" answers A with it", patience, func() bool { return fmt.Sprint(n.ask("nas.home.internal", dns.TypeA)) == fmt.Sprint([]netip.Addr{at}) })
		n.gets("http://"+at.String()+"/", "hello", patience)
		if got := n.exec("", "curl", "-4", "-s", "--max-time", "20", "http://nas.home.internal:81/").out; len(got) != 3<<20 {
			t.Errorf("%s gets %d bytes by IPv4", n.name, len(got))
		}
		for _, args := range [][]string{{"-s", "56"}, {"-M", "do", "-s", "1372"}} { // 1400 bytes and the 20 more of IPv6
			if !n.ping(at.String(), args...) {
				t.Errorf("%s: ping %v %v is not answered", n.name, args, at)
			}
		}
		if n.ping(at.String(), "-M", "do", "-s", "1373") {
			t.Errorf("%s: a packet passes that is too large", n.name)
		}
		if got := n.exec("", "curl", "-s", "--max-time", "1", "http://"+at.String()+":82/"); got.code == 0 || got.code == 7 {
			t.Errorf("%s: a port that is not shared answers: %+v", n.name, got)
		}
	}
	works(anna)
	works(phone)
	own := *nas.network().Self.IPv4
	if got := anna.mapped(); got != own {
		t.Errorf("nas is at %v, not where it is at home, %v, which is free", got, own)
	}

	anna.host.Run("ip", "link", "add", "other", "type", "veth", "peer", "name", "far")
	anna.host.Run("ip", "link", "set", "other", "up")
	anna.host.Run("ip", "addr", "add", netip.PrefixFrom(own.Next(), 24).String(), "dev", "other")
	until(t, "anna maps it elsewhere", patience, func() bool { a := anna.mapped(); return a.IsValid() && a != own })
	works(anna)
	anna.host.NFT(`table ip other { chain input { type filter hook input priority 0; iifname != "vpn0" ip saddr 100.64.0.0/10 drop; }; }`)
	anna.host.Run("ip", "link", "set", "far", "up")
	until(t, "anna does without IPv4", patience, func() bool { return !anna.mapped().IsValid() })
	if got := anna.ask("nas.home.internal", dns.TypeA); len(got) > 0 {
		t.Errorf("without IPv4 there is %v", got)
	}
	anna.gets(nasURL, "hello", patience)
}
