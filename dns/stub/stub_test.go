package stub

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"

	"kith.internal/dns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func testZones(t testing.TB) *dns.Zones {
	t.Helper()
	home, refused, err := dns.NewZone("home", []netip.Prefix{netip.MustParsePrefix("100.101.0.0/16"), netip.MustParsePrefix("fd12:3456:789a::/48")},
		[]dns.Host{
			{Name: "laptop", V4: ip("100.101.0.1"), V6: ip("fd12:3456:789a::1")},
			{Name: "phone", V6: ip("fd12:3456:789a::2")},
		})
	if err != nil || refused != nil {
		t.Fatal(err, refused)
	}
	work, _, err := dns.NewZone("work", []netip.Prefix{netip.MustParsePrefix("100.102.0.0/16")},
		[]dns.Host{{Name: "laptop", V4: ip("100.102.0.9")}, {Name: "com", V4: ip("100.102.0.2")}})
	if err != nil {
		t.Fatal(err)
	}
	zs, err := dns.NewZones(home, work)
	if err != nil {
		t.Fatal(err)
	}
	return zs
}

// ask packs a query, changed as the test wants, and unpacks its answer.
func ask(t testing.TB, name string, qtype uint16, change func(*mdns.Msg)) (reply *mdns.Msg, foreign bool) {
	t.Helper()
	m := new(mdns.Msg).SetQuestion(name, qtype)
	if change != nil {
		change(m)
	}
	in, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out, foreign := newScratch().answer(testZones(t), in)
	if foreign || out == nil {
		return nil, foreign
	}
	reply = new(mdns.Msg)
	if err := reply.Unpack(out); err != nil {
		t.Fatalf("answer to %s: %v", name, err)
	}
	if reply.Id != m.Id || !reply.Response {
		t.Errorf("answer to %s: header %+v", name, reply.MsgHdr)
	}
	return reply, false
}

func TestAnswer(t *testing.T) {
	const soaHome = "home.internal.\t1\tIN\tSOA\thome.internal. nobody.invalid. 1 3600 1200 604800 1"
	const soaRev = "101.100.in-addr.arpa.\t1\tIN\tSOA\t101.100.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 1"
	rev4, rev6 := dns.ReverseName(ip("100.101.0.1")), dns.ReverseName(ip("fd12:3456:789a::2"))
	type want struct {
		Foreign bool
		Rcode   string
		Answer  []string
		Ns      []string
	}
	ok := func(rrs ...string) want { return want{Rcode: "NOERROR", Answer: rrs} }
	nodata := func(soa string) want { return want{Rcode: "NOERROR", Ns: []string{soa}} }
	nx := func(soa string) want { return want{Rcode: "NXDOMAIN", Ns: []string{soa}} }
	tests := []struct {
		name  string
		qtype uint16
		want  want
	}{
		{"laptop.home.internal.", mdns.TypeA, ok("laptop.home.internal.\t10\tIN\tA\t100.101.0.1")},
		{"laptop.home.internal.", mdns.TypeAAAA, ok("laptop.home.internal.\t10\tIN\tAAAA\tfd12:3456:789a::1")},
		{"laptop.home.internal.", mdns.TypeANY, ok("laptop.home.internal.\t10\tIN\tA\t100.101.0.1", "laptop.home.internal.\t10\tIN\tAAAA\tfd12:3456:789a::1")},
		{"LaPtOp.hOmE.InTeRnAl.", mdns.TypeA, ok("LaPtOp.hOmE.InTeRnAl.\t10\tIN\tA\t100.101.0.1")},
		{"laptop.work.internal.", mdns.TypeA, ok("laptop.work.internal.\t10\tIN\tA\t100.102.0.9")},
		{"laptop.home.internal.", mdns.TypeMX, nodata(soaHome)},
		{"laptop.home.internal.", mdns.TypeHTTPS, nodata(soaHome)},
		{"phone.home.internal.", mdns.TypeA, nodata(soaHome)}, // IPv6 alone
		{"phone.home.internal.", mdns.TypeAAAA, ok("phone.home.internal.\t10\tIN\tAAAA\tfd12:3456:789a::2")},
		{"nobody.home.internal.", mdns.TypeA, nx(soaHome)},
		{"a.laptop.home.internal.", mdns.TypeA, nx(soaHome)},
		{"home.internal.", mdns.TypeA, nodata(soaHome)},
		{"home.internal.", mdns.TypeDS, nodata(soaHome)},
		{"home.internal.", mdns.TypeSOA, ok(soaHome)},
		{"home.internal.", mdns.TypeNS, ok("home.internal.\t10\tIN\tNS\thome.internal.")},
		{"laptop.", mdns.TypeA, ok("laptop.\t10\tIN\tA\t100.101.0.1")}, // the first network's
		{"laptop.", mdns.TypeTXT, nodata(soaHome)},
		{"com.", mdns.TypeA, ok("com.\t10\tIN\tA\t100.102.0.2")},
		{"com.", mdns.TypeNS, want{Foreign: true}},
		{"com.", mdns.TypeDS, want{Foreign: true}},
		{rev4, mdns.TypePTR, ok(rev4 + "\t10\tIN\tPTR\tlaptop.home.internal.")},
		{rev6, mdns.TypePTR, ok(rev6 + "\t10\tIN\tPTR\tphone.home.internal.")},
		{rev4, mdns.TypeA, nodata(soaRev)},
		{dns.ReverseName(ip("100.101.0.77")), mdns.TypePTR, nx(soaRev)},
		{"101.100.in-addr.arpa.", mdns.TypeSOA, ok(soaRev)},
		{dns.ReverseName(ip("192.0.2.1")), mdns.TypePTR, want{Foreign: true}},
		{"example.com.", mdns.TypeA, want{Foreign: true}},
		{"internal.", mdns.TypeA, want{Foreign: true}},
		{"metadata.google.internal.", mdns.TypeA, want{Foreign: true}},
		{"nobody.", mdns.TypeA, want{Foreign: true}},
		{"laptop.home.internal.", mdns.TypeAXFR, want{Rcode: "REFUSED"}},
	}
	for _, tt := range tests {
		m, foreign := ask(t, tt.name, tt.qtype, nil)
		got := want{Foreign: foreign}
		if m != nil {
			got.Rcode = mdns.RcodeToString[m.Rcode]
			for _, rr := range m.Answer {
				got.Answer = append(got.Answer, rr.String())
			}
			for _, rr := range m.Ns {
				got.Ns = append(got.Ns, rr.String())
			}
			if m.Question[0].Name != tt.name || !m.RecursionAvailable || m.Authoritative != (tt.qtype != mdns.TypeAXFR) {
				t.Errorf("%s: question %v, header %+v", tt.name, m.Question, m.MsgHdr)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s %s: %s", tt.name, mdns.TypeToString[tt.qtype], d)
		}
	}
}

func TestAnswerEDNS(t *testing.T) {
	m, _ := ask(t, "laptop.home.internal.", mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(4096, true) })
	if opt := m.IsEdns0(); opt == nil || opt.UDPSize() != maxUDP || !opt.Do() || opt.Version() != 0 {
		t.Errorf("OPT %v", opt)
	}
	m, _ = ask(t, "laptop.home.internal.", mdns.TypeA, nil)
	if m.IsEdns0() != nil {
		t.Error("an OPT without being asked")
	}
	m, _ = ask(t, "laptop.home.internal.", mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(4096, false); m.IsEdns0().SetVersion(1) })
	if m.Rcode != mdns.RcodeBadVers || len(m.Answer) != 0 {
		t.Errorf("version 1: %v", m)
	}
	m, _ = ask(t, "laptop.home.internal.", mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(4096, false); m.SetEdns0(4096, false) })
	if m.Rcode != mdns.RcodeFormatError {
		t.Errorf("two OPTs: %v", m)
	}
}

func TestAnswerMalformed(t *testing.T) {
	good, err := new(mdns.Msg).SetQuestion("laptop.home.internal.", mdns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(b []byte) []byte) []byte { return change(append([]byte(nil), good...)) }
	set := func(i int, v byte) []byte { return with(func(b []byte) []byte { b[i] = v; return b }) }
	const silence = -1
	tests := map[string]struct {
		in    []byte
		rcode int
	}{
		"empty":            {nil, silence},
		"short":            {good[:11], silence},
		"an answer":        {set(2, 0x81), silence},
		"NOTIFY":           {set(2, 4<<3), mdns.RcodeNotImplemented},
		"UPDATE":           {set(2, 5<<3), mdns.RcodeNotImplemented},
		"no question":      {set(5, 0), mdns.RcodeFormatError},
		"two questions":    {set(5, 2), mdns.RcodeFormatError},
		"65535 questions":  {with(func(b []byte) []byte { b[4], b[5] = 255, 255; return b }), mdns.RcodeFormatError},
		"an answer record": {set(7, 1), mdns.RcodeFormatError},
		"header alone":     {good[:12], mdns.RcodeFormatError},
		"cut question":     {good[:20], mdns.RcodeFormatError},
		"pointer to self":  {append(append([]byte(nil), good[:12]...), 0xc0, 12, 0, 1, 0, 1), mdns.RcodeFormatError},
		"label too long":   {set(12, 200), mdns.RcodeFormatError},
		"class CHAOS":      {with(func(b []byte) []byte { b[len(b)-1] = 3; return b }), mdns.RcodeRefused},
		"class ANY":        {with(func(b []byte) []byte { b[len(b)-1] = 255; return b }), mdns.RcodeRefused},
	}
	for name, tt := range tests {
		out, foreign := newScratch().answer(testZones(t), tt.in)
		got := silence
		if out != nil {
			got = int(out[3] & 15)
		}
		if foreign || got != tt.rcode || len(out) > max(len(tt.in), headerLen) {
			t.Errorf("%s: rcode %d (foreign %v, %d bytes), want %d", name, got, foreign, len(out), tt.rcode)
		}
	}
}

// TestLongestNameFits has the largest answers that we make of our own.
func TestLongestNameFits(t *testing.T) {
	name := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 47) + ".home.internal."
	m, foreign := ask(t, name, mdns.TypeA, func(m *mdns.Msg) { m.SetEdns0(512, false) })
	if foreign || m.Rcode != mdns.RcodeNameError || m.Len() > minUDP {
		t.Errorf("%d bytes, %v", m.Len(), m)
	}
}
