package filter

import (
	"runtime"
	"testing"
)

// BenchmarkPacket is one packet under 1,000 rules: of a flow, of one that two
// goroutines use, a refused one, and one that begins a flow.
func BenchmarkPacket(b *testing.B) {
	w, p := crowd(1000, 1000)
	f := New()
	f.Set(Compile(p, w, false))
	from, to := w.Devices[7].Addrs[0], w.Devices[0].Addrs[0]
	syn, data, back := tcp(from, to, 4000, 150, tcpSYN), tcp(from, to, 4000, 150, tcpACK), tcp(to, from, 150, 4000, tcpACK)
	if !f.In(syn) || !f.In(data) || !f.Out(back) {
		b.Fatal("it does not pass")
	}
	b.Run("flow", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.In(data)
		}
	})
	b.Run("both ways at once", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				f.In(data)
				if pb.Next() {
					f.Out(back)
				}
			}
		})
	})
	b.Run("refused", func(b *testing.B) {
		no := tcp(from, to, 4000, 9, tcpSYN)
		for b.Loop() {
			f.In(no)
		}
	})
	b.Run("begin", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for ; i < 1<<16; i++ { // its share of the table is full
			syn[40], syn[41] = byte(i>>8), byte(i)
			f.In(syn)
		}
		for b.Loop() {
			syn[40], syn[41] = byte(i>>8), byte(i)
			f.In(syn)
			i++
		}
	})
}

// BenchmarkCompile is a change of a policy with 1,000 rules among 5,000 members.
func BenchmarkCompile(b *testing.B) {
	w, p := crowd(5000, 1000)
	for b.Loop() {
		Compile(p, w, false)
	}
}

// BenchmarkState is the memory of a full table.
func BenchmarkState(b *testing.B) {
	w, p := crowd(1000, 1)
	p.Allow[0] = Default().Allow[0]
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		f := New()
		f.Set(Compile(p, w, false))
		for i := range flowsMost {
			f.In(udp(w.Devices[1+i%900].Addrs[0], w.Devices[0].Addrs[0], uint16(i), uint16(i>>16)+1))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if f.Flows() != flowsMost {
			b.Fatal(f.Flows())
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(f.Flows()), "flows")
	}
}
