package stub

import (
	"net"
	"testing"

	mdns "github.com/miekg/dns"
)

// FuzzAnswer feeds raw packets to the answer path.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"laptop.home.internal.", "laptop.", "x.home.internal.", "1.0.101.100.in-addr.arpa.", "example.com.", "."} {
		m := new(mdns.Msg).SetQuestion(name, mdns.TypeANY)
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	zones := testZones(f)
	sc := newScratch()
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > maxQuery {
			return
		}
		out, foreign := sc.answer(zones, in)
		if foreign && out != nil {
			t.Error("an answer to what is not ours")
		}
		if out == nil {
			return
		}
		if len(out) < headerLen || len(out) > sc.limit() || out[0] != in[0] || out[1] != in[1] || out[2]&0x80 == 0 {
			t.Errorf("%x is answered with %x", in, out)
		}
		var m mdns.Msg
		if err := m.Unpack(out); err != nil {
			t.Errorf("the answer to %x does not unpack: %v", in, err)
		}
	})
}

// BenchmarkAnswer is the answer path from memory, without sockets.
func BenchmarkAnswer(b *testing.B) {
	zones := testZones(b)
	for _, name := range []string{"laptop.home.internal.", "nobody.home.internal."} {
		m := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
		m.SetEdns0(1232, false)
		in, err := m.Pack()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			sc := newScratch()
			b.ReportAllocs()
			for b.Loop() {
				sc.answer(zones, in)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "q/s")
		})
	}
}

// BenchmarkLoopback asks over a real socket, keeping 64 queries on their way.
// Client and server share the processor: the server alone does more.
func BenchmarkLoopback(b *testing.B) {
	_, addr := startReal(b, nil)
	c, err := net.Dial("udp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	q, err := new(mdns.Msg).SetQuestion("laptop.home.internal.", mdns.TypeA).Pack()
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1500)
	flying := 0
	for b.Loop() {
		for ; flying < 64; flying++ {
			if _, err := c.Write(q); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
		flying--
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "q/s")
}
