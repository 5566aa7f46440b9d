package filter

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
)

// TestTableAgreesWithMap: what is in the table is found, and nothing else,
// whatever came and went before, with hashes that meet.
func TestTableAgreesWithMap(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var tb table
	tb.init()
	in := map[flowKey]bool{}
	by := []netip.Addr{{}, lap6, nas6, guest6}
	for step := range 40_000 {
		port := uint16(rnd.IntN(600))
		k := keyOf(endsOf(lap6, self6), UDP, port, 9, kindData, true)
		hash := uint32(port) * 7 % 500
		i, gap := tb.find(&k, hash, 1)
		if (i != none) != in[k] {
			t.Fatalf("seed %d, step %d: found %v, is there %v", seed, step, i != none, in[k])
		}
		switch {
		case i == none && rnd.IntN(600) >= step%1200-300: // it fills, and empties
			tb.insert(&k, hash, gap, true, by[rnd.IntN(len(by))], 1, 0, false, 1)
			in[k] = true
		case i != none && rnd.IntN(600) < step%1200-300:
			tb.remove(i)
			delete(in, k)
		case i != none:
			tb.touch(i, 0, rnd.IntN(2) == 0, 1)
		}
		if tb.count != len(in) {
			t.Fatalf("seed %d, step %d: %d flows, want %d", seed, step, tb.count, len(in))
		}
	}
}

// TestFullShare: each flow past an owner's share ends its oldest, in its place; some
// have one hash.
func TestFullShare(t *testing.T) {
	var tb table
	tb.init()
	at := func(n int) (flowKey, uint32) {
		k := keyOf(endsOf(lap6, self6), UDP, uint16(n), uint16(n>>16), kindData, true)
		twin := keyOf(endsOf(lap6, self6), UDP, uint16(n&^1), uint16(n>>16), kindData, true)
		return k, tb.hash(&twin)
	}
	const last = 3*shareMost + 77
	for n := range last {
		k, hash := at(n)
		i, gap := tb.find(&k, hash, 1)
		if i != none {
			t.Fatalf("flow %d is there already", n)
		}
		if tb.insert(&k, hash, gap, true, lap6, 1, 0, false, 1); n > 0 && n%7 == 0 { // its neighbour is newer
			k, hash := at(n - 1)
			i, _ := tb.find(&k, hash, 1)
			tb.touch(i, 0, true, 1)
		}
	}
	if tb.count != shareMost || len(tb.slab) != shareMost {
		t.Errorf("%d flows in %d places", tb.count, len(tb.slab))
	}
	for n := range last {
		k, hash := at(n)
		if i, _ := tb.find(&k, hash, 1); (i != none) != (n >= last-shareMost) {
			t.Fatalf("flow %d of %d is there: %t", n, last, i != none)
		}
	}
}

// TestFullOfOwners: a table in which everyone has one flow has room for one more.
func TestFullOfOwners(t *testing.T) {
	var tb table
	tb.init()
	for i := range flowsMost + 10 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		k := keyOf(endsOf(a, self4), UDP, 1, 1, kindData, true)
		tb.insert(&k, tb.hash(&k), none, true, a, 1, 0, false, 1)
	}
	if tb.count != flowsMost || len(tb.byAddr) != flowsMost {
		t.Errorf("%d flows of %d owners", tb.count, len(tb.byAddr))
	}
}

// TestAtOnce: packets pass and policies change from many goroutines. What every
// policy allows passes always, what none does never.
func TestAtOnce(t *testing.T) {
	narrow := Compile(parsed(t, `{"allow": [{"from": ["laptop"], "to": ["self"], "ports": ["80/tcp", "9/udp"]}]}`), world(), false)
	wide := Compile(parsed(t, `{"allow": [{"from": ["laptop"], "to": ["self"], "ports": ["80/tcp", "443/tcp", "9/udp"]}]}`), world(), false)
	f := New()
	f.Set(narrow)
	// More connections than are known at once: they share its slots.
	const conns = 3000
	packets := func(port, to uint16) (syn, ack, data, back []byte) {
		return tcp(lap6, self6, port, to, tcpSYN), tcp(self6, lap6, to, port, tcpSYN|tcpACK), tcp(lap6, self6, port, to, tcpACK), tcp(self6, lap6, to, port, tcpACK)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range conns {
				port := uint16(1 + g*conns + i)
				syn, ack, data, back := packets(port, 80)
				ok := f.In(syn) && f.Out(ack)
				for range 3 {
					ok = ok && f.In(data) && f.Out(back)
				}
				if !ok || !f.In(udp(lap6, self6, port, 9)) || !f.Out(udp(self6, lap6, 9, port)) {
					t.Error("what every policy allows does not pass")
					return
				}
				if f.In(tcp(lap6, self6, port, 22, tcpSYN)) || f.In(tcp(lap6, self6, port, 22, tcpACK)) || f.Out(tcp(self6, lap6, 22, port, tcpSYN)) {
					t.Error("what no policy allows passes")
					return
				}
				syn, ack, data, _ = packets(port, 443) // now and then
				f.In(syn)
				f.Out(ack)
				f.In(data)
				if i%3 == 0 {
					f.In(tcp(lap6, self6, port, 80, tcpRST))
				}
			}
		})
	}
	// One connection that all use.
	syn, ack, data, back := packets(60000, 80)
	if !f.In(syn) || !f.Out(ack) {
		t.Fatal("it does not begin")
	}
	for g := range 4 {
		wg.Go(func() {
			for range 4 * conns {
				if g%2 == 0 && !f.In(data) || g%2 == 1 && !f.Out(back) {
					t.Error("a connection that every policy allows is cut")
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 400 {
			f.Set([]*Rules{wide, narrow}[i%2])
			f.Flows()
		}
	})
	wg.Wait()
	f.Set(narrow)
	for i := range 4 * conns {
		if _, _, data, back := packets(uint16(1+i), 443); f.In(data) || f.Out(back) {
			t.Fatal("a connection that is forbidden now goes on")
		}
	}
}

func endsOf(src, dst netip.Addr) *ends {
	var e ends
	for _, w := range []struct {
		a      netip.Addr
		hi, lo *uint64
	}{{src, &e.srcHi, &e.srcLo}, {dst, &e.dstHi, &e.dstLo}} {
		b := w.a.As16()
		*w.hi, *w.lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	}
	return &e
}
