package firewall

import (
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

var (
	network = netip.MustParsePrefix("100.80.0.0/16")
	addr6   = netip.MustParsePrefix("fd12::/48")
)

func exprs(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func ipSaddr(op expr.CmpOp, prefix string) []expr.Any {
	return ipAddr(saddrOffset, op, prefix)
}

func ipAddr(offset uint32, op expr.CmpOp, prefix string) []expr.Any {
	p := netip.MustParsePrefix(prefix)
	a := p.Addr().As4()
	mask := addresses(netip.PrefixFrom(netip.IPv4Unspecified(), p.Bits())).hi
	for i := range mask {
		mask[i] ^= 0xff
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: a[:]},
	}
}

func iifname(op expr.CmpOp, data string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: []byte(data)},
	}
}

func oifname(op expr.CmpOp, data string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: []byte(data)},
	}
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: kind, Chain: chain}}
}

func drop() []expr.Any          { return verdict(expr.VerdictDrop, "") }
func accept() []expr.Any        { return verdict(expr.VerdictAccept, "") }
func jump(to string) []expr.Any { return verdict(expr.VerdictJump, to) }

func saddrLookup(set string, invert bool) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: saddrOffset, Len: 4},
		&expr.Lookup{SourceRegister: 1, SetName: set, Invert: invert},
	}
}

func between(from, to string) interval {
	a, b := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	return interval{a[:], b[:]}
}

const (
	eq, neq = expr.CmpOpEq, expr.CmpOpNeq
	tail    = "tailscale0\x00"
)

var hooks = map[string]*nftables.ChainHook{"in": nftables.ChainHookInput, "out": nftables.ChainHookOutput, "fwd": nftables.ChainHookForward}

var conntrack = []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, &expr.Cmp{Op: neq, Register: 1, Data: make([]byte, 4)}}

func TestJudge(t *testing.T) {
	sets := map[string][]interval{
		"bogons": {between("10.0.0.0", "10.255.255.255"), between("100.64.0.0", "100.127.255.255")},
		"half":   {between("100.80.0.0", "100.80.127.255"), between("100.80.128.0", "100.80.255.255")},
		"others": {between("10.0.0.0", "10.255.255.255")},
		"opaque": nil,
	}
	for _, c := range []struct {
		name string
		// chains by name; "in", "out", "fwd" are base chains
		chains map[string][][]expr.Any
		want   string
	}{
		{"nothing", map[string][][]expr.Any{"in": nil}, ""},
		{"Tailscale's", map[string][][]expr.Any{
			"in":       {jump("ts-input")},
			"ts-input": {exprs(ipSaddr(eq, "100.101.102.103/32"), iifname(eq, "lo\x00"), accept()), exprs(ipSaddr(eq, "100.115.92.0/23"), iifname(neq, tail), verdict(expr.VerdictReturn, "")), exprs(ipSaddr(eq, "100.64.0.0/10"), iifname(neq, tail), drop())},
		}, `ip filter ts-input: ip saddr 100.64.0.0/10 iifname != "tailscale0" drop`},
		{"the order of conditions does not matter", map[string][][]expr.Any{
			"in": {exprs(iifname(neq, tail), ipSaddr(eq, "100.64.0.0/10"), drop())},
		}, `ip filter in: iifname != "tailscale0" ip saddr 100.64.0.0/10 drop`},
		{"a rule for another interface", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), iifname(eq, "eth0\x00"), drop())}}, ""},
		{"a rule for all but ours", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), iifname(neq, "kith0\x00"), drop())}}, ""},
		{"a rule for all but names like ours", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), iifname(neq, "kith"), drop())}}, ""},
		{"a name that ours begins with", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), iifname(neq, "kith\x00"), drop())}}, `ip filter in: ip saddr 100.64.0.0/10 iifname != "kith" drop`},
		{"another range", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.81.0.0/16"), drop())}}, ""},
		{"a part of the range", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.80.7.0/24"), drop())}}, ""},
		{"all but another range", map[string][][]expr.Any{"in": {exprs(ipSaddr(neq, "192.168.0.0/16"), drop())}}, `ip filter in: ip saddr != 192.168.0.0/16 drop`},
		{"a byte of the address", map[string][][]expr.Any{"in": {exprs([]expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: saddrOffset, Len: 1}, &expr.Cmp{Op: eq, Register: 1, Data: []byte{100}},
		}, drop())}}, `ip filter in: ip saddr 100.0.0.0/8 drop`},
		{"accepted before", map[string][][]expr.Any{"in": {exprs(iifname(eq, "kith0\x00"), accept()), exprs(ipSaddr(eq, "100.64.0.0/10"), drop())}}, ""},
		{"some accepted before", map[string][][]expr.Any{"in": {exprs(conntrack, accept()), exprs(ipSaddr(eq, "100.64.0.0/10"), drop())}}, `ip filter in: ip saddr 100.64.0.0/10 drop`},
		{"only some dropped", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), conntrack, drop())}}, ""},
		{"everything dropped", map[string][][]expr.Any{"in": {drop()}}, ""},
		{"everything of ours dropped", map[string][][]expr.Any{"in": {exprs(iifname(eq, "kith0\x00"), drop())}}, ""},
		{"rejected", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), []expr.Any{&expr.Reject{}})}}, `ip filter in: ip saddr 100.64.0.0/10 drop`},
		{"rejected by iptables", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), []expr.Any{&expr.Match{Name: "comment"}, &expr.Target{Name: "REJECT"}})}}, `ip filter in: ip saddr 100.64.0.0/10 drop`},
		{"logged", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), []expr.Any{&expr.Target{Name: "LOG"}})}}, ""},
		{"a match of iptables that we do not know", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), []expr.Any{&expr.Match{Name: "statistic"}}, drop())}}, ""},
		{"a limit", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), []expr.Any{&expr.Limit{Over: true}}, drop())}}, ""},
		{"a mark", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, &expr.Cmp{Op: neq, Register: 1, Data: make([]byte, 4)}}, drop())}}, ""},
		{"what the library leaves out", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), []expr.Any{&expr.Cmp{Op: neq, Register: 1, Data: []byte{1}}}, drop())}}, ""},
		{"the other IP version", map[string][][]expr.Any{"in": {exprs([]expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: eq, Register: 1, Data: []byte{unix.NFPROTO_IPV6}}}, ipSaddr(eq, "100.64.0.0/10"), drop())}}, ""},
		{"our IP version", map[string][][]expr.Any{"in": {exprs([]expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: eq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}}}, ipSaddr(eq, "100.64.0.0/10"), drop())}}, `ip filter in: ip saddr 100.64.0.0/10 drop`},
		{"a range of addresses", map[string][][]expr.Any{"in": {exprs([]expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: saddrOffset, Len: 4},
			&expr.Range{Op: eq, Register: 1, FromData: []byte{100, 64, 0, 0}, ToData: []byte{100, 127, 255, 255}},
		}, drop())}}, `ip filter in: ip saddr 100.64.0.0-100.127.255.255 drop`},
		{"a range in two comparisons", map[string][][]expr.Any{"in": {exprs([]expr.Any{
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: saddrOffset, Len: 4},
			&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: []byte{100, 64, 0, 0}}, &expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: []byte{100, 128, 0, 0}},
		}, drop())}}, `ip filter in: ip saddr >= 100.64.0.0 ip saddr < 100.128.0.0 drop`},
		{"a set", map[string][][]expr.Any{"in": {exprs(saddrLookup("bogons", false), drop())}}, `ip filter in: ip saddr @bogons drop`},
		{"a set without it", map[string][][]expr.Any{"in": {exprs(saddrLookup("others", false), drop())}}, ""},
		{"not in a set", map[string][][]expr.Any{"in": {exprs(saddrLookup("others", true), drop())}}, `ip filter in: ip saddr != @others drop`},
		{"a set that cannot be read", map[string][][]expr.Any{"in": {exprs(saddrLookup("opaque", false), drop()), exprs(saddrLookup("opaque", true), drop()), exprs(saddrLookup("missing", false), drop())}}, ""},
		{"output", map[string][][]expr.Any{"out": {exprs(ipAddr(daddrOffset, eq, "100.64.0.0/10"), oifname(neq, tail), drop())}}, `ip filter out: ip daddr 100.64.0.0/10 oifname != "tailscale0" drop`},
		{"output of an interface", map[string][][]expr.Any{"out": {exprs(ipAddr(daddrOffset, eq, "100.64.0.0/10"), iifname(neq, tail), drop())}}, ""},
		{"Tailscale's forwarding", map[string][][]expr.Any{"fwd": {exprs(ipSaddr(eq, "100.64.0.0/10"), oifname(eq, tail), drop())}}, ""},
		{"forwarding", map[string][][]expr.Any{"fwd": {exprs(ipSaddr(eq, "100.64.0.0/10"), iifname(neq, tail), drop())}}, `ip filter fwd: ip saddr 100.64.0.0/10 iifname != "tailscale0" drop`},
		{"a jump for the range to a chain that drops", map[string][][]expr.Any{"in": {exprs(ipSaddr(eq, "100.64.0.0/10"), jump("bad"))}, "bad": {drop()}}, `ip filter bad: drop`},
		{"a jump for some", map[string][][]expr.Any{"in": {exprs(conntrack, jump("bad"))}, "bad": {exprs(ipSaddr(eq, "100.64.0.0/10"), drop())}}, ""},
		{"goto does not come back", map[string][][]expr.Any{"in": {verdict(expr.VerdictGoto, "ok"), exprs(ipSaddr(eq, "100.64.0.0/10"), drop())}, "ok": nil}, ""},
		{"a jump comes back", map[string][][]expr.Any{"in": {jump("ok"), exprs(ipSaddr(eq, "100.64.0.0/10"), drop())}, "ok": {verdict(expr.VerdictReturn, ""), accept()}}, `ip filter in: ip saddr 100.64.0.0/10 drop`},
		{"a chain that nobody jumps to", map[string][][]expr.Any{"in": nil, "bad": {exprs(ipSaddr(eq, "100.64.0.0/10"), drop())}}, ""},
		{"chains in a circle", map[string][][]expr.Any{"in": {jump("a")}, "a": {jump("in")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := &table{name: "ip filter", chains: map[string]*chain{}, sets: sets}
			for name, rules := range c.chains {
				tab.chains[name] = &chain{name: name, hook: hooks[name], rules: rules}
			}
			got, blocked := judge([]*table{tab}, kinds(network, "kith0", 7))
			if got != c.want || blocked != (c.want != "") {
				t.Errorf("got %q, %t, want %q", got, blocked, c.want)
			}
		})
	}
}

func FuzzMasked(f *testing.F) {
	f.Add([]byte{100, 80, 1, 2}, []byte{255, 192, 0, 0}, []byte{0, 0, 0, 0})
	f.Add([]byte{100, 80, 255, 255}, []byte{0, 255, 0, 255}, []byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, addr, mask, xor []byte) {
		if len(addr) != 4 || len(mask) != 4 || len(xor) != 4 {
			return
		}
		addr[0], addr[1] = 100, 80 // within the network
		v := addresses(network).masked(mask, xor)
		if len(v.lo) == 0 {
			return
		}
		got := make([]byte, 4)
		for i := range got {
			got[i] = addr[i]&mask[i] ^ xor[i]
		}
		if v.within(got, got) == never {
			t.Errorf("%v & %v ^ %v = %v is not within %v-%v", addr, mask, xor, got, v.lo, v.hi)
		}
	})
}
