package netstack

import (
	"encoding/binary"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// segment is TCP data of a connection that nobody has.
func segment(six bool, port uint16, seq uint32) []byte {
	const payload = 100
	var ip []byte
	if six {
		ip = make([]byte, header.IPv6MinimumSize)
		ip[0], ip[6], ip[7] = 0x60, 6, 64
		binary.BigEndian.PutUint16(ip[4:], header.TCPMinimumSize+payload)
		ip[8], ip[23], ip[24], ip[39] = 0xfd, 2, 0xfd, 3
	} else {
		ip = make([]byte, header.IPv4MinimumSize)
		ip[0], ip[8], ip[9] = 0x45, 64, 6
		binary.BigEndian.PutUint16(ip[2:], header.IPv4MinimumSize+header.TCPMinimumSize+payload)
		copy(ip[12:], []byte{100, 80, 0, 2, 198, 51, 100, 2})
	}
	tcp := make([]byte, header.TCPMinimumSize+payload)
	binary.BigEndian.PutUint16(tcp, port)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	binary.BigEndian.PutUint32(tcp[4:], seq)
	tcp[12], tcp[13] = 5<<4, byte(header.TCPFlagAck)
	return append(ip, tcp...)
}

// TestInjectTogether has segments of many connections come at once: what follows
// one another is taken for one, and nothing stays behind. The stack refuses each.
func TestInjectTogether(t *testing.T) {
	const flows, each = 100, 3
	for name, six := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) {
			s, err := New(Config{MTU: 1420, Queue: 1024, Receive: 64 << 10, Send: 64 << 10, MaxBuffer: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			all := [][]byte{nil, {}, {0x45}, {0x60}}
			for i := range each {
				for f := range flows {
					all = append(all, segment(six, 1000+uint16(f), uint32(100*i)))
				}
			}
			s.Inject(all...)
			s.Inject(nil)
			refused := map[uint16]int{}
			for pkt := s.Link.Read(); pkt != nil; pkt = s.Link.Read() {
				view := pkt.ToView()
				if tcp := header.TCP(view.AsSlice()[len(view.AsSlice())-header.TCPMinimumSize:]); tcp.Flags()&header.TCPFlagRst != 0 {
					refused[tcp.DestinationPort()]++
				}
				view.Release()
				pkt.DecRef()
			}
			if len(refused) != flows {
				t.Errorf("%d of %d connections were heard of", len(refused), flows)
			}
			s.Inject(segment(six, 7, 0), segment(six, 7, 100), segment(six, 7, 200))
			count := 0
			for pkt := s.Link.Read(); pkt != nil; pkt = s.Link.Read() {
				pkt.DecRef()
				count++
			}
			if count != 1 {
				t.Errorf("three segments that follow one another are taken for %d", count)
			}
		})
	}
}
