package forward

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"
)

func rr(s string) mdns.RR {
	r, err := mdns.NewRR(s)
	if err != nil {
		panic(err)
	}
	return r
}

// saying is a server that gives rcode with records: answers, then authority.
func saying(rcode int, answer []string, authority ...string) fakeServer {
	return func(_ string, q []byte) (time.Duration, [][]byte, error) {
		return 10 * time.Millisecond, [][]byte{reply(q, rcode, func(m *mdns.Msg) {
			m.Answer, m.Ns, m.Authoritative = nil, nil, true
			for _, s := range answer {
				m.Answer = append(m.Answer, rr(s))
			}
			for _, s := range authority {
				m.Ns = append(m.Ns, rr(s))
			}
		})}, nil
	}
}

// cached sets up a forwarder with one server in a bubble.
func cached(t *testing.T, srv fakeServer) (*Forwarder, *fakeNet) {
	n := newNet(t, map[netip.AddrPort]fakeServer{srvA: srv})
	f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
	t.Cleanup(func() { f.Close() })
	f.Set(Table{Default: []netip.AddrPort{srvA}})
	return f, n
}

// askFor asks and unpacks; change may alter the query.
func askFor(t *testing.T, f *Forwarder, name string, qtype uint16, change func(*mdns.Msg)) *mdns.Msg {
	t.Helper()
	m := new(mdns.Msg).SetQuestion(name, qtype)
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Forward(t.Context(), b)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	r := new(mdns.Msg)
	if err := r.Unpack(out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if r.Id != m.Id || len(r.Question) != 1 || r.Question[0] != m.Question[0] {
		t.Errorf("%s: ID and question %v", name, r)
	}
	return r
}

func TestCacheKeeps(t *testing.T) {
	const soa = "example. 600 IN SOA ns.example. me.example. 1 2 3 4 60"
	tests := map[string]struct {
		srv  fakeServer
		kept time.Duration
	}{
		"positive, the least TTL":  {saying(0, []string{"a.example. 300 IN CNAME b.example.", "b.example. 40 IN A 192.0.2.1"}), 40 * time.Second},
		"a day":                    {saying(0, []string{"a.example. 86400 IN A 192.0.2.1"}), maxTTL},
		"TTL 0":                    {saying(0, []string{"a.example. 0 IN A 192.0.2.1"}), 0},
		"TTL with its top bit set": {saying(0, []string{"a.example. 4294967295 IN A 192.0.2.1"}), 0},
		"no such name":             {saying(mdns.RcodeNameError, nil, soa), time.Minute},
		"no such name, TTL":        {saying(mdns.RcodeNameError, nil, strings.Replace(soa, "600", "20", 1)), 20 * time.Second},
		"no such name, a day":      {saying(mdns.RcodeNameError, nil, strings.Replace(strings.Replace(soa, "600", "86400", 1), " 60", " 86400", 1)), maxNegative},
		"no such name, no SOA":     {saying(mdns.RcodeNameError, nil), 0},
		"no data":                  {saying(0, nil, soa), time.Minute},
		"no data after a CNAME":    {saying(0, []string{"a.example. 30 IN CNAME b.example."}, soa), 30 * time.Second},
		"a referral":               {saying(0, nil, "example. 600 IN NS ns.example."), 0},
		"SERVFAIL":                 {saying(mdns.RcodeServerFailure, nil, soa), 0},
		"REFUSED":                  {saying(mdns.RcodeRefused, nil, soa), 0},
		"truncated": {func(_ string, q []byte) (time.Duration, [][]byte, error) {
			return 0, [][]byte{reply(q, 0, func(m *mdns.Msg) { m.Truncated = true })}, nil
		}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, n := cached(t, tt.srv)
				first := askFor(t, f, "a.example.", mdns.TypeA, nil)
				asked := n.count(srvA)
				if tt.kept == 0 {
					askFor(t, f, "a.example.", mdns.TypeA, nil)
					if n.count(srvA) == asked {
						t.Error("kept")
					}
					return
				}
				time.Sleep(tt.kept - 2*time.Second)
				start := time.Now()
				again := askFor(t, f, "A.eXample.", mdns.TypeA, nil)
				if n.count(srvA) != asked || time.Since(start) != 0 {
					t.Errorf("not kept for %v", tt.kept)
				}
				if again.Authoritative || again.Rcode != first.Rcode || len(again.Answer) != len(first.Answer) || len(again.Ns) != len(first.Ns) {
					t.Errorf("kept %v of %v", again, first)
				}
				for i, r := range append(again.Answer, again.Ns...) {
					was := append(first.Answer, first.Ns...)[i].Header().Ttl
					if want := was - uint32((tt.kept-2*time.Second)/time.Second); r.Header().Ttl != want {
						t.Errorf("TTL %d of %d, want %d", r.Header().Ttl, was, want)
					}
				}
				time.Sleep(3 * time.Second)
				askFor(t, f, "a.example.", mdns.TypeA, nil)
				synctest.Wait()
				if n.count(srvA) == asked {
					t.Errorf("kept for more than %v", tt.kept)
				}
			})
		})
	}
}

// TestCacheKeepsApart: what a query's flags and EDNS ask for is answered as asked.
func TestCacheKeepsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := cached(t, func(_ string, q []byte) (time.Duration, [][]byte, error) {
			return 0, [][]byte{reply(q, 0, func(m *mdns.Msg) {
				var asked mdns.Msg
				if err := asked.Unpack(q); err != nil {
					t.Error(err)
				}
				if opt := asked.IsEdns0(); opt != nil {
					if len(opt.Option) > 0 || opt.UDPSize() != udpSize {
						t.Errorf("asked with %v", opt)
					}
					m.SetEdns0(1232, opt.Do())
				}
			})}, nil
		})
		edns := func(do bool, options ...mdns.EDNS0) func(*mdns.Msg) {
			return func(m *mdns.Msg) { m.SetEdns0(4096, do); m.IsEdns0().Option = options }
		}
		kinds := []struct {
			change func(*mdns.Msg)
			asks   bool
		}{
			{nil, true},
			{nil, false},
			{edns(false), true},
			{edns(false), false},
			{edns(true), true},
			{edns(true), false},
			{edns(false, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "24a5ac1223344556"}), false},
			{func(m *mdns.Msg) { m.CheckingDisabled = true }, true},
			{func(m *mdns.Msg) { m.AuthenticatedData = true }, true},
			{func(m *mdns.Msg) { m.RecursionDesired = false }, true},
			{func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAAAA }, true},
			{func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }, true},
			{nil, false},
		}
		for i, k := range kinds {
			before := n.count(srvA)
			r := askFor(t, f, "a.example.", mdns.TypeA, k.change)
			if asked := n.count(srvA) > before; asked != k.asks {
				t.Errorf("query %d: asked %v, want %v", i, asked, k.asks)
			}
			q := new(mdns.Msg).SetQuestion("a.example.", mdns.TypeA)
			if k.change != nil {
				k.change(q)
			}
			if want, got := q.IsEdns0(), r.IsEdns0(); (want == nil) != (got == nil) || want != nil && want.Do() != got.Do() {
				t.Errorf("query %d: OPT %v, want %v", i, got, want)
			}
		}
	})
}

func TestCacheIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := cached(t, answering(time.Millisecond, 0))
		n.servers[srvB] = answering(time.Millisecond, 0)
		same := Table{Default: []netip.AddrPort{srvA}}
		for name, tt := range map[string]struct {
			change func()
			forget bool
		}{
			"nothing":        {func() {}, false},
			"the same table": {func() { f.Set(same) }, false},
			"a split domain": {func() {
				f.Set(Table{Default: same.Default, Split: map[string][]netip.AddrPort{"corp.example": {srvB}}})
			}, true},
			"a flush": {f.Flush, true},
		} {
			f.Set(same)
			askFor(t, f, "a.example.", mdns.TypeA, nil)
			before := n.count(srvA)
			tt.change()
			askFor(t, f, "a.example.", mdns.TypeA, nil)
			if forgot := n.count(srvA) > before; forgot != tt.forget {
				t.Errorf("%s: forgotten %v", name, forgot)
			}
		}
		// An answer on its way while the table changes is the old network's.
		n.servers[srvA] = answering(time.Second, 0)
		go f.Forward(context.Background(), query("slow.example."))
		time.Sleep(time.Millisecond)
		f.Set(Table{Default: []netip.AddrPort{srvA, srvB}})
		time.Sleep(2 * time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.cache.young) != 0 {
			t.Error("an answer of the network before is kept")
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	f := New(Config{Dial: refusing})
	defer f.Close()
	s := shape{ttls: []uint16{20}, ttl: 60, matching: true}
	for i := range 50000 {
		f.cache.put(fmt.Sprint("key", i), make([]byte, 100+i%300), &s, 20)
		if i%2 == 0 {
			f.cache.get("key0", make([]byte, 30)) // in use, so it stays
		}
	}
	total := 0
	for _, half := range []map[string]*entry{f.cache.young, f.cache.old} {
		for k, e := range half {
			total += len(k) + len(e.msg) + entryCost
		}
	}
	if total > maxCached || total < maxCached/4 {
		t.Errorf("%d bytes kept", total)
	}
	if f.cache.find("key0") == nil || f.cache.find("key1") != nil {
		t.Error("what is used was forgotten, or what is not was kept")
	}
}

// TestServeStale: without upstreams the last answers live on, after a wait that
// only the first query has.
func TestServeStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, n := cached(t, saying(0, []string{"a.example. 60 IN A 192.0.2.1"}))
		askFor(t, f, "a.example.", mdns.TypeA, nil)
		n.mu.Lock()
		n.servers[srvA] = nil
		n.mu.Unlock()
		time.Sleep(2 * time.Minute)
		start := time.Now()
		r := askFor(t, f, "a.example.", mdns.TypeA, nil)
		if took := time.Since(start); took != staleAfter || len(r.Answer) != 1 || r.Answer[0].Header().Ttl != staleTTL {
			t.Errorf("after %v: %v", took, r)
		}
		start = time.Now()
		for range 5 {
			askFor(t, f, "a.example.", mdns.TypeA, nil)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("known to be stale, and still %v", took)
		}
		time.Sleep(time.Minute)
		n.mu.Lock()
		n.servers[srvA] = saying(mdns.RcodeServerFailure, nil)
		n.mu.Unlock()
		if r := askFor(t, f, "a.example.", mdns.TypeA, nil); r.Rcode != mdns.RcodeServerFailure {
			t.Errorf("an RCODE is not passed on: %v", r)
		}
		n.mu.Lock()
		n.servers[srvA] = saying(0, []string{"a.example. 60 IN A 192.0.2.2"})
		n.mu.Unlock()
		if r := askFor(t, f, "a.example.", mdns.TypeA, nil); len(r.Answer) != 1 || r.Answer[0].(*mdns.A).A.String() != "192.0.2.2" {
			t.Errorf("news are not taken: %v", r)
		}
		n.mu.Lock()
		n.servers[srvA] = nil
		n.mu.Unlock()
		time.Sleep(staleFor + 2*time.Minute)
		q := query("a.example.")
		if _, err := f.Forward(t.Context(), q); err == nil {
			t.Error("an answer of the day before yesterday")
		}
	})
}

// TestPrefetch: a name in use is asked for again before it expires, once.
func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		f, _ := cached(t, func(network string, q []byte) (time.Duration, [][]byte, error) {
			asked.Add(1)
			return saying(0, []string{"a.example. 100 IN A 192.0.2.1"})(network, q)
		})
		askFor(t, f, "a.example.", mdns.TypeA, nil)
		for range 500 {
			time.Sleep(time.Second)
			start := time.Now()
			askFor(t, f, "a.example.", mdns.TypeA, nil)
			if time.Since(start) != 0 {
				t.Fatal("a query had to wait")
			}
		}
		if n := asked.Load(); n < 5 || n > 8 {
			t.Errorf("asked %d times in 500 s", n)
		}
		time.Sleep(time.Hour)
		if n := asked.Load(); n > 8 {
			t.Errorf("asked %d times, nobody uses it", n)
		}
	})
}

// FuzzCache feeds answers: whatever is kept comes back whole, and readable.
func FuzzCache(f *testing.F) {
	q := query("a.example.")
	for _, srv := range []fakeServer{
		saying(0, []string{"a.example. 300 IN CNAME b.example.", "b.example. 40 IN A 192.0.2.1"}),
		saying(3, nil, "example. 600 IN SOA ns.example. me.example. 1 2 3 4 60"),
	} {
		_, replies, _ := srv("udp", q)
		f.Add(replies[0][headerLen:])
	}
	f.Add([]byte{1, 'a', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1, 0xc0, 0xc0})
	f.Fuzz(func(t *testing.T, body []byte) {
		asked, ok := parseQuestion(q)
		if !ok {
			t.Fatal("query")
		}
		msg := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(len(body) % 4), 0, byte(len(body) % 3), 0, byte(len(body) % 2)}, body...)
		answer, s, v := asked.reply(q, msg)
		if v != proper {
			return
		}
		fw := New(Config{Dial: refusing})
		defer fw.Close()
		req := newRequest(q, asked)
		fw.cache.put(req.key, answer, &s, asked.end)
		out, err := fw.Forward(context.Background(), q)
		if life := lifetime(answer, &s); (err == nil) != (life > 0) {
			t.Fatalf("kept for %v, then %v", life, err)
		}
		if err != nil {
			return
		}
		if len(out) != len(answer) || string(out[:2]) != string(q[:2]) {
			t.Errorf("%x comes back as %x", answer, out)
		}
		for _, at := range s.ttls {
			if binary.BigEndian.Uint32(out[at:]) > binary.BigEndian.Uint32(answer[at:]) {
				t.Error("a TTL grew")
			}
		}
	})
}
