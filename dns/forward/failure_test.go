package forward

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	mdns "github.com/miekg/dns"
)

// TestSixtySplitDomains: each goes where it should, and nothing leaks to another.
func TestSixtySplitDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, map[netip.AddrPort]fakeServer{srvA: answering(time.Millisecond, 0)})
		table := Table{Default: []netip.AddrPort{srvA}, Split: map[string][]netip.AddrPort{}}
		domain := func(i int) string { return fmt.Sprintf("d%d.corp%d.example", i, i%7) }
		server := func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 101, 1, byte(i)}), 53)
		}
		var leaks atomic.Int32
		for i := range 60 {
			table.Split[domain(i)] = []netip.AddrPort{server(i)}
			suffix := domain(i) + "."
			n.servers[server(i)] = func(_ string, q []byte) (time.Duration, [][]byte, error) {
				var m mdns.Msg
				if err := m.Unpack(q); err != nil || !strings.HasSuffix(strings.ToLower("."+m.Question[0].Name), "."+suffix) {
					leaks.Add(1)
				}
				return time.Millisecond, [][]byte{reply(q, 0, nil)}, nil
			}
		}
		f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
		defer f.Close()
		f.Set(table)
		for i := range 60 {
			for _, name := range []string{domain(i), "www." + domain(i), "a.b.c." + strings.ToUpper(domain(i)), "x" + domain(i), domain(i) + ".org"} {
				if _, _, err := run(t, f, name+"."); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		for i := range 60 {
			if n.count(server(i)) != 3 {
				t.Errorf("the server of %s was asked %d times", domain(i), n.count(server(i)))
			}
		}
		if leaks.Load() > 0 || n.count(srvA) != 120 {
			t.Errorf("%d names went to another's server, %d to the default", leaks.Load(), n.count(srvA))
		}
	})
}

// TestSplitServerDead: its names fail, and do not go to the default; others are
// none the slower.
func TestSplitServerDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, map[netip.AddrPort]fakeServer{srvA: answering(time.Millisecond, 0)})
		f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
		defer f.Close()
		f.Set(Table{Default: []netip.AddrPort{srvA}, Split: map[string][]netip.AddrPort{"corp.example": {srvB, srvC}}})
		if _, took, err := run(t, f, "secret.corp.example."); err == nil || took > totalTime {
			t.Errorf("%v after %v", err, took)
		}
		if n.count(srvA) != 0 {
			t.Error("a split name went to the default resolver")
		}
		if _, took, err := run(t, f, "www.example."); err != nil || took != time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestOneDeadOfMany: whichever it is costs the first query 200 ms at most, the
// others nothing.
func TestOneDeadOfMany(t *testing.T) {
	all := []netip.AddrPort{srvA, srvB, srvC}
	for dead := range all {
		synctest.Test(t, func(t *testing.T) {
			servers := map[netip.AddrPort]fakeServer{}
			for i, s := range all {
				if i != dead {
					servers[s] = answering(20*time.Millisecond, 0)
				}
			}
			n := newNet(t, servers)
			f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
			defer f.Close()
			f.Set(Table{Default: all})
			for i := range 100 {
				_, took, err := run(t, f, fmt.Sprintf("n%d.example.", i))
				if limit := 20 * time.Millisecond; err != nil || i == 0 && took > limit+hedgeMost || i > 0 && took > limit {
					t.Errorf("server %d dead: query %d took %v, %v", dead, i, took, err)
				}
				time.Sleep(300 * time.Millisecond)
			}
		})
	}
}

// TestStorm: programs that all ask for one name at once all get it.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := cached(t, answering(100*time.Millisecond, 0))
		var failed atomic.Int32
		var work sync.WaitGroup
		for range maxSame {
			work.Go(func() {
				if _, err := f.Forward(t.Context(), query("a.example.")); err != nil {
					failed.Add(1)
				}
			})
		}
		work.Wait()
		if failed.Load() > 0 {
			t.Errorf("%d of %d failed", failed.Load(), maxSame)
		}
	})
}

// TestSpelling: names go out in random case; who answers otherwise is asked over
// TCP, and in small letters from then on.
func TestSpelling(t *testing.T) {
	spelled := func(q []byte) string {
		var m mdns.Msg
		if err := m.Unpack(q); err != nil {
			t.Error(err)
		}
		return m.Question[0].Name
	}
	small := func(q []byte) []byte {
		return reply(q, 0, func(m *mdns.Msg) { m.Question[0].Name = strings.ToLower(m.Question[0].Name) })
	}
	t.Run("kept", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			seen := map[string]bool{}
			f, _ := cached(t, func(_ string, q []byte) (time.Duration, [][]byte, error) {
				seen[spelled(q)] = true
				return 0, [][]byte{reply(q, 0, func(m *mdns.Msg) { m.Answer[0].Header().Ttl = 0 })}, nil
			})
			for range 20 {
				run(t, f, "a-long-enough-name.example.")
			}
			if len(seen) < 15 {
				t.Errorf("%d spellings in 20 queries", len(seen))
			}
		})
	})
	for _, tcp := range []bool{true, false} {
		t.Run(fmt.Sprintf("not kept, TCP %v", tcp), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var udp, streams, mixed int
				f, _ := cached(t, func(network string, q []byte) (time.Duration, [][]byte, error) {
					mu.Lock()
					defer mu.Unlock()
					if network == "tcp" {
						if streams++; !tcp {
							return 0, nil, nil
						}
						return 0, [][]byte{small(q)}, nil
					}
					udp++
					if s := spelled(q); s != strings.ToLower(s) {
						mixed++
					}
					return 0, [][]byte{small(q)}, nil
				})
				for i := range 10 {
					if rcode, took, err := run(t, f, fmt.Sprintf("a-long-enough-name-%d.example.", i)); err != nil || rcode != 0 || i > 0 && took > 0 {
						t.Errorf("query %d: rcode %d after %v, %v", i, rcode, took, err)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				if mixed != 1 || streams != 1 || udp < 10 {
					t.Errorf("%d queries of mixed case, %d streams, %d datagrams", mixed, streams, udp)
				}
			})
		})
	}
}

// TestSpoofed: an answer that does not repeat the ID, the question or its
// spelling is not taken, whatever it says.
func TestSpoofed(t *testing.T) {
	evil := func(q []byte, change func(*mdns.Msg)) []byte {
		return reply(q, 0, func(m *mdns.Msg) { m.Answer = []mdns.RR{rr("a.example. 600 IN A 198.51.100.66")}; change(m) })
	}
	forged := map[string]func(q []byte) []byte{
		"ID":       func(q []byte) []byte { return evil(q, func(m *mdns.Msg) { m.Id += 77 }) },
		"name":     func(q []byte) []byte { return evil(q, func(m *mdns.Msg) { m.Question[0].Name = "b.example." }) },
		"type":     func(q []byte) []byte { return evil(q, func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAAAA }) },
		"class":    func(q []byte) []byte { return evil(q, func(m *mdns.Msg) { m.Question[0].Qclass = 3 }) },
		"none":     func(q []byte) []byte { return evil(q, func(m *mdns.Msg) { m.Question = nil }) },
		"query":    func(q []byte) []byte { return q },
		"opcode":   func(q []byte) []byte { return evil(q, func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }) },
		"a header": func(q []byte) []byte { return []byte{q[0], q[1], 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0} },
		"spelling": func(q []byte) []byte {
			return evil(q, func(m *mdns.Msg) {
				m.Question[0].Name = strings.Map(func(r rune) rune {
					if unicode.IsLetter(r) {
						r ^= 0x20
					}
					return r
				}, m.Question[0].Name)
			})
		},
	}
	for name, forge := range forged {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := cached(t, func(network string, q []byte) (time.Duration, [][]byte, error) {
					good := reply(q, 0, nil)
					if network == "tcp" {
						return 0, [][]byte{good}, nil
					}
					return 0, [][]byte{forge(q), good}, nil
				})
				r := askFor(t, f, "long-name-for-spelling.example.", mdns.TypeA, nil)
				if len(r.Answer) != 1 || r.Answer[0].(*mdns.A).A.String() != "203.0.113.7" {
					t.Errorf("taken: %v", r)
				}
			})
		})
	}
}

// TestMalformed: an answer that cannot be read is as good as none: the next
// server is asked at once, and alone it is a failure at once.
func TestMalformed(t *testing.T) {
	broken := map[string]func(q []byte) []byte{
		"cut":              func(q []byte) []byte { m := reply(q, 0, nil); return m[:len(m)-3] },
		"counts that lie":  func(q []byte) []byte { m := reply(q, 0, nil); m[7] = 200; return m },
		"65535 records":    func(q []byte) []byte { m := reply(q, 0, nil); m[10], m[11] = 255, 255; return m },
		"a label too long": func(q []byte) []byte { m := reply(q, 0, nil); m[len(q)] = 0x80; return m },
		"data too long":    func(q []byte) []byte { m := reply(q, 0, nil); m[len(m)-6] = 255; return m },
	}
	for name, breakIt := range broken {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNet(t, map[netip.AddrPort]fakeServer{
					srvA: func(_ string, q []byte) (time.Duration, [][]byte, error) { return 0, [][]byte{breakIt(q)}, nil },
					srvB: answering(time.Millisecond, 0),
				})
				f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
				defer f.Close()
				f.Set(Table{Default: []netip.AddrPort{srvA}})
				if _, took, err := run(t, f, "a.example."); err == nil || took > 0 {
					t.Errorf("alone: %v after %v", err, took)
				}
				f.Set(Table{Default: []netip.AddrPort{srvA, srvB}})
				if rcode, took, err := run(t, f, "a.example."); err != nil || rcode != 0 || took > time.Millisecond {
					t.Errorf("before another: %v after %v", err, took)
				}
			})
		})
	}
}

// TestCompressionLoop: a name that points at itself is not followed here.
func TestCompressionLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := cached(t, func(_ string, q []byte) (time.Duration, [][]byte, error) {
			m := append(bytes.Clone(q), 0xc0, byte(len(q)), 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4)
			m[2], m[3], m[7] = 0x81, 0x80, 1
			return 0, [][]byte{m}, nil
		})
		out, err := f.Forward(t.Context(), query("a.example."))
		if err != nil || len(out) == 0 {
			t.Errorf("%x, %v", out, err)
		}
	})
}

// TestTruncatedWithoutTCP: where TCP is blocked the part comes, marked as one.
func TestTruncatedWithoutTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := cached(t, func(network string, q []byte) (time.Duration, [][]byte, error) {
			if network == "tcp" {
				return 0, nil, nil
			}
			return 0, [][]byte{truncated(q)}, nil
		})
		start := time.Now()
		r := askFor(t, f, "a.example.", mdns.TypeA, nil)
		if took := time.Since(start); !r.Truncated || took > tcpPatience {
			t.Errorf("%v after %v", r, took)
		}
	})
}

// TestClientsOptionsStay: nothing that a client says of itself goes upstream.
func TestClientsOptionsStay(t *testing.T) {
	q := new(mdns.Msg).SetQuestion("a.example.", mdns.TypeA)
	q.SetEdns0(4096, true)
	q.IsEdns0().Option = []mdns.EDNS0{
		&mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}},
		&mdns.EDNS0_LOCAL{Code: 65001, Data: []byte("me")},
	}
	b, _ := q.Pack()
	parsed, ok := parseQuestion(b)
	if !ok {
		t.Fatal("no question")
	}
	var m mdns.Msg
	if err := m.Unpack(newRequest(b, parsed).msg); err != nil || len(m.IsEdns0().Option) != 0 || !m.IsEdns0().Do() || !m.RecursionDesired {
		t.Errorf("%v, %v", &m, err)
	}
	q.SetTsig("key.", mdns.HmacSHA256, 300, 1)
	b, _ = q.Pack()
	if r := newRequest(b, parsed); r.key != "" || !bytes.Equal(r.msg, b) {
		t.Error("a signed query was changed, or would be kept")
	}
}

// TestWrongPort: what another socket of the server's host says is not heard.
func TestWrongPort(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ports := make(chan net.Addr, 10)
	var work sync.WaitGroup
	work.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			ports <- from
			other.WriteTo(reply(buf[:n], mdns.RcodeRefused, nil), from)
			server.WriteTo(reply(buf[:n], 0, func(m *mdns.Msg) { m.Answer[0].Header().Ttl = 0 }), from)
		}
	})
	defer work.Wait()
	defer server.Close()
	f := New(Config{LocalAddrs: func() []netip.Addr { return nil }})
	defer f.Close()
	// The loop probe of a server on this host would be counted too.
	at := server.LocalAddr().(*net.UDPAddr).AddrPort()
	f.Set(Table{Default: []netip.AddrPort{at}})
	<-ports
	seen := map[string]bool{}
	for range 5 {
		if r := askFor(t, f, "a.example.", mdns.TypeA, nil); r.Rcode != 0 {
			t.Errorf("taken: %v", r)
		}
		seen[(<-ports).String()] = true
	}
	if len(seen) < 4 {
		t.Errorf("%d ports in 5 queries", len(seen))
	}
}
