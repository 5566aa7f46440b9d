package stub

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"
)

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

// TestMembersByChoice: who is let ask is told what we know ourselves, and no more.
func TestMembersByChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socks := &memSockets{}
		asked, outside := 0, 0
		s := New(Config{
			Sockets: socks,
			Forward: forwardFunc(func(_ context.Context, q []byte) ([]byte, error) { asked++; return q, nil }),
			Outside: forwardFunc(func(_ context.Context, q []byte) ([]byte, error) { outside++; return q, nil }),
		})
		defer s.Close()
		s.Set(testZones(t))
		self := ip("100.101.0.1")
		if err := s.SetAddrs([]netip.Addr{self}); err != nil {
			t.Fatal(err)
		}
		c := socks.udp[netip.AddrPortFrom(self, 53)]
		ask := func(from, name string) (rcode int) {
			q, _ := new(mdns.Msg).SetQuestion(name, mdns.TypeA).Pack()
			c.in <- packet{q, netip.AddrPortFrom(ip(from), 4000)}
			synctest.Wait()
			if len(c.out) == 0 {
				return -1
			}
			var m mdns.Msg
			if err := m.Unpack((<-c.out).data); err != nil {
				t.Fatal(err)
			}
			return m.Rcode
		}
		for _, on := range []bool{false, true, false} {
			ours, foreign := -1, -1
			s.SetServed(nil)
			if on {
				s.SetServed([]Served{{From: netip.MustParsePrefix("100.101.0.0/16"), Zones: testZones(t)}})
				ours, foreign = mdns.RcodeSuccess, mdns.RcodeRefused
			}
			if got := ask("100.101.0.2", "laptop.home.internal."); got != ours {
				t.Errorf("on %v: a member asks for a name of ours: %d, want %d", on, got, ours)
			}
			if got := ask("100.101.0.2", "www.example.com."); got != foreign {
				t.Errorf("on %v: a member asks for another: %d, want %d", on, got, foreign)
			}
			if got := ask("192.168.1.5", "laptop.home.internal."); got != -1 {
				t.Errorf("on %v: a stranger is answered", on)
			}
		}
		if asked > 0 {
			t.Error("a member's query went to upstreams")
		}
		s.SetServed([]Served{{From: netip.MustParsePrefix("100.101.0.0/16"), Zones: testZones(t), Forward: true}})
		if got := ask("100.101.0.2", "www.example.com."); got != mdns.RcodeSuccess || outside != 1 || asked > 0 {
			t.Errorf("resolving for members: %d, asked outside %d times, and as this host %d", got, outside, asked)
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

// TestPortLeftToItsHolder: a program that holds the port and restarts finds it
// free; one that is gone for good is followed.
func TestPortLeftToItsHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socks := &memSockets{down: syscall.EADDRINUSE}
		held := func(err error) {
			socks.mu.Lock()
			defer socks.mu.Unlock()
			socks.down = err
		}
		s := New(Config{Sockets: socks})
		defer s.Close()
		if err := s.SetAddrs([]netip.Addr{ip("100.101.0.1")}); err == nil {
			t.Error("no word of sockets that do not answer")
		}
		answers := func() (n int) {
			synctest.Wait()
			for _, st := range s.Status() {
				if st.Err == nil {
					n++
				}
			}
			return n
		}
		for range 10 { // it is away, and back
			time.Sleep(20 * time.Second)
			held(nil)
			for range 15 {
				time.Sleep(time.Second)
				if answers() > 0 {
					t.Fatal("the port of a program that restarts is taken")
				}
			}
			held(syscall.EADDRINUSE)
		}
		time.Sleep(20 * time.Second)
		held(nil)
		time.Sleep(freeFor + 2*retryLast)
		if answers() != 2 {
			t.Error("a port that is free is not taken")
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

// held are sockets that are open already, so that nobody takes their port.
type held struct {
	udp PacketConn
	tcp net.Listener
}

func (h held) ListenUDP(context.Context, netip.AddrPort) (PacketConn, error)   { return h.udp, nil }
func (h held) ListenTCP(context.Context, netip.AddrPort) (net.Listener, error) { return h.tcp, nil }

// hold opens the system's sockets on a port that is free for both.
func hold(t testing.TB) (h held, at netip.AddrPort) {
	t.Helper()
	for range 100 {
		tcp, err := System.ListenTCP(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		if udp, err := System.ListenUDP(t.Context(), at); err == nil {
			return held{udp, tcp}, at
		}
		tcp.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return held{}, at
}

// startReal listens on loopback over real sockets.
func startReal(t testing.TB, f Forwarder) (*Server, string) {
	t.Helper()
	socks, at := hold(t)
	s := New(Config{Port: at.Port(), Forward: f, Sockets: socks})
	t.Cleanup(func() { s.Close() })
	s.Set(testZones(t))
	if err := s.SetAddrs([]netip.Addr{at.Addr()}); err != nil {
		t.Fatal(err)
	}
	return s, at.String()
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
		c := &mdns.Client{Net: network, Timeout: 20 * time.Second}
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
