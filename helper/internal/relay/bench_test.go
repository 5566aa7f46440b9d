package relay

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
)

// flow sends b.N datagrams from one link to another, no more at once than a
// queue holds.
func flow(b *testing.B, size int, from, to *Link) {
	room := make(chan struct{}, 160)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, MaxFrame)
		for range b.N {
			if _, err := to.Read(buf); err != nil {
				b.Error(err)
				return
			}
			<-room
		}
	})
	frame := make([]byte, size)
	frame[0] = 2
	batch := make([][]byte, 0, 8)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += len(batch) {
		batch = batch[:0]
		for range min(cap(batch), b.N-sent) {
			room <- struct{}{}
			batch = append(batch, frame)
		}
		from.Write(batch)
	}
	wg.Wait()
}

// BenchmarkLink is one link over loopback.
func BenchmarkLink(b *testing.B) {
	for _, size := range []int{64, 1400} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			cert, _, pin, err := NewCertificate()
			if err != nil {
				b.Fatal(err)
			}
			attached := make(chan *Link, 1)
			s, err := Serve(ServerConfig{Listener: listen(b), Cert: cert, Open: openToken, Attach: func(_ key.Public, l *Link) { attached <- l }})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			l, err := Dial(b.Context(), direct, Target{Addrs: []netip.AddrPort{addrPort(s.Addr())}, Pin: pin}, tokenOf(client(1)))
			if err != nil {
				b.Fatal(err)
			}
			defer shut(l)
			flow(b, size, l, <-attached)
		})
	}
}

// BenchmarkRelayed is from client to client over the relay.
func BenchmarkRelayed(b *testing.B) {
	r := newRelay(b, listen(b))
	flow(b, 1400, mustDial(b, r, 1), mustDial(b, r, 2))
}

// BenchmarkHandshake is a link made and ended, both ends.
func BenchmarkHandshake(b *testing.B) {
	r := newRelay(b, listen(b))
	for b.Loop() {
		r.gate.mu.Lock()
		clear(r.gate.sources) // its rate is not what is measured
		r.gate.total = bucket{}
		r.gate.mu.Unlock()
		l, err := Dial(context.Background(), direct, r.target(), tokenOf(client(1)))
		if err != nil {
			b.Fatal(err)
		}
		shut(l)
	}
}

// The relay of 200 clients stays small: when all send at once, and when none
// reads. Clients and relay are one process here.
func TestTwoHundredClientsAreCheap(t *testing.T) {
	const clients, each = 200, 200
	before := heap()
	r := newRelay(t, listen(t))
	links := make([]*Link, clients)
	var wg sync.WaitGroup
	start := time.Now()
	slots := make(chan struct{}, 8) // all at once may take longer than a relay waits for each
	for i := range links {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l, err := Dial(ctx, direct, r.target(), tokenOf(client(byte(i))))
			if err != nil {
				t.Error(err)
				return
			}
			links[i] = l
			r.link(byte(i))
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	joined, idle := time.Since(start), heap()-before

	var got atomic.Int64
	var readers sync.WaitGroup
	for _, l := range links {
		readers.Go(func() {
			b := make([]byte, MaxFrame)
			for {
				if _, err := l.Read(b); err != nil {
					return
				}
				got.Add(1)
			}
		})
	}
	send := func() {
		for i, l := range links {
			wg.Go(func() {
				frame := make([]byte, 1400)
				for k := range each {
					frame[0] = byte(i+k) % clients
					l.Write([][]byte{frame})
				}
			})
		}
		wg.Wait()
	}
	send()
	loaded := heap() - before
	for _, l := range links { // all end at once
		l.Close()
	}
	readers.Wait()
	for _, l := range links {
		<-l.gone
	}
	t.Logf("%d links in %v; heap and stacks: idle %.1f MiB, loaded %.1f MiB; resident %s; %d of %d arrived",
		clients, joined.Round(time.Millisecond), mib(idle), mib(loaded), resident(), got.Load(), clients*each)
	if mib(loaded) > 100 {
		t.Errorf("200 clients take %.1f MiB", mib(loaded))
	}
}

// No queue grows while nobody reads, however many links there are.
func TestTwoHundredClientsThatDoNotRead(t *testing.T) {
	const clients, each = 200, 400
	r := newRelay(t, listen(t))
	before := heap()
	for i := range clients {
		mustDial(t, r, byte(i))
	}
	frame := make([]byte, 1400)
	// The kernel takes a little; then all that is sent costs something older. On a
	// busy machine links end meanwhile (after 30 s): they take nothing any more.
	for lost := uint64(0); lost < clients*each*9/10; {
		lost = 0
		for i := range clients {
			l := r.link(byte(i))
			before := l.Dropped()
			for range each {
				if l.Write([][]byte{frame}) != nil {
					lost++
				}
			}
			lost += l.Dropped() - before
		}
	}
	held := heap() - before
	t.Logf("heap and stacks with 200 full queues: %.1f MiB; %d chunks of the budget left; resident %s", mib(held), r.budget.left.Load(), resident())
	if mib(held) > 100 {
		t.Errorf("200 full queues take %.1f MiB", mib(held))
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC() // pools keep what they have for one collection
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// resident is VmRSS, where there is one.
func resident() string {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}
