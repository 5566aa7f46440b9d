package stub

import (
	"encoding/binary"

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
	stream   bool // over TCP: answers need not be cut
	memo     memo
	over     handover
	udpSize  int // what the client takes, 0 without EDNS0
	plain    bool
	room     [4]mdns.RR
	answers  []mdns.RR
	ns, ex   [1]mdns.RR
	a        mdns.A
	aaaa     mdns.AAAA
	ptr      mdns.PTR
	soa      mdns.SOA
	opt      mdns.OPT
	ip4      [4]byte
	ip6      [16]byte
	out      [1536]byte
}

func newScratch() *scratch { return new(scratch) }

// limit is the size an answer may have.
func (sc *scratch) limit() int {
	if sc.stream {
		return maxTCPAnswer
	}
	return min(max(sc.udpSize, minUDP), maxUDP)
}

// answer makes the reply to a message; nil is silence. If it says foreign, the
// message is well-formed and the question is for others to answer: sc.over says
// which. What it returns is valid until the next call.
func (sc *scratch) answer(zones *dns.Zones, in []byte) (out []byte, foreign bool) {
	if len(in) < headerLen || in[2]&0x80 != 0 {
		return nil, false // an answer to an answer would never end
	}
	if in[2]>>3&15 != mdns.OpcodeQuery {
		return bareReply(in, mdns.RcodeNotImplemented), false
	}
	if out := sc.memo.get(zones, in, sc.out[:]); out != nil {
		return out, false
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
	rcode, foreign := sc.resolve(zones, q)
	if foreign {
		return nil, true
	}
	out = sc.finish(rcode)
	if sc.plain {
		sc.memo.put(in, out)
	}
	return out, false
}

// countsHonest refuses messages whose sections no query has: one question, an
// OPT and a signature at most.
func countsHonest(in []byte) bool {
	count := func(i int) uint16 { return binary.BigEndian.Uint16(in[i:]) }
	return count(4) == 1 && count(6) == 0 && count(8) == 0 && count(10) <= 2
}

// begin makes the reply's head, and its OPT record where the query has one
// (RFC 6891 §6.1).
func (sc *scratch) begin() int {
	req := &sc.req
	sc.rep = mdns.Msg{MsgHdr: mdns.MsgHdr{
		Id: req.Id, Response: true, Opcode: req.Opcode,
		RecursionDesired: req.RecursionDesired, RecursionAvailable: true, CheckingDisabled: req.CheckingDisabled,
	}, Question: req.Question}
	sc.udpSize, sc.answers = 0, sc.room[:0]
	sc.plain = len(req.Extra) == 0
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
	sc.plain = len(req.Extra) == 1 && len(opt.Option) == 0
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
	if limit := sc.limit(); err == nil && len(out) > limit {
		sc.rep.Truncate(limit)
		out, err = sc.rep.PackBuffer(sc.out[:])
	}
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
