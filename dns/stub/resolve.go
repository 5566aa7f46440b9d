package stub

import (
	"net/netip"
	"strings"

	mdns "github.com/miekg/dns"

	"kith.internal/dns"
)

// canary is the name by which a browser asks whether to leave resolving to the
// host: "no such name" keeps it from going around us.
// https://support.mozilla.org/kb/canary-domain-use-application-dnsnet
const canary = "use-application-dns.net."

// maxCNAMEs bounds a chain that goes through several networks' records; within
// one the zone has seen to it.
const maxCNAMEs = 12

// resolve puts records into the reply. If it says foreign, sc.over is what to ask.
func (sc *scratch) resolve(zones *dns.Zones, q *mdns.Question) (rcode int, foreign bool) {
	name, owner := strings.ToLower(q.Name), q.Name
	for hops := 0; ; hops++ {
		found := zones.Lookup(name)
		cname := found.Custom != nil && found.Custom.CNAME != "" && q.Qtype != mdns.TypeCNAME && q.Qtype != mdns.TypeANY
		switch {
		case found.Verdict == dns.Foreign && name == canary:
			found = dns.Answer{Verdict: dns.Missing, Origin: canary}
		case found.Verdict == dns.Foreign || passes(q.Qtype, &found):
			sc.handOver(q, name, hops, found.Verdict != dns.Foreign)
			return 0, true
		case cname && hops == maxCNAMEs:
			sc.answers = sc.room[:0]
			return mdns.RcodeServerFailure, false
		case cname:
			sc.answers = append(sc.answers, &mdns.CNAME{Hdr: header(owner, mdns.TypeCNAME), Target: found.Custom.CNAME})
			name, owner = found.Custom.CNAME, found.Custom.CNAME
			continue
		}
		sc.rep.Authoritative = true
		sc.fill(owner, q.Qtype, &found)
		if found.Verdict == dns.Missing {
			return mdns.RcodeNameError, false
		}
		return mdns.RcodeSuccess, false
	}
}

// passes are questions for others although the name is known here: how a domain
// is delegated, and what records of ours do not stand in for.
func passes(qtype uint16, found *dns.Answer) bool {
	if found.Short || found.Override {
		switch qtype {
		case mdns.TypeNS, mdns.TypeSOA, mdns.TypeDS, mdns.TypeDNSKEY:
			return true
		}
	}
	c := found.Custom
	if !found.Override || c.Whole || qtype == mdns.TypeANY {
		return false
	}
	switch qtype {
	case mdns.TypeTXT:
		return len(c.TXT) == 0
	case mdns.TypeSRV:
		return len(c.SRV) == 0
	case mdns.TypeMX:
		return len(c.MX) == 0
	}
	return true
}

// fill puts in the records; where there are none, the SOA that says how long
// that holds (RFC 2308 §3).
func (sc *scratch) fill(owner string, qtype uint16, found *dns.Answer) {
	chain := len(sc.answers)
	want := func(t uint16) bool { return qtype == t || qtype == mdns.TypeANY }
	if h := found.Host; h != nil {
		if h.V4.IsValid() && want(mdns.TypeA) {
			sc.ip4 = h.V4.As4()
			sc.a = mdns.A{Hdr: header(owner, mdns.TypeA), A: sc.ip4[:]}
			sc.answers = append(sc.answers, &sc.a)
		}
		if h.V6.IsValid() && want(mdns.TypeAAAA) {
			sc.ip6 = h.V6.As16()
			sc.aaaa = mdns.AAAA{Hdr: header(owner, mdns.TypeAAAA), AAAA: sc.ip6[:]}
			sc.answers = append(sc.answers, &sc.aaaa)
		}
	}
	if found.PTR != "" && want(mdns.TypePTR) {
		sc.ptr = mdns.PTR{Hdr: header(owner, mdns.TypePTR), Ptr: found.PTR}
		sc.answers = append(sc.answers, &sc.ptr)
	}
	if found.Apex && want(mdns.TypeSOA) {
		sc.setSOA(owner, found.Origin)
		sc.answers = append(sc.answers, &sc.soa)
	}
	if found.Apex && want(mdns.TypeNS) {
		sc.answers = append(sc.answers, &mdns.NS{Hdr: header(owner, mdns.TypeNS), Ns: found.Origin})
	}
	if found.Custom != nil {
		sc.rep.Compress = true
		sc.answers = appendCustom(sc.answers, owner, found.Custom, want)
	}
	sc.rep.Answer = sc.answers
	if len(sc.answers) == chain {
		sc.setSOA(found.Origin, found.Origin)
		sc.ns[0] = &sc.soa
		sc.rep.Ns = sc.ns[:]
	}
}

// appendCustom adds the records that want takes.
func appendCustom(out []mdns.RR, owner string, c *dns.Custom, want func(uint16) bool) []mdns.RR {
	if c.CNAME != "" && want(mdns.TypeCNAME) {
		out = append(out, &mdns.CNAME{Hdr: header(owner, mdns.TypeCNAME), Target: c.CNAME})
	}
	addrs := func(t uint16, list []netip.Addr, make func(netip.Addr) mdns.RR) {
		if want(t) {
			for _, a := range list {
				out = append(out, make(a))
			}
		}
	}
	addrs(mdns.TypeA, c.V4, func(a netip.Addr) mdns.RR {
		return &mdns.A{Hdr: header(owner, mdns.TypeA), A: a.AsSlice()}
	})
	addrs(mdns.TypeAAAA, c.V6, func(a netip.Addr) mdns.RR {
		return &mdns.AAAA{Hdr: header(owner, mdns.TypeAAAA), AAAA: a.AsSlice()}
	})
	if want(mdns.TypeTXT) {
		for _, s := range c.TXT {
			out = append(out, &mdns.TXT{Hdr: header(owner, mdns.TypeTXT), Txt: textStrings(s)})
		}
	}
	if want(mdns.TypeSRV) {
		for _, r := range c.SRV {
			out = append(out, &mdns.SRV{Hdr: header(owner, mdns.TypeSRV), Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: r.Target})
		}
	}
	if want(mdns.TypeMX) {
		for _, r := range c.MX {
			out = append(out, &mdns.MX{Hdr: header(owner, mdns.TypeMX), Preference: r.Preference, Mx: r.Target})
		}
	}
	return out
}

// textStrings cuts a text into strings of 255 bytes (RFC 1035 §3.3.14), spelled
// as the codec reads them: a backslash there begins an escape.
func textStrings(s string) []string {
	if s == "" {
		return []string{""}
	}
	var out []string
	for s != "" {
		n := min(len(s), 255)
		out = append(out, strings.ReplaceAll(s[:n], `\`, `\\`))
		s = s[n:]
	}
	return out
}
