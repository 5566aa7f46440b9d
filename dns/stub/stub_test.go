package stub

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// memSockets are sockets in memory; a nil map entry is an address not there.
type memSockets struct {
	mu   sync.Mutex
	down error
	udp  map[netip.AddrPort]*memConn
	n    int
}

type packet struct {
	data []byte
	peer netip.AddrPort
}

type memConn struct {
	in, out chan packet
	closed  chan struct{}
	once    sync.Once
}

func (c *memConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-c.in:
		return copy(b, p.data), p.peer, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (c *memConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	select {
	case c.out <- packet{append([]byte(nil), b...), to}:
		return len(b), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *memConn) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (m *memSockets) ListenUDP(_ context.Context, a netip.AddrPort) (PacketConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n++; m.down != nil {
		return nil, m.down
	}
	c := &memConn{in: make(chan packet), out: make(chan packet, 1000), closed: make(chan struct{})}
	if m.udp == nil {
		m.udp = make(map[netip.AddrPort]*memConn)
	}
	m.udp[a] = c
	return c, nil
}

type memListener struct{ closed chan struct{} }

func (l *memListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l *memListener) Addr() net.Addr            { return nil }
func (l *memListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (m *memSockets) ListenTCP(context.Context, netip.AddrPort) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, m.down
	}
	return &memListener{make(chan struct{})}, nil
}

type forwardFunc func(context.Context, []byte) ([]byte, error)

func (f forwardFunc) Forward(ctx context.Context, q []byte) ([]byte, error) { return f(ctx, q) }

// TestSourceFilter: only the host itself gets answers.
func TestSourceFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socks := &memSockets{}
		s := New(Config{Sockets: socks})
		defer s.Close()
		s.Set(testZones(t))
		self := ip("100.101.0.1")
		if err := s.SetAddrs([]netip.Addr{self, ip("fd12:3456:789a::1")}); err != nil {
			t.Fatal(err)
		}
		c := socks.udp[netip.AddrPortFrom(self, 53)]
		q, _ := new(mdns.Msg).SetQuestion("laptop.home.internal.", mdns.TypeA).Pack()
		for src, want := range map[string]int{
			"100.101.0.1": 1, "::ffff:100.101.0.1": 1, "127.0.0.1": 1, "::1": 1, "fd12:3456:789a::1": 1,
			"100.101.0.2": 0, "192.168.1.5": 0, "fd12:3456:789a::2": 0, "fe80::1%eth0": 0, "8.8.8.8": 0,
		} {
			c.in <- packet{q, netip.AddrPortFrom(ip(src), 4000)}
			synctest.Wait()
			if len(c.out) != want {
				t.Errorf("from %s: %d answers, want %d", src, len(c.out), want)
			}
			for len(c.out) > 0 {
				<-c.out
			}
		}
		c.in <- packet{make([]byte, maxQuery+1), netip.AddrPortFrom(self, 4000)}
		synctest.Wait()
		if len(c.out) != 0 {
			t.Error("an oversized query was answered")
		}
	})
}

func TestSetAddrsRetriesAndFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socks := &memSockets{down: errors.New("cannot assign requested address")}
		changed := make(chan struct{}, 100)
		s := New(Config{Sockets: socks, Changed: func() { changed <- struct{}{} }})
		a, b := ip("100.101.0.1"), ip("100.102.0.1")
		if err := s.SetAddrs([]netip.Addr{a}); err == nil {
			t.Error("no word of sockets that do not answer")
		}
		socks.mu.Lock()
		socks.down = nil
		socks.mu.Unlock()
		time.Sleep(retryFirst)
		synctest.Wait()
		if len(changed) != 2 {
			t.Errorf("%d changes told, want UDP's and TCP's", len(changed))
		}
		tries := socks.n
		for range 3 { // the same again opens nothing
			if err := s.SetAddrs([]netip.Addr{a}); err != nil {
				t.Error(err)
			}
		}
		if socks.n != tries {
			t.Errorf("%d sockets opened anew", socks.n-tries)
		}
		first := socks.udp[netip.AddrPortFrom(a, 53)]
		first.Close() // breaks by itself
		synctest.Wait()
		if st := s.Status(); st[0].Err == nil {
			t.Error("a broken socket is said to answer")
		}
		time.Sleep(retryFirst)
		synctest.Wait()
		if st := s.Status(); st[0].Err != nil || socks.udp[netip.AddrPortFrom(a, 53)] == first {
			t.Errorf("not opened again: %v", st)
		}
		if err := s.SetAddrs([]netip.Addr{b}); err != nil {
			t.Error(err)
		}
		if st := s.Status(); len(st) != 2 || st[0].Addr.Addr() != b {
			t.Errorf("status %v", st)
		}
		if err := s.SetAddrs(nil); err != nil || len(s.Status()) != 0 {
			t.Errorf("%v, %v", err, s.Status())
		}
		s.Close()
		if s.SetAddrs([]netip.Addr{a}) == nil {
			t.Error("listens after Close")
		}
	})
}

// TestForwardBound fills the slots for queries at upstreams.
func TestForwardBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socks := &memSockets{}
		s := New(Config{Sockets: socks, Forward: forwardFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})})
		self := ip("100.101.0.1")
		if err := s.SetAddrs([]netip.Addr{self}); err != nil {
			t.Fatal(err)
		}
		c := socks.udp[netip.AddrPortFrom(self, 53)]
		q, _ := new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA).Pack()
		for range maxForwards + 5 {
			c.in <- packet{q, netip.AddrPortFrom(self, 4000)}
		}
		synctest.Wait()
		if len(c.out) != 5 {
			t.Errorf("%d refusals, want 5", len(c.out))
		}
		if p := <-c.out; p.data[3]&15 != mdns.RcodeServerFailure || p.data[5] != 1 {
			t.Errorf("refusal %x", p.data)
		}
		s.Close()
	})
}

// startReal listens on loopback over real sockets.
func startReal(t testing.TB, f Forwarder) (*Server, string) {
	t.Helper()
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := probe.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	probe.Close()
	s := New(Config{Port: port, Forward: f})
	t.Cleanup(func() { s.Close() })
	s.Set(testZones(t))
	if err := s.SetAddrs([]netip.Addr{ip("127.0.0.1")}); err != nil {
		t.Fatal(err)
	}
	return s, netip.AddrPortFrom(ip("127.0.0.1"), port).String()
}

func TestRealSockets(t *testing.T) {
	big := forwardFunc(func(_ context.Context, q []byte) ([]byte, error) {
		var m mdns.Msg
		if err := m.Unpack(q); err != nil {
			return nil, err
		}
		if m.Question[0].Name == "fails.example." {
			return nil, errors.New("no")
		}
		r := new(mdns.Msg).SetReply(&m)
		for i := range 200 {
			r.Answer = append(r.Answer, &mdns.A{Hdr: mdns.RR_Header{Name: m.Question[0].Name, Rrtype: 1, Class: 1}, A: net.IPv4(1, 2, 3, byte(i))})
		}
		return r.Pack()
	})
	s, addr := startReal(t, big)
	for _, network := range []string{"udp", "tcp"} {
		c := &mdns.Client{Net: network, Timeout: 5 * time.Second}
		in, _, err := c.Exchange(new(mdns.Msg).SetQuestion("laptop.home.internal.", mdns.TypeA), addr)
		if err != nil || len(in.Answer) != 1 {
			t.Fatalf("%s: %v, %v", network, in, err)
		}
		in, _, err = c.Exchange(new(mdns.Msg).SetQuestion("big.example.", mdns.TypeA), addr)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if in.Truncated != (network == "udp") || network == "tcp" && len(in.Answer) != 200 {
			t.Errorf("%s: truncated %v, %d records", network, in.Truncated, len(in.Answer))
		}
		in, _, err = c.Exchange(new(mdns.Msg).SetQuestion("fails.example.", mdns.TypeA), addr)
		if err != nil || in.Rcode != mdns.RcodeServerFailure || len(in.Question) != 1 {
			t.Errorf("%s: %v, %v", network, in, err)
		}
	}
	c, err := net.Dial("tcp", addr) // one connection, several queries, then an oversized one
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := &mdns.Conn{Conn: c}
	for range 3 {
		if err := conn.WriteMsg(new(mdns.Msg).SetQuestion("laptop.", mdns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ReadMsg(); err != nil {
			t.Fatal(err)
		}
	}
	c.Write(binary.BigEndian.AppendUint16(nil, maxQuery+1))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an oversized query does not end the connection: %v", err)
	}
	r, err := s.Query(t.Context(), "laptop.home.internal", "")
	if err != nil || !r.Authoritative || len(r.Records) != 1 {
		t.Errorf("Query: %+v, %v", r, err)
	}
	if r, err = s.Query(t.Context(), "nobody.home.internal", "AAAA"); err != nil || r.RCode != "NXDOMAIN" || r.Records == nil {
		t.Errorf("Query: %+v, %v", r, err)
	}
	if r, err = s.Query(t.Context(), "big.example", "A"); err != nil || r.Authoritative || len(r.Records) != 200 {
		t.Errorf("Query: %d records, %v", len(r.Records), err)
	}
	for _, bad := range [][2]string{{"a", "NOTYPE"}, {strings.Repeat("a", 70), "A"}, {"a..b", "A"}} {
		if _, err := s.Query(t.Context(), bad[0], bad[1]); !errors.Is(err, ErrQuery) {
			t.Errorf("Query(%q): %v", bad, err)
		}
	}
}
