package osconf

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/dns/plan"
)

func TestParseResolvConf(t *testing.T) {
	tests := []struct {
		name, in, hostname string
		want               Base
	}{
		{"usual", "# c\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch a.example b.example\noptions edns0\noptions ndots:2 rotate\n", "box",
			Base{servers("192.0.2.1", "fe80::1%eth0"), []string{"a.example", "b.example"}, []string{"edns0", "ndots:2", "rotate"}}},
		{"last of domain and search counts", "search a.example\ndomain b.example\nnameserver\t192.0.2.1\t# x\n", "box", Base{servers("192.0.2.1"), []string{"b.example"}, nil}},
		{"none is loopback", "", "box", Base{Nameservers: servers("127.0.0.1")}},
		{"any address is loopback", "nameserver 0.0.0.0\nnameserver 0.0.0.0\n", "", Base{Nameservers: servers("127.0.0.1")}},
		{"the host's own domain", "nameserver 192.0.2.1\n", "box.corp.example", Base{servers("192.0.2.1"), []string{"corp.example"}, nil}},
		{"malformed lines", " nameserver 6.6.6.6\nnameserver\nnameserver x\nsearch a b\x00c \x1b[2J\nNAMESERVER 7.7.7.7\nnameserver 192.0.2.1", "", Base{servers("192.0.2.1"), []string{"a"}, nil}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, parseResolvConf([]byte(tt.in)).base(tt.hostname, nil), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func servers(list ...string) (out []netip.AddrPort) {
	for _, s := range list {
		out = append(out, netip.AddrPortFrom(netip.MustParseAddr(s), 53))
	}
	return out
}

func TestRender(t *testing.T) {
	got := render(plan.OSConfig{Nameservers: []netip.Addr{netip.MustParseAddr("100.101.0.1")}, Search: []string{"home.internal", "corp.example"}},
		parseResolvConf([]byte("nameserver 192.0.2.1\nsearch corp.example\noptions ndots:2\noptions edns0\nsortlist 10.0.0.0\n")),
		[]string{"kithd cleanup", "cp /var/lib/kith/resolv.conf.before /etc/resolv.conf"})
	want := `# Written by kith (kithd): it answers for the names of your networks and passes the rest on.
# kithd puts the former file back when it stops. If it cannot, either of these does:
#   kithd cleanup
#   cp /var/lib/kith/resolv.conf.before /etc/resolv.conf
nameserver 100.101.0.1
search home.internal corp.example
options ndots:2 edns0
sortlist 10.0.0.0
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

// FuzzResolvConf: whatever stood there, our file says what the plan says.
func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\nsearch a b\noptions x\n"))
	f.Add([]byte("options a\rnameserver 6.6.6.6\nsortlist \x00\nx\n"))
	f.Add([]byte("domain\nsearch .\nnameserver ::%\xff\n"))
	want := plan.OSConfig{Nameservers: []netip.Addr{netip.MustParseAddr("100.101.0.1")}, Search: []string{"home.internal"}}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := parseResolvConf(in)
		out := render(want, c, nil)
		got := parseResolvConf(out)
		if !isOurs(out) || len(got.nameservers) != 1 || got.nameservers[0] != want.Nameservers[0] || strings.Join(got.search, " ") != "home.internal" {
			t.Errorf("%q became %q", in, out)
		}
		if bytes.ContainsAny(out, "\x00\r\x1b") {
			t.Errorf("control characters in %q", out)
		}
		if d := cmp.Diff(c.options, got.options); d != "" {
			t.Errorf("options of %q: %s", in, d)
		}
		if len(parseResolvConf(strip(out)).nameservers) != 0 {
			t.Error("strip leaves nameservers")
		}
		c.base("a.b", nil)
	})
}
