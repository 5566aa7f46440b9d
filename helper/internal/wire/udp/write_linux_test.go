package udp

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestOffloadRests stands in for a kernel before 6.10 and a network card
// without checksum offload, which refuse GSO with EIO.
func TestOffloadRests(t *testing.T) {
	c, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.(*sockets).v4
	var refused int
	s.tx.New = func() any {
		w := newSender()
		send := w.try
		w.try = func(fd uintptr) {
			if w.datagram[w.sent] > 1 {
				refused++
				w.errno = unix.EIO
				return
			}
			send(fd)
		}
		return w
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.Port())
	bufs := make([][]byte, 20)
	for i := range bufs {
		bufs[i] = []byte{byte(i)}
	}
	for range 3 {
		if err := c.WriteBatch(bufs, to, Source{}); err != nil {
			t.Fatal(err)
		}
	}
	pkts := make([]Packet, 2*MaxBatch)
	for i := range pkts {
		pkts[i].Buf = make([]byte, 10)
	}
	for got := 0; got < 60; {
		n, err := c.Readers()[0](pkts)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pkts[:n] {
			if p.N != 1 || int(p.Buf[0]) != got%20 {
				t.Fatalf("datagram %d is %v", got, p.Buf[:p.N])
			}
			got++
		}
	}
	if refused != 1 || s.gso.usable() {
		t.Errorf("tried %d times, still usable: %v", refused, s.gso.usable())
	}
	s.gso.until.Store(1)
	if !s.gso.usable() {
		t.Error("not tried again later")
	}
}

func TestRunLength(t *testing.T) {
	tests := []struct {
		name  string
		sizes []int
		want  []int
	}{
		{"one", []int{5}, []int{1}},
		{"alike", []int{5, 5, 5}, []int{3}},
		{"short tail", []int{5, 5, 3, 5}, []int{3, 1}},
		{"longer", []int{5, 6, 7}, []int{1, 1, 1}},
		{"empty", []int{0, 5, 0, 0}, []int{1, 1, 1, 1}},
		{"too much in all", []int{30000, 30000, 30000}, []int{2, 1}},
	}
	for _, tt := range tests {
		var bufs [][]byte
		for _, n := range tt.sizes {
			bufs = append(bufs, make([]byte, n))
		}
		var got []int
		for len(bufs) > 0 {
			n := runLength(bufs)
			got = append(got, n)
			bufs = bufs[n:]
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// FuzzControl parses what the kernel alone writes: it must still not read out of
// bounds.
func FuzzControl(f *testing.F) {
	var c control
	rest := putSegment(putSource(c.b[:], Source{netip.MustParseAddr("2001:db8::1"), 7}), 1420)
	f.Add(c.b[:len(c.b)-len(rest)])
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c control
		parseControl(c.b[:copy(c.b[:], b)])
	})
}

func TestNoAllocations(t *testing.T) {
	c, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	bufs := make([][]byte, MaxBatch)
	for i := range bufs {
		bufs[i] = make([]byte, 100)
	}
	pkts := make([]Packet, MaxBatch)
	for i := range pkts {
		pkts[i].Buf = make([]byte, 1<<16)
	}
	for i, lo := range []string{"127.0.0.1", "::1"} {
		to, read := netip.AddrPortFrom(netip.MustParseAddr(lo), c.Port()), c.Readers()[i]
		src := Source{to.Addr(), 1}
		allocs := testing.AllocsPerRun(200, func() {
			if err := c.WriteBatch(bufs, to, src); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < MaxBatch; {
				n, err := read(pkts)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
		})
		if allocs > 0 && !poolsLeak || allocs > 16 {
			t.Errorf("%s: %v allocations a batch", lo, allocs)
		}
	}
}
