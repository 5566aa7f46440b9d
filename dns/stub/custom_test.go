package stub

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"kith.internal/dns"
)

// customZones are the test's zones, the first with custom records.
func customZones(t testing.TB, sets ...dns.RecordSet) *dns.Zones {
	t.Helper()
	zs := testZones(t).All()
	z, refused := zs[0].WithRecords("home", sets)
	if refused != nil {
		t.Fatal(refused)
	}
	out, err := dns.NewZones(z, zs[1])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func rec(name, rtype string, values ...string) dns.RecordSet {
	return dns.RecordSet{Name: name, Type: rtype, Values: values}
}

// publicWorld answers what others know: alias.example.org, and nothing else.
var publicWorld = forwardFunc(func(_ context.Context, q []byte) ([]byte, error) {
	var m mdns.Msg
	if err := m.Unpack(q); err != nil {
		return nil, err
	}
	r := new(mdns.Msg).SetReply(&m)
	ask := m.Question[0]
	if ask.Name != "public.example.org." {
		r.Rcode = mdns.RcodeNameError
		return r.Pack()
	}
	rr, err := mdns.NewRR("public.example.org. 60 IN A 203.0.113.9")
	if err != nil {
		return nil, err
	}
	if ask.Qtype == mdns.TypeA {
		r.Answer = []mdns.RR{rr}
	}
	return r.Pack()
})

func TestCustomAnswers(t *testing.T) {
	s := New(Config{Forward: publicWorld})
	defer s.Close()
	s.Set(customZones(t,
		rec("www.example.com", "A", "192.0.2.1", "192.0.2.2"),
		rec("example.com", "MX", "10 mail.example.com", "20 mail.example.org"),
		rec("example.com", "TXT", `v="a\b"`, strings.Repeat("x", 300)),
		rec("*.apps.example.com", dns.Device, "laptop"),
		rec("git.home.internal", "CNAME", "short.example.com"),
		rec("short.example.com", "CNAME", "laptop.home.internal"),
		rec("out.home.internal", "CNAME", "public.example.org"),
		rec("lost.home.internal", "CNAME", "nobody.example.org"),
		rec("gone.home.internal", "CNAME", "nobody.home.internal"),
		rec("_ssh._tcp.home.internal", "SRV", "1 2 22 laptop.home.internal"),
		rec("x.y.home.internal", "A", "192.0.2.3"),
	))
	type result struct {
		RCode   string
		Auth    bool
		Records []string
	}
	ok := func(records ...string) result { return result{"NOERROR", true, records} }
	fromOthers := func(rcode string, records ...string) result { return result{rcode, false, records} }
	tests := []struct {
		name, qtype string
		want        result
	}{
		{"www.example.com", "A", ok("www.example.com. 10 IN A 192.0.2.1", "www.example.com. 10 IN A 192.0.2.2")},
		{"WWW.Example.com", "A", ok("WWW.Example.com. 10 IN A 192.0.2.1", "WWW.Example.com. 10 IN A 192.0.2.2")},
		{"www.example.com", "AAAA", ok()},
		{"www.example.com", "HTTPS", ok()},
		{"www.example.com", "DS", fromOthers("NOERROR")}, // not NXDOMAIN: the name is there
		{"other.example.com", "A", fromOthers("NXDOMAIN")},
		{"example.com", "MX", ok("example.com. 10 IN MX 10 mail.example.com.", "example.com. 10 IN MX 20 mail.example.org.")},
		{"example.com", "TXT", ok("example.com. 10 IN TXT "+`"v=\"a\\b\""`, `example.com. 10 IN TXT "`+strings.Repeat("x", 255)+`" "`+strings.Repeat("x", 45)+`"`)},
		{"example.com", "A", fromOthers("NOERROR")},
		{"x.apps.example.com", "A", ok("x.apps.example.com. 10 IN A 100.101.0.1")},
		{"x.apps.example.com", "AAAA", ok("x.apps.example.com. 10 IN AAAA fd12:3456:789a::1")},
		{"git.home.internal", "A", ok("git.home.internal. 10 IN CNAME short.example.com.", "short.example.com. 10 IN CNAME laptop.home.internal.", "laptop.home.internal. 10 IN A 100.101.0.1")},
		{"git.home.internal", "CNAME", ok("git.home.internal. 10 IN CNAME short.example.com.")},
		{"git.home.internal", "MX", ok("git.home.internal. 10 IN CNAME short.example.com.", "short.example.com. 10 IN CNAME laptop.home.internal.")},
		{"git", "A", ok("git. 10 IN CNAME short.example.com.", "short.example.com. 10 IN CNAME laptop.home.internal.", "laptop.home.internal. 10 IN A 100.101.0.1")},
		{"out.home.internal", "A", fromOthers("NOERROR", "out.home.internal. 10 IN CNAME public.example.org.", "public.example.org. 60 IN A 203.0.113.9")},
		{"lost.home.internal", "A", fromOthers("NXDOMAIN", "lost.home.internal. 10 IN CNAME nobody.example.org.")},
		{"gone.home.internal", "A", result{"NXDOMAIN", true, []string{"gone.home.internal. 10 IN CNAME nobody.home.internal."}}},
		{"_ssh._tcp.home.internal", "SRV", ok("_ssh._tcp.home.internal. 10 IN SRV 1 2 22 laptop.home.internal.")},
		{"y.home.internal", "A", ok()},
		{"z.y.home.internal", "A", result{"NXDOMAIN", true, nil}},
		{"use-application-dns.net", "A", result{"NXDOMAIN", true, nil}},
		{"Use-Application-DNS.net", "AAAA", result{"NXDOMAIN", true, nil}},
	}
	for _, tt := range tests {
		r, err := s.Query(t.Context(), tt.name, tt.qtype)
		got := result{r.RCode, r.Authoritative, nil}
		for _, rr := range r.Records {
			got.Records = append(got.Records, strings.ReplaceAll(rr, "\t", " "))
		}
		if d := cmp.Diff(tt.want, got); d != "" || err != nil {
			t.Errorf("%s %s: %v %s", tt.name, tt.qtype, err, d)
		}
	}
}

// TestHandOver looks at whole messages: ID, question and case are the client's.
func TestHandOver(t *testing.T) {
	s := New(Config{Forward: publicWorld})
	defer s.Close()
	s.Set(customZones(t, rec("out.home.internal", "CNAME", "public.example.org")))
	q := new(mdns.Msg).SetQuestion("oUt.home.internal.", mdns.TypeA)
	q.SetEdns0(1232, true)
	in, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	sc := newScratch()
	if out, foreign := sc.answer(s.zones.Load(), in); out != nil || !foreign {
		t.Fatalf("%x, %v", out, foreign)
	}
	var m mdns.Msg
	if err := m.Unpack(s.forward(t.Context(), s.cfg.Forward, in, sc.over)); err != nil {
		t.Fatal(err)
	}
	if m.Id != q.Id || m.Question[0] != q.Question[0] || m.Authoritative || len(m.Answer) != 2 || m.Answer[0].Header().Name != "oUt.home.internal." {
		t.Errorf("%v", &m)
	}
	var asked mdns.Msg
	if err := asked.Unpack(sc.over.query); err != nil || asked.Question[0].Name != "public.example.org." || !asked.IsEdns0().Do() {
		t.Errorf("asked %v, %v", &asked, err)
	}
}

// TestChainThroughNetworks has CNAMEs of two networks that go round.
func TestChainThroughNetworks(t *testing.T) {
	zs := testZones(t).All()
	a, _ := zs[0].WithRecords("home", []dns.RecordSet{rec("a.home.internal", "CNAME", "b.work.internal")})
	b, _ := zs[1].WithRecords("work", []dns.RecordSet{rec("b.work.internal", "CNAME", "a.home.internal")})
	both, err := dns.NewZones(a, b)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{})
	defer s.Close()
	s.Set(both)
	if r, err := s.Query(t.Context(), "a.home.internal", "A"); err != nil || r.RCode != "SERVFAIL" || len(r.Records) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestBigAnswerIsCut: over UDP to the client's size, over TCP not at all.
func TestBigAnswerIsCut(t *testing.T) {
	var values []string
	for i := range 60 {
		values = append(values, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 500)))
	}
	zones := customZones(t, rec("big.example.com", "TXT", values...))
	for _, size := range []uint16{0, 512, 1232, 4096} {
		q := new(mdns.Msg).SetQuestion("big.example.com.", mdns.TypeTXT)
		if size > 0 {
			q.SetEdns0(size, false)
		}
		in, _ := q.Pack()
		sc := newScratch()
		out, _ := sc.answer(zones, in)
		var m mdns.Msg
		if err := m.Unpack(out); err != nil || !m.Truncated || len(out) > min(max(int(size), minUDP), maxUDP) {
			t.Errorf("size %d: %d bytes, truncated %v, %v", size, len(out), m.Truncated, err)
		}
		sc.stream = true
		out, _ = sc.answer(zones, in)
		if err := m.Unpack(out); err != nil || m.Truncated || len(m.Answer) != 60 {
			t.Errorf("stream: %d bytes, truncated %v, %v", len(out), m.Truncated, err)
		}
	}
}

// TestMemo: what is kept answers as what is made anew, and not beyond the zones.
func TestMemo(t *testing.T) {
	home := testZones(t)
	other := customZones(t, rec("nobody.home.internal", "A", "192.0.2.1"))
	kept := newScratch()
	kept.memo.on = true
	for round := range 3 {
		for _, zones := range []*dns.Zones{home, home, other, home, nil} {
			for i, name := range []string{"laptop.home.internal.", "LAPTOP.home.internal.", "nobody.home.internal.", "laptop.", "www.example.com.", "."} {
				for _, edns := range []uint16{0, 512, 1232} {
					q := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
					q.Id = uint16(round<<8 + i)
					if edns > 0 {
						q.SetEdns0(edns, i%2 == 0)
					}
					in, _ := q.Pack()
					want, f1 := newScratch().answer(zones, in)
					got, f2 := kept.answer(zones, in)
					if !bytes.Equal(want, got) || f1 != f2 {
						t.Fatalf("%s: %x, %v, want %x, %v", name, got, f2, want, f1)
					}
				}
			}
		}
	}
	for i := range 60000 {
		in, _ := new(mdns.Msg).SetQuestion(fmt.Sprintf("n%d.home.internal.", i), mdns.TypeA).Pack()
		kept.answer(home, in)
	}
	if kept.memo.size > maxMemo || len(kept.memo.kept) == 0 {
		t.Errorf("%d bytes kept", kept.memo.size)
	}
}

// TestNoAmplification: what others send gets nothing, over either protocol, and
// what we answer ourselves is bounded by what a query may ask for.
func TestNoAmplification(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	own := map[netip.Addr]struct{}{ip("100.101.0.1"): {}}
	s.own.Store(&own)
	for _, src := range []string{"100.101.0.2", "10.0.0.1", "203.0.113.1", "::ffff:203.0.113.1", "2001:db8::1", "255.255.255.255", "0.0.0.0", "fe80::1"} {
		if _, ok := s.clientAt(ip(src)); ok {
			t.Errorf("%s is taken for this host", src)
		}
	}
}
