package relay

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"
)

func binding4(t *testing.T, set ...stun.Setter) []byte {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, set...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func TestSTUNSaysWhereItCameFrom(t *testing.T) {
	var s STUN
	buf := make([]byte, 0, 128)
	for _, from := range []string{"192.0.2.9:4711", "[2001:db8::9]:4711", "[::ffff:192.0.2.9]:4711", "[fe80::1%3]:4711"} {
		for _, set := range [][]stun.Setter{nil, {stun.Fingerprint}, {stun.NewSoftware("x"), stun.Fingerprint}} {
			from := netip.MustParseAddrPort(from)
			req := binding4(t, set...)
			res := s.Answer(req, from, buf)
			m := &stun.Message{Raw: res}
			if err := m.Decode(); err != nil {
				t.Fatal(err)
			}
			var got stun.XORMappedAddress
			if err := got.GetFrom(m); err != nil {
				t.Fatal(err)
			}
			a, _ := netip.AddrFromSlice(got.IP)
			if a.Unmap() != from.Addr().Unmap().WithZone("") || got.Port != int(from.Port()) || m.Type != stun.BindingSuccess || [12]byte(req[8:20]) != m.TransactionID {
				t.Errorf("%v: answered %v, %v", from, m.Type, got)
			}
			if (stun.Fingerprint.Check(m) == nil) != (set != nil) {
				t.Errorf("%v: the fingerprint is not as asked for", from)
			}
			if len(res) > len(req)+24 || &res[0] != &buf[:1][0] {
				t.Errorf("%d bytes for %d, or not in the buffer", len(res), len(req))
			}
		}
	}
}

func TestSTUNIsSilent(t *testing.T) {
	var s STUN
	from := netip.MustParseAddrPort("192.0.2.9:4711")
	good := binding4(t)
	bad := binding4(t, stun.Fingerprint)
	bad[len(bad)-1] ^= 1
	indication, response := binding4(t), binding4(t)
	indication[1], response[0] = 0x11, 1
	cookie := binding4(t)
	cookie[4] ^= 1
	for name, req := range map[string][]byte{
		"nothing": nil, "short": good[:19], "longer than it says": append(binding4(t), 0, 0, 0, 0), "cut": binding4(t, stun.NewSoftware("abcd"))[:24],
		"too long": binding4(t, stun.RawAttribute{Type: 0x8001, Value: make([]byte, maxSTUN)}), "bad fingerprint": bad,
		"an indication": indication, "a response": response, "another cookie": cookie, "allocate": binding4(t, stun.NewType(stun.MethodAllocate, stun.ClassRequest)),
	} {
		if res := s.Answer(req, from, nil); res != nil {
			t.Errorf("%s: answered %x", name, res)
		}
	}
	for _, from := range []netip.AddrPort{{}, netip.MustParseAddrPort("192.0.2.9:0")} {
		if s.Answer(good, from, nil) != nil {
			t.Errorf("answered to %v", from)
		}
	}
	req := binding4(t, stun.RawAttribute{Type: 0x0777, Value: make([]byte, 4)})
	m := &stun.Message{Raw: s.Answer(req, from, nil)}
	var code stun.ErrorCodeAttribute
	if err := m.Decode(); err != nil || code.GetFrom(m) != nil || code.Code != stun.CodeUnknownAttribute || len(m.Raw) > len(req)+24 {
		t.Errorf("an attribute that nobody knows: %v, %v, %d bytes for %d", m, err, len(m.Raw), len(req))
	}
}

func TestSTUNIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s STUN
		req := binding4(t)
		count := func(n int, from func(i int) netip.AddrPort) (got int) {
			for i := range n {
				if s.Answer(req, from(i), nil) != nil {
					got++
				}
			}
			return got
		}
		one := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), uint16(i+1)) }
		if n := count(1000, one); n != stunBurst {
			t.Errorf("%d answers at once to a source, not %d", n, stunBurst)
		}
		time.Sleep(time.Second)
		if n := count(1000, one); n != stunRate {
			t.Errorf("%d answers a second to a source, not %d", n, stunRate)
		}
		time.Sleep(time.Minute)
		many := func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 9)
		}
		if n := count(50000, many); n != stunTotalBurst || len(s.sources) > maxSources {
			t.Errorf("%d answers at once in all, not %d; %d sources", n, stunTotalBurst, len(s.sources))
		}
		for range 10 {
			time.Sleep(time.Second)
			count(5000, func(i int) netip.AddrPort { return many(i + int(time.Now().Unix()%1000)*5000) })
		}
		if len(s.sources) > maxSources {
			t.Errorf("%d sources", len(s.sources))
		}
	})
}
