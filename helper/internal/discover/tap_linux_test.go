package discover

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
)

var payload = []byte("an announcement")

// packet4 is an IPv4 packet with options words of options.
func packet4(options int, to netip.Addr, protocol byte, port uint16) []byte {
	head := 20 + 4*options
	b := make([]byte, head+headUDP, 200)
	b[0], b[9] = 0x40|byte(head/4), protocol
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
	copy(b[12:], netip.MustParseAddr("192.0.2.7").AsSlice())
	copy(b[16:], to.AsSlice())
	return withUDP(b, b[head:], port)
}

func packet6(to netip.Addr, protocol byte, port uint16) []byte {
	b := make([]byte, headIPv6+headUDP, 200)
	b[0], b[6] = 0x60, protocol
	binary.BigEndian.PutUint16(b[4:], uint16(headUDP+len(payload)))
	copy(b[8:], netip.MustParseAddr("fe80::7").AsSlice())
	copy(b[24:], to.AsSlice())
	return withUDP(b, b[headIPv6:], port)
}

func withUDP(b, head []byte, port uint16) []byte {
	binary.BigEndian.PutUint16(head, 5555)
	binary.BigEndian.PutUint16(head[2:], port)
	binary.BigEndian.PutUint16(head[4:], uint16(headUDP+len(payload)))
	return append(b, payload...)
}

// TestFilter runs the programs but for their first two instructions, which ask
// the kernel how the packet came in.
func TestFilter(t *testing.T) {
	other4, other6 := netip.MustParseAddr("239.255.75.106"), netip.MustParseAddr("ff12::4b69:7469")
	tests := []struct {
		name   string
		filter []bpf.Instruction
		packet []byte
		want   bool
	}{
		{"IPv4", filter4(), packet4(0, Group4, protoUDP, Port), true},
		{"IPv4 with options", filter4(), packet4(3, Group4, protoUDP, Port), true},
		{"IPv4, another group", filter4(), packet4(0, other4, protoUDP, Port), false},
		{"IPv4, TCP", filter4(), packet4(0, Group4, 6, Port), false},
		{"IPv4, another port", filter4(), packet4(0, Group4, protoUDP, Port+1), false},
		{"IPv4, cut short", filter4(), packet4(0, Group4, protoUDP, Port)[:22], false},
		{"IPv6", filter6(), packet6(Group6, protoUDP, Port), true},
		{"IPv6, another group", filter6(), packet6(other6, protoUDP, Port), false},
		{"IPv6, a group like it at its end", filter6(), packet6(netip.MustParseAddr("ff02::4b69:7468"), protoUDP, Port), false},
		{"IPv6, TCP", filter6(), packet6(Group6, 6, Port), false},
		{"IPv6, another port", filter6(), packet6(Group6, protoUDP, Port+1), false},
	}
	for _, tt := range tests {
		if _, err := bpf.Assemble(tt.filter); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		vm, err := bpf.NewVM(tt.filter[2:])
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		n, err := vm.Run(tt.packet)
		if err != nil || (n > 0) != tt.want {
			t.Errorf("%s: takes %d bytes, %v", tt.name, n, err)
		}
	}
}

func TestParsePackets(t *testing.T) {
	change := func(b []byte, at int, to byte) []byte { b[at] = to; return b }
	p4 := func() []byte { return packet4(0, Group4, protoUDP, Port) }
	p6 := func() []byte { return packet6(Group6, protoUDP, Port) }
	trailer := make([]byte, 20) // as Ethernet pads
	tests := []struct {
		name  string
		parse func([]byte) (netip.AddrPort, []byte)
		b     []byte
		from  string // empty: malformed
	}{
		{"IPv4", parse4, p4(), "192.0.2.7:5555"},
		{"IPv4 with options", parse4, packet4(2, Group4, protoUDP, Port), "192.0.2.7:5555"},
		{"IPv4, padded", parse4, append(p4(), trailer...), "192.0.2.7:5555"},
		{"IPv4, first fragment", parse4, change(p4(), 6, 0x20), ""},
		{"IPv4, later fragment", parse4, change(p4(), 7, 9), ""},
		{"IPv4, cut", parse4, p4()[:30], ""},
		{"IPv4, header too short", parse4, change(p4(), 0, 0x44), ""},
		{"IPv4, total too short", parse4, change(p4(), 3, 27), ""},
		{"IPv4, UDP too long", parse4, change(p4(), 25, 200), ""},
		{"IPv4, UDP too short", parse4, change(p4(), 25, 7), ""},
		{"IPv6", parse6, p6(), "[fe80::7]:5555"},
		{"IPv6, padded", parse6, append(p6(), trailer...), "[fe80::7]:5555"},
		{"IPv6, cut", parse6, p6()[:50], ""},
		{"IPv6 in name only", parse6, change(p6(), 0, 0x45), ""},
		{"nothing", parse4, nil, ""},
		{"nothing", parse6, nil, ""},
	}
	for _, tt := range tests {
		from, got := tt.parse(tt.b)
		if tt.from == "" {
			if got != nil {
				t.Errorf("%s: took %q", tt.name, got)
			}
		} else if from.String() != tt.from || !bytes.Equal(got, payload) {
			t.Errorf("%s: %q from %v", tt.name, got, from)
		}
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(packet4(0, Group4, protoUDP, Port))
	f.Add(packet4(10, Group4, protoUDP, Port))
	f.Add(packet6(Group6, protoUDP, Port))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (netip.AddrPort, []byte){parse4, parse6} {
			if from, p := parse(b); p != nil && (!from.IsValid() || len(p) > len(b)-28) {
				t.Errorf("%x: %d bytes from %v", b, len(p), from)
			}
		}
	})
}
