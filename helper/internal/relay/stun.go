package relay

import (
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// What the relay's UDP port tells strangers: the address that they come from, so
// little and so seldom that nobody gains by asking in another's name.
const (
	maxSTUN = 548 // bytes of a request, RFC 8489 §6.1

	stunRate, stunBurst           = 20, 100 // a second a source; and at once
	stunTotalRate, stunTotalBurst = 2000, 4000
)

// STUN answers binding requests (RFC 8489 §6.3.1). The zero one is ready.
type STUN struct {
	mu      sync.Mutex
	total   bucket
	sources map[netip.Addr]*bucket
	req     stun.Message
	res     stun.Message
}

// Answer is the answer to a datagram from an address: nil, or in buf where it
// fits. It has at most 24 bytes more than a request. Anything but a sound binding
// request, and what is beyond the rates, gets none.
func (s *STUN) Answer(req []byte, from netip.AddrPort, buf []byte) []byte {
	if len(req) < 20 || len(req) > maxSTUN || !from.IsValid() || from.Port() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.allow(from.Addr(), time.Now()) {
		return nil
	}
	return s.answer(req, from, buf)
}

func (s *STUN) answer(req []byte, from netip.AddrPort, buf []byte) []byte {
	s.req.Raw = append(s.req.Raw[:0], req...)
	if s.req.Decode() != nil || s.req.Type != stun.BindingRequest || len(req) != 20+int(s.req.Length) {
		return nil
	}
	sealed := s.req.Contains(stun.AttrFingerprint)
	if sealed && stun.Fingerprint.Check(&s.req) != nil {
		return nil
	}
	s.res.Reset()
	s.res.TransactionID = s.req.TransactionID
	s.res.Type = stun.BindingSuccess
	s.res.WriteHeader()
	var err error
	if unknown := s.unknown(); len(unknown) > 0 {
		s.res.SetType(stun.BindingError)
		if err = (stun.ErrorCodeAttribute{Code: stun.CodeUnknownAttribute}).AddTo(&s.res); err == nil {
			err = unknown.AddTo(&s.res)
		}
	} else {
		a := from.Addr().Unmap()
		err = (&stun.XORMappedAddress{IP: a.AsSlice(), Port: int(from.Port())}).AddTo(&s.res)
	}
	if err == nil && sealed {
		err = stun.Fingerprint.AddTo(&s.res)
	}
	if err != nil {
		return nil
	}
	return append(buf[:0], s.res.Raw...)
}

// unknown are the attributes that we would have to understand (RFC 8489 §14). Of
// credentials we know nothing, and a server without them passes over them (§9).
func (s *STUN) unknown() (u stun.UnknownAttributes) {
	for _, a := range s.req.Attributes {
		switch a.Type {
		case stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256, stun.AttrRealm, stun.AttrNonce:
		default:
			if a.Type.Required() && len(u) < 4 {
				u = append(u, a.Type)
			}
		}
	}
	return u
}

func (s *STUN) allow(from netip.Addr, now time.Time) bool {
	if !s.total.take(now, stunTotalRate, stunTotalBurst) {
		return false
	}
	src := source(from)
	b := s.sources[src]
	if b == nil {
		if s.sources == nil {
			s.sources = map[netip.Addr]*bucket{}
		}
		if len(s.sources) >= maxSources {
			forget(s.sources, func(b *bucket) bool { return now.Sub(b.at) > stunBurst/stunRate*time.Second }, nil)
		}
		b = &bucket{}
		s.sources[src] = b
	}
	return b.take(now, stunRate, stunBurst)
}
