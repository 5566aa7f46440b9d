package udp_test

import (
	"net/netip"
	"strconv"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"kith.internal/helper/internal/wire/udp"
)

// load is a batch as wireguard-go hands it over: in large buffers.
type load struct {
	name  string
	count int
	size  func(i int) int
}

var loads = []load{
	{"full", udp.MaxBatch, func(int) int { return 1420 }},
	{"growing", udp.MaxBatch, func(i int) int { return 100 + 8*i }}, // nothing to coalesce
	{"single", 1, func(int) int { return 148 }},
}

func (l load) bufs() (out [][]byte, bytes int64) {
	for i := range l.count {
		out = append(out, make([]byte, l.size(i), 1<<16))
		bytes += int64(l.size(i))
	}
	return out, bytes
}

// BenchmarkConn and BenchmarkStdNetBind send a batch over the loopback and
// receive it, b.N times.
func BenchmarkConn(b *testing.B) {
	for i, lo := range loopbacks {
		for _, l := range loads {
			b.Run(l.name+"/"+lo.String(), func(b *testing.B) {
				from, to := open(b, udp.Listen), open(b, udp.Listen)
				bufs, bytes := l.bufs()
				pkts := make([]udp.Packet, udp.MaxBatch)
				for i := range pkts {
					pkts[i].Buf = make([]byte, 1<<16)
				}
				read, dst := to.Readers()[i], at(lo, to)
				b.SetBytes(bytes)
				b.ReportAllocs()
				for b.Loop() {
					if err := from.WriteBatch(bufs, dst, udp.Source{}); err != nil {
						b.Fatal(err)
					}
					for got := 0; got < len(bufs); {
						n, err := read(pkts)
						if err != nil {
							b.Fatal(err)
						}
						got += n
					}
				}
			})
		}
	}
}

func BenchmarkStdNetBind(b *testing.B) {
	for i, lo := range loopbacks {
		for _, l := range loads {
			b.Run(l.name+"/"+lo.String(), func(b *testing.B) {
				from, to := conn.NewStdNetBind(), conn.NewStdNetBind()
				if _, _, err := from.Open(0); err != nil {
					b.Fatal(err)
				}
				defer from.Close()
				receive, port, err := to.Open(0)
				if err != nil {
					b.Fatal(err)
				}
				defer to.Close()
				dst, err := from.ParseEndpoint(netip.AddrPortFrom(lo, port).String())
				if err != nil {
					b.Fatal(err)
				}
				bufs, bytes := l.bufs()
				in, sizes, eps := make([][]byte, udp.MaxBatch), make([]int, udp.MaxBatch), make([]conn.Endpoint, udp.MaxBatch)
				for i := range in {
					in[i] = make([]byte, 1<<16)
				}
				b.SetBytes(bytes)
				b.ReportAllocs()
				for b.Loop() {
					if err := from.Send(bufs, dst); err != nil {
						b.Fatal(err)
					}
					for got := 0; got < len(bufs); {
						n, err := receive[i](in, sizes, eps)
						if err != nil {
							b.Fatal(err)
						}
						got += n
					}
				}
			})
		}
	}
}

// BenchmarkManyPeers receives from link-local and other addresses by turns.
func BenchmarkManyPeers(b *testing.B) {
	to := open(b, udp.Listen)
	var from []udp.Conn
	for range 16 {
		from = append(from, open(b, udp.Listen))
	}
	for i, lo := range loopbacks {
		b.Run(strconv.Itoa(len(from))+"/"+lo.String(), func(b *testing.B) {
			pkts := []udp.Packet{{Buf: make([]byte, 1<<16)}}
			read, dst, bufs := to.Readers()[i], at(lo, to), [][]byte{make([]byte, 148)}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if err := from[n%len(from)].WriteBatch(bufs, dst, udp.Source{}); err != nil {
					b.Fatal(err)
				}
				if _, err := read(pkts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
