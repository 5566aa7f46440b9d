package stub

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// guarded asks for those who are to learn nothing of the networks here: names that
// only those know are refused, and answers with an address that is none of the
// internet's.
type guarded struct {
	Forwarder
	public func(netip.Addr) bool
}

// Forward implements Forwarder.
func (g guarded) Forward(ctx context.Context, query []byte) ([]byte, error) {
	var q mdns.Msg
	if err := q.Unpack(query); err != nil {
		return nil, err
	}
	if len(q.Question) != 1 || localName(q.Question[0].Name) {
		return new(mdns.Msg).SetRcode(&q, mdns.RcodeRefused).Pack()
	}
	out, err := g.Forwarder.Forward(ctx, query)
	if err != nil {
		return nil, err
	}
	var m mdns.Msg
	if err := m.Unpack(out); err != nil {
		return nil, err
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		if slices.ContainsFunc(addrsIn(rr), func(a netip.Addr) bool { return !g.public(a) }) {
			return new(mdns.Msg).SetRcode(&q, mdns.RcodeRefused).Pack()
		}
	}
	return out, nil
}

// localDomains are names that mean something in one network alone: special ones
// (RFC 6761, 6762, 8375 and the reserved "internal"), those of appendix G of RFC
// 6762, and the reverse zones of private ranges (RFC 6303, 7793).
var localDomains = append([]string{
	"internal", "local", "localhost", "home.arpa", "lan", "home", "corp", "intranet", "private", "mail",
	"10.in-addr.arpa", "127.in-addr.arpa", "254.169.in-addr.arpa", "168.192.in-addr.arpa",
	"c.f.ip6.arpa", "d.f.ip6.arpa", "8.e.f.ip6.arpa", "9.e.f.ip6.arpa", "a.e.f.ip6.arpa", "b.e.f.ip6.arpa",
}, slices.Concat(reverse(172, 16, 31), reverse(100, 64, 127))...)

func reverse(net, first, last byte) (out []string) {
	for b := first; b <= last; b++ {
		a := netip.AddrFrom4([4]byte{net, b})
		name, _ := mdns.ReverseAddr(a.String())
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(name, "0.0."), "."))
	}
	return out
}

// localName tells whether a name means something in one network alone, as one of
// one label does.
func localName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name != "" && !strings.Contains(name, ".") {
		return true
	}
	return slices.ContainsFunc(localDomains, func(d string) bool { return name == d || strings.HasSuffix(name, "."+d) })
}

// addrsIn are the addresses that a record tells.
func addrsIn(rr mdns.RR) (out []netip.Addr) {
	add := func(ips ...[]byte) {
		for _, ip := range ips {
			if a, ok := netip.AddrFromSlice(ip); ok {
				out = append(out, a.Unmap())
			}
		}
	}
	hints := func(list []mdns.SVCBKeyValue) {
		for _, v := range list {
			switch v := v.(type) {
			case *mdns.SVCBIPv4Hint:
				for _, ip := range v.Hint {
					add(ip)
				}
			case *mdns.SVCBIPv6Hint:
				for _, ip := range v.Hint {
					add(ip)
				}
			}
		}
	}
	switch r := rr.(type) {
	case *mdns.A:
		add(r.A)
	case *mdns.AAAA:
		add(r.AAAA)
	case *mdns.SVCB:
		hints(r.Value)
	case *mdns.HTTPS:
		hints(r.Value)
	}
	return out
}
