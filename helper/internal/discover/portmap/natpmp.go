package portmap

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// NAT-PMP's numbers: RFC 6886 §3.2, §3.3.
const (
	pmpAddress  = 0
	pmpMapUDP   = 1
	pmpResponse = 128
)

// pmpAnswer is a response of a NAT-PMP gateway.
type pmpAnswer struct {
	code               uint16
	epoch              uint32
	address            netip.Addr // of an address response
	internal, external uint16     // of a mapping response
	lifetime           uint32     // seconds
}

func pmpMapRequest(internal, external uint16, lifetime uint32) []byte {
	b := []byte{0, pmpMapUDP, 0, 0}
	b = binary.BigEndian.AppendUint16(b, internal)
	b = binary.BigEndian.AppendUint16(b, external)
	return binary.BigEndian.AppendUint32(b, lifetime)
}

// parsePMP reads a response to a request with opcode. A refusal may end after
// its epoch, or after its code where the gateway speaks PCP alone.
func parsePMP(b []byte, opcode byte) (r pmpAnswer, ok bool) {
	if len(b) >= pcpHeaderSize && len(b) <= pcpMaxSize && b[0] == pcpVersion && b[1]&pcpResponse != 0 && b[3] == pcpUnsupported {
		return pmpAnswer{code: 1}, true
	}
	if len(b) < 8 || len(b) > 16 || b[0] != 0 || b[1] != pmpResponse|opcode {
		return r, false
	}
	r.code = binary.BigEndian.Uint16(b[2:])
	r.epoch = binary.BigEndian.Uint32(b[4:])
	switch {
	case r.code != 0:
	case opcode == pmpAddress && len(b) == 12:
		r.address = netip.AddrFrom4([4]byte(b[8:12]))
	case opcode == pmpMapUDP && len(b) == 16:
		r.internal = binary.BigEndian.Uint16(b[8:])
		r.external = binary.BigEndian.Uint16(b[10:])
		r.lifetime = binary.BigEndian.Uint32(b[12:])
	default:
		return r, false
	}
	return r, true
}

// natpmp asks by NAT-PMP. It is one goroutine's but for shut.
type natpmp struct {
	*link
	address netip.Addr // outside
	epoch   epoch
	lost    bool
}

func (*natpmp) name() Method { return NATPMP }

// probe asks for the outside address.
func (p *natpmp) probe(ctx context.Context) error {
	r, err := ask(ctx, p.link, []byte{0, pmpAddress}, func(b []byte) (pmpAnswer, *flaw) { return readable[pmpAnswer](b)(parsePMP(b, pmpAddress)) })
	if err == nil {
		err = p.judge(r)
	}
	if err != nil {
		return err
	}
	if p.address.IsValid() && p.address != r.address {
		p.lost = true
	}
	p.address = r.address
	return nil
}

func (p *natpmp) judge(r pmpAnswer) error {
	if r.code == 1 {
		return &Refusal{Method: NATPMP, Code: 1}
	}
	if p.epoch.note(r.epoch, time.Now()) {
		p.lost = true
	}
	if r.code != 0 {
		return &Refusal{Method: NATPMP, Code: int(r.code)}
	}
	return nil
}

func (p *natpmp) check(ctx context.Context, _ []lease) (lost bool, err error) {
	err = p.probe(ctx)
	lost, p.lost = p.lost, false
	return lost, err
}

func (p *natpmp) open(ctx context.Context, internal uint16, old lease) (lease, error) {
	external := old.external.Port()
	if external == 0 {
		external = internal
	}
	r, err := p.request(ctx, pmpMapRequest(internal, external, uint32(leaseTime/time.Second)), internal)
	if err == nil {
		err = p.judge(r)
	}
	if err != nil {
		return lease{}, err
	}
	return lease{internal: internal, external: netip.AddrPortFrom(p.address, r.external), lasts: time.Duration(r.lifetime) * time.Second}, nil
}

func (p *natpmp) shut(ctx context.Context, l lease) error {
	_, err := p.request(ctx, pmpMapRequest(l.internal, 0, 0), l.internal)
	return err
}

func (p *natpmp) request(ctx context.Context, b []byte, internal uint16) (pmpAnswer, error) {
	return ask(ctx, p.link, b, func(b []byte) (pmpAnswer, *flaw) {
		r, wrong := readable[pmpAnswer](b)(parsePMP(b, pmpMapUDP))
		if wrong == nil && r.code == 0 && r.internal != internal {
			wrong = &flaw{WrongMapping, fmt.Sprintf("port %d instead of %d", r.internal, internal)}
		}
		return r, wrong
	})
}
