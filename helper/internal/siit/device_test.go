package siit

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.zx2c4.com/wireguard/tun"
)

// script is a TUN that gives packets and keeps what it is given.
type script struct {
	tun.Device
	give, got [][]byte
}

func (s *script) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n := min(len(s.give), len(bufs))
	for i := range n {
		sizes[i] = copy(bufs[i][offset:], s.give[i])
	}
	s.give = s.give[n:]
	return n, nil
}

func (s *script) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		s.got = append(s.got, slices.Clone(b[offset:]))
	}
	return len(bufs), nil
}

const deviceOffset = 16

// reads is what leaves of what the host gives, until nothing more comes.
func reads(d *Device) (out [][]byte) {
	bufs := [][]byte{make([]byte, 4096), make([]byte, 4096)}
	sizes := make([]int, len(bufs))
	for {
		n, err := d.Read(bufs, sizes, deviceOffset)
		if n == 0 || err != nil {
			return out
		}
		for i := range n {
			if sizes[i] > 0 {
				out = append(out, slices.Clone(bufs[i][deviceOffset:deviceOffset+sizes[i]]))
			}
		}
	}
}

func TestDevice(t *testing.T) {
	small := v4(self4, nas4, tcp, segment(rand.New(rand.NewPCG(1, 1)), tcp)[:60])
	others := v4(there4, web4, tcp, small[head4:]) // of none of the mapped
	native := v6(self6, Embed(there4).Next(), tcp, small[head4:])
	large := make([]byte, 1400)
	binary.BigEndian.PutUint16(large[4:], uint16(len(large)))
	fixed := v4(self4, nas4, udp, large) // DF
	loose := slices.Clone(fixed)
	loose[6] = 0
	six := near.Six(nil, loose)

	s := &script{give: [][]byte{small, others, native, fixed, loose, small}}
	d := Wrap(s, 1420)
	if got := reads(d); len(got) != 6 {
		t.Errorf("without a table %d packets leave", len(got))
	}
	d.Set(near)
	s.give = [][]byte{small, others, native, fixed, small, loose, small}
	got := reads(d)
	parts := fragment(six, 0, 1420)
	want := [][]byte{near.Six(nil, small), others, near.Six(nil, small), parts[0], parts[1], near.Six(nil, small)}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d packets leave, want %d", len(got), len(want))
	}
	if len(s.got) != 1 || s.got[0][head4] != 3 || s.got[0][head4+1] != 4 || binary.BigEndian.Uint16(s.got[0][head4+6:]) != 1400 {
		t.Errorf("who may not be cut is told %x", s.got)
	}

	s.got = nil
	bufs := [][]byte{}
	back := far.Six(nil, v4(there4, guest4, tcp, small[head4:]))
	for _, p := range [][]byte{back, v6(Embed(nas4), self6, tcp, small[head4:]), others} {
		bufs = append(bufs, append(make([]byte, deviceOffset), p...))
	}
	if n, err := d.Write(bufs, deviceOffset); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if len(s.got) != 2 || !bytes.Equal(s.got[0], near.Four(nil, back, 1)) || !bytes.Equal(s.got[1], others) {
		t.Errorf("the host gets %x", s.got)
	}
}
