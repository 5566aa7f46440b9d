package stub

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// FuzzAnswer feeds raw packets to the answer path.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"laptop.home.internal.", "laptop.", "x.home.internal.", "1.0.101.100.in-addr.arpa.", "example.com.", ".", "x.example.com.", "big.example.com.", "out.home.internal."} {
		m := new(mdns.Msg).SetQuestion(name, mdns.TypeANY)
		m.SetEdns0(1232, true)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	zones := customZones(f, rec("*.example.com", "CNAME", "laptop.home.internal"), rec("out.home.internal", "CNAME", "www.example.org"),
		rec("big.example.com", "TXT", strings.Repeat("a", 1000), strings.Repeat(`\`, 1000)), rec("_s._tcp.home.internal", "SRV", "1 2 3 laptop.home.internal"))
	sc, kept := newScratch(), newScratch()
	kept.memo.on = true
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > maxQuery {
			return
		}
		out, foreign := sc.answer(zones, in)
		for range 2 {
			again, f := kept.answer(zones, in)
			if f != foreign || !bytes.Equal(again, out) {
				t.Errorf("%x is answered with %x, and when kept with %x", in, out, again)
			}
		}
		if foreign && sc.over.query != nil {
			var m mdns.Msg
			if err := m.Unpack(sc.over.query); err != nil || len(m.Question) != 1 {
				t.Errorf("%x is handed over as %x", in, sc.over.query)
			}
		}
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

// FuzzHandOver feeds what upstreams may answer to where our CNAMEs lead.
func FuzzHandOver(f *testing.F) {
	zones := customZones(f, rec("out.home.internal", "CNAME", "www.example.org"))
	in, err := new(mdns.Msg).SetQuestion("out.home.internal.", mdns.TypeA).Pack()
	if err != nil {
		f.Fatal(err)
	}
	good, err := publicWorld(context.Background(), in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0, 1, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	sc := newScratch()
	f.Fuzz(func(t *testing.T, upstream []byte) {
		if _, foreign := sc.answer(zones, in); !foreign {
			t.Fatal("not handed over")
		}
		out, err := sc.over.finish(upstream)
		if err != nil {
			return
		}
		var m mdns.Msg
		if err := m.Unpack(out); err != nil || len(out) > sc.limit() {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		if m.Question[0].Name != "out.home.internal." || len(m.Answer) > 0 && m.Answer[0].Header().Rrtype != mdns.TypeCNAME {
			t.Errorf("%v", &m)
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
