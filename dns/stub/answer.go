package stub

import (
	"encoding/binary"
	"strings"

	mdns "github.com/miekg/dns"

	"kith.internal/dns"
)

const (
	headerLen   = 12
	ttl         = uint32(dns.TTL / 1e9)
	negativeTTL = uint32(dns.NegativeTTL / 1e9)
)

// scratch is what one answer needs, kept from query to query so that the
// common ones allocate no more than the codec does. Not for two goroutines.
type scratch struct {
	req, rep mdns.Msg
	udpSize  int // what the client takes, 0 without EDNS0
	answers  [2]mdns.RR
	ns, ex   [1]mdns.RR
	a        mdns.A
	aaaa     mdns.AAAA
	ptr      mdns.PTR
	soa      mdns.SOA
	nsrr     mdns.NS
	opt      mdns.OPT
	ip4      [4]byte
	ip6      [16]byte
	out      [1536]byte // our own answers fit, names being at most 255 bytes
}

func newScratch() *scratch { return new(scratch) }

// limit is the size an answer over UDP may have.
func (sc *scratch) limit() int { return min(max(sc.udpSize, minUDP), maxUDP) }

// answer makes the reply to a message; nil is silence. If it says foreign, the
// message is well-formed and the question is for others to answer. What it
// returns is valid until the next call.
func (sc *scratch) answer(zones *dns.Zones, in []byte) (out []byte, foreign bool) {
	if len(in) < headerLen || in[2]&0x80 != 0 {
		return nil, false // an answer to an answer would never end
	}
	if in[2]>>3&15 != mdns.OpcodeQuery {
		return bareReply(in, mdns.RcodeNotImplemented), false
	}
	if !countsHonest(in) || sc.req.Unpack(in) != nil || len(sc.req.Question) != 1 {
		return bareReply(in, mdns.RcodeFormatError), false
	}
	if rcode := sc.begin(); rcode != mdns.RcodeSuccess {
		return sc.finish(rcode), false
	}
	q := &sc.req.Question[0]
	if q.Qclass != mdns.ClassINET || q.Qtype == mdns.TypeAXFR || q.Qtype == mdns.TypeIXFR {
		return sc.finish(mdns.RcodeRefused), false
	}
	found := zones.Lookup(strings.ToLower(q.Name))
	if found.Verdict == dns.Foreign || found.Short && aboutDelegation(q.Qtype) {
		return nil, true
	}
	sc.rep.Authoritative = true
	sc.fill(q, &found)
	if found.Verdict == dns.Missing {
		return sc.finish(mdns.RcodeNameError), false
	}
	return sc.finish(mdns.RcodeSuccess), false
}

// countsHonest refuses messages whose sections no query has: one question, an
// OPT and a signature at most.
func countsHonest(in []byte) bool {
	count := func(i int) uint16 { return binary.BigEndian.Uint16(in[i:]) }
	return count(4) == 1 && count(6) == 0 && count(8) == 0 && count(10) <= 2
}

// aboutDelegation are the types asked of a top-level domain, which a device
// may share its name with.
func aboutDelegation(t uint16) bool {
	switch t {
	case mdns.TypeNS, mdns.TypeSOA, mdns.TypeDS, mdns.TypeDNSKEY:
		return true
	}
	return false
}

// begin makes the reply's head, and its OPT record where the query has one
// (RFC 6891 §6.1).
func (sc *scratch) begin() int {
	req := &sc.req
	sc.rep = mdns.Msg{MsgHdr: mdns.MsgHdr{
		Id: req.Id, Response: true, Opcode: req.Opcode,
		RecursionDesired: req.RecursionDesired, RecursionAvailable: true, CheckingDisabled: req.CheckingDisabled,
	}, Question: req.Question}
	sc.udpSize = 0
	var opt *mdns.OPT
	for _, rr := range req.Extra {
		o, ok := rr.(*mdns.OPT)
		if !ok {
			continue
		}
		if opt != nil {
			return mdns.RcodeFormatError
		}
		opt = o
	}
	if opt == nil {
		return mdns.RcodeSuccess
	}
	sc.udpSize = int(opt.UDPSize())
	sc.opt = mdns.OPT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeOPT, Class: maxUDP}}
	if opt.Do() {
		sc.opt.SetDo()
	}
	sc.ex[0] = &sc.opt
	sc.rep.Extra = sc.ex[:]
	if opt.Version() != 0 {
		return mdns.RcodeBadVers
	}
	return mdns.RcodeSuccess
}

// fill puts in the records; where there are none, the SOA that says how long
// that holds (RFC 2308 §3).
func (sc *scratch) fill(q *mdns.Question, found *dns.Answer) {
	n := 0
	add := func(rr mdns.RR) { sc.answers[n] = rr; n++ }
	want := func(t uint16) bool { return q.Qtype == t || q.Qtype == mdns.TypeANY }
	switch {
	case found.Host != nil:
		if a := found.Host.V4; a.IsValid() && want(mdns.TypeA) {
			sc.ip4 = a.As4()
			sc.a = mdns.A{Hdr: header(q.Name, mdns.TypeA), A: sc.ip4[:]}
			add(&sc.a)
		}
		if a := found.Host.V6; a.IsValid() && want(mdns.TypeAAAA) {
			sc.ip6 = a.As16()
			sc.aaaa = mdns.AAAA{Hdr: header(q.Name, mdns.TypeAAAA), AAAA: sc.ip6[:]}
			add(&sc.aaaa)
		}
	case found.PTR != "" && want(mdns.TypePTR):
		sc.ptr = mdns.PTR{Hdr: header(q.Name, mdns.TypePTR), Ptr: found.PTR}
		add(&sc.ptr)
	case found.Apex:
		if want(mdns.TypeSOA) {
			sc.setSOA(q.Name, found.Origin)
			add(&sc.soa)
		}
		if want(mdns.TypeNS) {
			sc.nsrr = mdns.NS{Hdr: header(q.Name, mdns.TypeNS), Ns: found.Origin}
			add(&sc.nsrr)
		}
	}
	sc.rep.Answer = sc.answers[:n]
	if n == 0 {
		sc.setSOA(found.Origin, found.Origin)
		sc.ns[0] = &sc.soa
		sc.rep.Ns = sc.ns[:]
	}
}

func header(name string, t uint16) mdns.RR_Header {
	return mdns.RR_Header{Name: name, Rrtype: t, Class: mdns.ClassINET, Ttl: ttl}
}

// setSOA names the zone itself as its server, as locally served zones do (RFC
// 6303 §3): a name of a device's could be taken.
func (sc *scratch) setSOA(owner, origin string) {
	sc.soa = mdns.SOA{Hdr: header(owner, mdns.TypeSOA), Ns: origin, Mbox: "nobody.invalid.",
		Serial: 1, Refresh: 3600, Retry: 1200, Expire: 604800, Minttl: negativeTTL}
	sc.soa.Hdr.Ttl = negativeTTL
}

func (sc *scratch) finish(rcode int) []byte {
	sc.rep.Rcode = rcode
	out, err := sc.rep.PackBuffer(sc.out[:])
	if err != nil {
		return sc.servfail()
	}
	return out
}

// servfail answers the message last unpacked.
func (sc *scratch) servfail() []byte {
	sc.rep.Answer, sc.rep.Ns, sc.rep.Authoritative = nil, nil, false
	sc.rep.Rcode = mdns.RcodeServerFailure
	out, err := sc.rep.PackBuffer(sc.out[:])
	if err != nil {
		return nil
	}
	return out
}

// bareReply is a header alone, for what could not be read or must not cost.
func bareReply(in []byte, rcode int) []byte {
	out := make([]byte, headerLen)
	copy(out, in[:2])
	out[2] = 0x80 | in[2]&0x79  // QR, and opcode and RD as asked
	out[3] = 0x80 | byte(rcode) // RA
	return out
}

// truncate cuts an upstream's answer to size and sets TC.
func truncate(msg []byte, size int) ([]byte, error) {
	var m mdns.Msg
	if err := m.Unpack(msg); err != nil {
		return nil, err
	}
	m.Truncate(size)
	return m.Pack()
}
