package usernat

import (
	"net/netip"
	"testing"

	"kith.internal/helper/internal/osnet/nat"
)

// packet4 is an IPv4 packet from a peer to the internet.
func packet4(proto byte, fragment uint16, rest ...byte) []byte {
	p := make([]byte, 20, 20+len(rest))
	p[0], p[9], p[8] = 0x45, proto, 64
	p[3] = byte(20 + len(rest))
	p[6], p[7] = byte(fragment>>8), byte(fragment)
	copy(p[12:], []byte{100, 80, 0, 2, 198, 51, 100, 2})
	return append(p, rest...)
}

func packet6(proto byte, rest ...byte) []byte {
	p := make([]byte, 40, 40+len(rest))
	p[0], p[6], p[7], p[5] = 0x60, proto, 64, byte(len(rest))
	src, dst := netip.MustParseAddr("fd12::2").As16(), netip.MustParseAddr("2001:db8:2::2").As16()
	copy(p[8:], src[:])
	copy(p[24:], dst[:])
	return append(p, rest...)
}

func TestParse(t *testing.T) {
	eight := func(kind byte) []byte { return []byte{kind, 0, 0, 0, 0, 0, 0, 0} }
	for name, c := range map[string]struct {
		p              []byte
		ok, echo, drop bool
	}{
		"nothing":                    {nil, false, false, false},
		"cut off":                    {packet4(6, 0)[:19], false, false, false},
		"longer than it is":          {packet4(6, 0, 1, 2, 3)[:21], false, false, false},
		"TCP":                        {packet4(protoTCP, 0, eight(0)...), true, false, false},
		"UDP by IPv6":                {packet6(protoUDP, eight(0)...), true, false, false},
		"an echo request":            {packet4(protoICMP4, 0, eight(8)...), true, true, false},
		"a fragment of one":          {packet4(protoICMP4, 0x2000, eight(8)...), true, false, true},
		"an echo reply":              {packet4(protoICMP4, 0, eight(0)...), true, false, true},
		"a redirect":                 {packet4(protoICMP4, 0, eight(5)...), true, false, true},
		"unreachable":                {packet4(protoICMP4, 0, eight(3)...), true, false, false},
		"an echo request by IPv6":    {packet6(protoICMP6, eight(128)...), true, true, false},
		"a router advertisement":     {packet6(protoICMP6, eight(134)...), true, false, true},
		"a neighbour advertisement":  {packet6(protoICMP6, eight(136)...), true, false, true},
		"packet too big":             {packet6(protoICMP6, eight(2)...), true, false, false},
		"a fragment of UDP":          {packet6(protoFragment, append([]byte{protoUDP, 0, 0, 0, 0, 0, 0, 0}, eight(0)...)...), true, false, false},
		"a fragment of an echo":      {packet6(protoFragment, append([]byte{protoICMP6, 0, 0, 0, 0, 0, 0, 0}, eight(128)...)...), true, false, true},
		"half a fragment header":     {packet6(protoFragment, 17, 0), false, false, false},
		"a routing header":           {packet6(43, eight(17)...), true, false, true},
		"ICMP of the other version":  {packet6(protoICMP4, eight(8)...), true, false, true},
		"GRE":                        {packet4(47, 0, eight(0)...), true, false, true},
		"a header that is too short": {append([]byte{0x44}, packet4(6, 0)[1:]...), false, false, false},
	} {
		h, ok := parse(c.p)
		if ok != c.ok || ok && (h.echo != c.echo || h.drop != c.drop) {
			t.Errorf("%s: %t, echo %t, drop %t", name, ok, h.echo, h.drop)
		}
	}
}

// FuzzInject feeds the stack what peers may send.
func FuzzInject(f *testing.F) {
	f.Add(packet4(protoTCP, 0, 0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0))
	f.Add(packet6(protoUDP, 0, 53, 0, 53, 0, 8, 0, 0))
	f.Add(packet4(protoICMP4, 0, 8, 0, 0, 0, 0, 1, 0, 1))
	f.Add(packet6(protoFragment, protoUDP, 0, 0, 1, 0, 0, 0, 7, 0, 53, 0, 53, 0, 8, 0, 0))
	b := newBed(f, nat.Offer{Exit: true})
	f.Fuzz(func(_ *testing.T, p []byte) { b.Inject(p); b.Inject(p, p, p) })
}
