package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
)

// TestChains: devices are letters, self is s, the destination is d, relays are
// in capitals. An edge is "ab12": a says that it reaches b in 12 ms.
func TestChains(t *testing.T) {
	tests := []struct {
		name  string
		edges string
		mute  string // pass nothing on
		gone  string
		relay string // further relays, that nobody says he reaches
		want  string
	}{
		{"nothing known", "", "", "", "", ""},
		{"no way", "sa1 bd1", "", "", "", ""},
		{"a forwarder between two LANs", "sm1 md1", "", "", "", "m"},
		{"said by the destination alone", "sm1 dm1", "", "", "", "m"},
		{"what a forwarder says of us does not count", "ms1 md1", "", "", "", ""},
		{"a forwarder that does not", "sm1 md1", "m", "", "", ""},
		{"a forwarder that is gone", "sm1 md1", "", "m", "", ""},
		{"a forwarder before a relay, whatever the cost", "sm40 md40 sR1 Rd1", "", "", "", "m R"},
		{"the nearer forwarder first", "sm9 md9 sn1 nd1", "", "", "", "n m"},
		{"a relay that switched forwarding off relays", "sR1 Rd1", "R", "", "", "R"},
		{"any relay while nothing is known of the destination", "", "", "", "R", "R"},
		{"the relay that the destination keeps, though we keep another", "sR5 dQ5", "", "", "", "Q R"},
		{"and over both", "sR1 RQ1 dQ1", "", "", "", "Q R"},
		{"at most three of each kind", "sa1 ad1 sb2 bd1 sc3 cd1 se4 ed1", "", "", "", "a b c"},
		{"three LANs in a chain", "sb1 bc1 cd1", "", "", "", "b,c"},
		{"four LANs in a chain", "sb1 bc1 ce1 ed1", "", "", "", "b,c,e"},
		{"five LANs in a chain", "sb1 bc1 ce1 ef1 fd1", "", "", "", ""},
		{"a longer way beside a single short one", "sm1 md1 sb1 bc1 cd1", "", "", "", "m b,c"},
		{"no longer way beside two short ones", "sm1 md1 sn1 nd1 sb1 bc1 cd1", "", "", "", "m n"},
		{"no way back through ourselves or the destination", "sa1 sb1 ab1 da9 db9 sd1", "", "", "", "a b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := func(b byte) key.Public { return key.Public{b} }
			m := newMesh(id('s'))
			said := map[byte]*replica.Presence{}
			word := func(b byte) *replica.Presence {
				if said[b] == nil {
					said[b] = &replica.Presence{Device: id(b)}
				}
				if b < 'a' {
					m.relays[id(b)] = true
				}
				return said[b]
			}
			for _, e := range strings.Fields(tt.edges) {
				var ms uint32
				if _, err := fmt.Sscanf(e[2:], "%d", &ms); err != nil {
					t.Fatal(err)
				}
				if word(e[1]); e[0] == 's' {
					m.link(id('s'), id(e[1]), time.Duration(ms)*time.Millisecond)
					continue
				}
				p := word(e[0])
				p.Neighbours = append(p.Neighbours, replica.Neighbour{ID: id(e[1]), RTT: ms})
			}
			for i := range tt.mute {
				word(tt.mute[i]).NoForward = true
			}
			for i := range tt.gone {
				word(tt.gone[i]).Gone = true
			}
			for i := range tt.relay {
				word(tt.relay[i])
			}
			for _, p := range said {
				m.hear(*p)
			}
			var got []string
			for _, c := range m.chains(id('d')) {
				var hops []string
				for _, h := range c {
					hops = append(hops, string(rune(h[0])))
				}
				got = append(got, strings.Join(hops, ","))
			}
			if d := cmp.Diff(tt.want, strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
		})
	}
}

// BenchmarkChains is one decision about every member of a large network.
func BenchmarkChains(b *testing.B) {
	const members = 100
	id := func(i int) key.Public { return key.Public{byte(i >> 8), byte(i), 1} }
	m := newMesh(id(0))
	for i := 1; i < members; i++ {
		p := replica.Presence{Device: id(i)}
		for j := range replica.MaxNeighbours {
			p.Neighbours = append(p.Neighbours, replica.Neighbour{ID: id((i*7 + j*13) % members), RTT: uint32(1 + j)})
		}
		m.hear(p)
		if i%8 == 0 {
			m.link(id(0), id(i), time.Millisecond)
		}
	}
	for b.Loop() {
		for i := 1; i < members; i++ {
			m.chains(id(i))
		}
	}
}
