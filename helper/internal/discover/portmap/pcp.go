package portmap

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// PCP's numbers: RFC 6887 §7, §11, §14.1.
const (
	pcpVersion     = 2
	pcpAnnounce    = 0
	pcpMap         = 1
	pcpResponse    = 0x80
	pcpHeaderSize  = 24
	pcpMapSize     = 60
	pcpMaxSize     = 1100
	pcpUnsupported = 1
	protocolUDP    = 17
)

type nonce [12]byte

// pcpAnswer is a response of a PCP server.
type pcpAnswer struct {
	code     byte
	lifetime uint32 // seconds: of the mapping, or of the refusal
	epoch    uint32

	// Of a MAP response.
	nonce    nonce
	protocol byte
	internal uint16
	external netip.AddrPort
}

// pcpRequest is a request's header and room for n further bytes.
func pcpRequest(opcode byte, lifetime uint32, local netip.Addr, n int) []byte {
	b := make([]byte, pcpHeaderSize, pcpHeaderSize+n)
	b[0], b[1] = pcpVersion, opcode
	binary.BigEndian.PutUint32(b[4:], lifetime)
	a := local.As16() // IPv4-mapped (RFC 6887 §5)
	copy(b[8:], a[:])
	return b
}

// pcpMapRequest asks for a mapping of UDP (RFC 6887 §11.1). suggested may be
// the zero value; its family is then local's.
func pcpMapRequest(local netip.Addr, n nonce, lifetime uint32, internal uint16, suggested netip.AddrPort) []byte {
	b := pcpRequest(pcpMap, lifetime, local, pcpMapSize-pcpHeaderSize)
	b = append(b, n[:]...)
	b = append(b, protocolUDP, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, internal)
	b = binary.BigEndian.AppendUint16(b, suggested.Port())
	a := netip.IPv6Unspecified().As16()
	switch {
	case suggested.Addr().IsValid():
		a = suggested.Addr().As16()
	case local.Is4():
		a = netip.IPv4Unspecified().As16()
	}
	return append(b, a[:]...)
}

// parsePCP reads a response to a request with opcode. Of a server that does not
// know our version, which may be one of NAT-PMP (RFC 6887 appendix A), it makes
// that refusal.
func parsePCP(b []byte, opcode byte) (r pcpAnswer, ok bool) {
	if len(b) >= 4 && len(b) <= pcpMaxSize && b[0] != pcpVersion && b[1]&pcpResponse != 0 {
		code := b[3]
		if code == pcpUnsupported && (b[0] != 0 || b[2] == 0) {
			return pcpAnswer{code: pcpUnsupported}, true
		}
		return r, false
	}
	if len(b) < pcpHeaderSize || len(b) > pcpMaxSize || len(b)%4 != 0 || b[0] != pcpVersion || b[1] != pcpResponse|opcode {
		return r, false
	}
	r.code = b[3]
	r.lifetime = binary.BigEndian.Uint32(b[4:])
	r.epoch = binary.BigEndian.Uint32(b[8:])
	if opcode != pcpMap {
		return r, true
	}
	if len(b) < pcpMapSize {
		return r, false
	}
	m := b[pcpHeaderSize:]
	copy(r.nonce[:], m)
	r.protocol = m[12]
	r.internal = binary.BigEndian.Uint16(m[16:])
	a := netip.AddrFrom16([16]byte(m[20:36])).Unmap()
	r.external = netip.AddrPortFrom(a, binary.BigEndian.Uint16(m[18:]))
	return r, true
}

// pcp asks by PCP. It is one goroutine's but for shut.
type pcp struct {
	*link
	seed  [32]byte
	epoch epoch
	lost  bool
}

func (*pcp) name() Method { return PCP }

// nonce is by which the gateway knows who may change a mapping.
func (p *pcp) nonce(internal uint16) (n nonce) {
	h := hmac.New(sha256.New, p.seed[:])
	h.Write([]byte("pcp nonce"))
	for _, a := range []netip.Addr{p.gateway, p.local} {
		b := a.As16()
		h.Write(b[:])
	}
	h.Write(binary.BigEndian.AppendUint16(nil, internal))
	copy(n[:], h.Sum(nil))
	return n
}

// probe asks whether the gateway speaks PCP.
func (p *pcp) probe(ctx context.Context) error {
	r, err := ask(ctx, p.link, pcpRequest(pcpAnnounce, 0, p.local, 0), func(b []byte) (pcpAnswer, *flaw) { return readable[pcpAnswer](b)(parsePCP(b, pcpAnnounce)) })
	if err != nil {
		return err
	}
	return p.judge(r)
}

func (p *pcp) judge(r pcpAnswer) error {
	if r.code == pcpUnsupported {
		return &Refusal{Method: PCP, Code: pcpUnsupported} // it has no clock to go by
	}
	if p.epoch.note(r.epoch, time.Now()) {
		p.lost = true
	}
	if r.code != 0 {
		return &Refusal{Method: PCP, Code: int(r.code), After: time.Duration(r.lifetime) * time.Second}
	}
	return nil
}

// check renews one mapping: its answer has the gateway's clock and, where that
// forgets to start anew, the outside address.
func (p *pcp) check(ctx context.Context, held []lease) (lost bool, err error) {
	if len(held) == 0 {
		return false, p.probe(ctx)
	}
	l, err := p.open(ctx, held[0].internal, held[0])
	lost = p.lost || err == nil && l.external != held[0].external
	p.lost = false
	return lost, err
}

func (p *pcp) open(ctx context.Context, internal uint16, old lease) (lease, error) {
	suggested := old.external
	if !suggested.IsValid() {
		suggested = netip.AddrPortFrom(netip.Addr{}, internal)
	}
	r, err := p.request(ctx, internal, leaseTime, suggested)
	if err == nil {
		err = p.judge(r)
	}
	if err != nil {
		return lease{}, err
	}
	return lease{internal: internal, external: r.external, lasts: time.Duration(r.lifetime) * time.Second}, nil
}

func (p *pcp) shut(ctx context.Context, l lease) error {
	_, err := p.request(ctx, l.internal, 0, l.external)
	return err
}

func (p *pcp) request(ctx context.Context, internal uint16, lifetime time.Duration, suggested netip.AddrPort) (pcpAnswer, error) {
	n := p.nonce(internal)
	b := pcpMapRequest(p.local, n, uint32(lifetime/time.Second), internal, suggested)
	return ask(ctx, p.link, b, func(b []byte) (pcpAnswer, *flaw) {
		r, wrong := readable[pcpAnswer](b)(parsePCP(b, pcpMap))
		if wrong == nil && r.code != pcpUnsupported && (r.nonce != n || r.protocol != protocolUDP || r.internal != internal) {
			wrong = &flaw{WrongMapping, fmt.Sprintf("protocol %d, port %d instead of %d", r.protocol, r.internal, internal)}
		}
		return r, wrong
	})
}
