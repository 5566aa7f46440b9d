package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	srvA = netip.MustParseAddrPort("192.0.2.1:53")
	srvB = netip.MustParseAddrPort("192.0.2.2:53")
	srvC = netip.MustParseAddrPort("192.0.2.3:53")
)

// run asks once in a bubble's clock and tells how long it took.
func run(t *testing.T, f *Forwarder, name string) (rcode int, took time.Duration, err error) {
	t.Helper()
	start := time.Now()
	q := query(name)
	out, err := f.Forward(t.Context(), q)
	took = time.Since(start)
	if err != nil {
		return 0, took, err
	}
	var m mdns.Msg
	if err := m.Unpack(out); err != nil {
		t.Fatal(err)
	}
	if m.Id != 4711 || len(m.Question) != 1 || m.Question[0].Name != name {
		t.Errorf("answer to %s has ID %d and question %v", name, m.Id, m.Question)
	}
	return m.Rcode, took, nil
}

func TestForward(t *testing.T) {
	for _, tt := range forwardTests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNet(t, tt.servers)
				f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
				table := Table{Default: []netip.AddrPort{srvA}}
				if len(tt.servers) > 1 {
					table.Default = append(table.Default, srvB)
				}
				f.Set(table)
				rcode, took, err := run(t, f, "www.example.com.")
				if err != nil {
					rcode = noAnswer
				}
				if rcode != tt.rcode || took > tt.within {
					t.Errorf("rcode %d after %v (%v), want %d within %v", rcode, took, err, tt.rcode, tt.within)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestDeadUpstreamCostsOnce is the budget: a dead first server delays the first
// query by 200 ms at most, later ones not at all, and is used again once it is
// back.
func TestDeadUpstreamCostsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, map[netip.AddrPort]fakeServer{srvB: answering(5*time.Millisecond, 0)})
		f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
		defer f.Close()
		f.Set(Table{Default: []netip.AddrPort{srvA, srvB}})
		if _, took, err := run(t, f, "a.example."); err != nil || took > 205*time.Millisecond {
			t.Fatalf("first query took %v, %v", took, err)
		}
		for i := range 200 {
			if _, took, err := run(t, f, fmt.Sprintf("a%d.example.", i)); err != nil || took != 5*time.Millisecond {
				t.Fatalf("later query took %v, %v", took, err)
			}
			time.Sleep(time.Second)
		}
		if c := n.count(srvA); c < 4 || c > 12 {
			t.Errorf("the dead server was asked %d times in 200 s", c)
		}
		f.Set(Table{Default: []netip.AddrPort{srvA, srvB}}) // a new table of the same keeps the score
		n.mu.Lock()
		n.servers[srvA] = answering(time.Millisecond, 0)
		n.mu.Unlock()
		time.Sleep(suspectMost)
		for i := range 3 {
			run(t, f, fmt.Sprintf("b%d.example.", i))
			time.Sleep(time.Second)
		}
		if _, took, err := run(t, f, "c.example."); err != nil || took != time.Millisecond {
			t.Errorf("after its return the first server is not used: %v, %v", took, err)
		}
	})
}

func TestUnreachableFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{Dial: refusing, LocalAddrs: func() []netip.Addr { return nil }})
		defer f.Close()
		f.Set(Table{Default: []netip.AddrPort{srvA, srvB, srvC}})
		if _, took, err := run(t, f, "a.example."); err == nil || took != 0 {
			t.Errorf("took %v, %v", took, err)
		}
	})
}

func TestNoUpstream(t *testing.T) {
	own := netip.MustParseAddr("100.101.0.1")
	f := New(Config{Dial: refusing})
	defer f.Close()
	tests := map[string]Table{
		"empty":        {},
		"own address":  {Default: []netip.AddrPort{netip.AddrPortFrom(own, 53), netip.MustParseAddrPort("[::ffff:100.101.0.1]:53")}, Own: []netip.Addr{own}},
		"empty suffix": {Default: []netip.AddrPort{srvA}, Split: map[string][]netip.AddrPort{"example": nil}},
	}
	for name, table := range tests {
		f.Set(table)
		if _, err := f.Forward(t.Context(), query("a.example.")); !errors.Is(err, ErrNoUpstream) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 12), query("a.")[:14], append(query("a.")[:12], 0xc0, 12, 0, 1, 0, 1)} {
		if _, err := f.Forward(t.Context(), bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func TestSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, map[netip.AddrPort]fakeServer{srvA: answering(0, 0), srvB: answering(0, 0), srvC: answering(0, 0)})
		f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
		defer f.Close()
		f.Set(Table{Default: []netip.AddrPort{srvA}, Split: map[string][]netip.AddrPort{"Corp.Example.": {srvB}, "lab.corp.example": {srvC}}})
		for name, want := range map[string]netip.AddrPort{
			"corp.example.": srvB, "x.CORP.example.": srvB, "y.lab.corp.example.": srvC, "notcorp.example.": srvA, ".": srvA,
		} {
			before := n.count(want)
			if _, _, err := run(t, f, name); err != nil || n.count(want) != before+1 {
				t.Errorf("%s did not go to %v: %v", name, want, err)
			}
		}
	})
}

// TestLoop has a local server that asks us what it is asked.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := netip.MustParseAddrPort("127.0.0.53:53")
		var f *Forwarder
		n := newNet(t, map[netip.AddrPort]fakeServer{
			local: func(_ string, q []byte) (time.Duration, [][]byte, error) {
				out, err := f.Forward(context.Background(), q)
				if err != nil {
					return 0, [][]byte{reply(q, mdns.RcodeServerFailure, nil)}, nil
				}
				return 0, [][]byte{out}, nil
			},
			srvB: answering(time.Millisecond, 0),
		})
		f = New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
		defer f.Close()
		f.Set(Table{Default: []netip.AddrPort{local}})
		synctest.Wait()
		if _, took, err := run(t, f, "a.example."); !errors.Is(err, ErrLoop) || took != 0 {
			t.Errorf("alone: %v after %v", err, took)
		}
		f.Set(Table{Default: []netip.AddrPort{local, srvB}})
		if rcode, took, err := run(t, f, "a.example."); err != nil || rcode != 0 || took != time.Millisecond {
			t.Errorf("beside another: rcode %d, %v after %v", rcode, err, took)
		}
	})
}

// TestSameQuestionIsBounded has a loop through a server that no probe shows.
func TestSameQuestionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *Forwarder
		n := newNet(t, map[netip.AddrPort]fakeServer{
			srvA: func(_ string, q []byte) (time.Duration, [][]byte, error) {
				if _, err := f.Forward(context.Background(), q); err != nil {
					return 0, [][]byte{reply(q, mdns.RcodeServerFailure, nil)}, nil
				}
				return 0, [][]byte{reply(q, mdns.RcodeServerFailure, nil)}, nil
			},
		})
		f = New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
		defer f.Close()
		f.Set(Table{Default: []netip.AddrPort{srvA}})
		rcode, took, err := run(t, f, "a.example.")
		if err != nil || rcode != mdns.RcodeServerFailure || took > 0 || n.count(srvA) > maxSame {
			t.Errorf("rcode %d, %v after %v and %d queries", rcode, err, took, n.count(srvA))
		}
	})
}

func TestCloseEndsQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, nil)
		f := New(Config{Dial: n.dial, LocalAddrs: func() []netip.Addr { return nil }})
		f.Set(Table{Default: []netip.AddrPort{srvA}})
		done := make(chan error)
		go func() { _, err := f.Forward(context.Background(), query("a.example.")); done <- err }()
		synctest.Wait()
		start := time.Now()
		f.Close()
		if err := <-done; err == nil || time.Since(start) != 0 {
			t.Errorf("Forward ended with %v after %v", err, time.Since(start))
		}
		if _, err := f.Forward(t.Context(), query("a.example.")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestSteps(t *testing.T) {
	a, b, c := &server{addr: srvA, srtt: 10 * time.Millisecond}, &server{addr: srvB}, &server{addr: srvC, fails: 1}
	sorted, healthy, due := order([]*server{c, a, b}, time.Now())
	if due != c || healthy != 2 || sorted[0] != a || sorted[2] != c {
		t.Errorf("order: %v, %d, %v", sorted, healthy, due)
	}
	var got []time.Duration
	for _, s := range steps(sorted, healthy) {
		got = append(got, s.at)
	}
	want := []time.Duration{0, hedgeLeast, hedgeLeast + hedgeMost, resendAt, resendAt, tcpAt, tcpAt}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add(query("www.example.com."), query("www.example.com."))
	f.Add(append(query("a.")[:12], 0xc0, 12, 0, 1, 0, 1), []byte{0, 0, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, q, answer []byte) {
		parsed, ok := parseQuestion(q)
		if !ok {
			return
		}
		if parsed.end > len(q) || len(parsed.name) > 255 {
			t.Errorf("parseQuestion(%x) = %+v", q, parsed)
		}
		if out, _, v := parsed.reply(q, answer); v != stray && len(out) < parsed.end {
			t.Errorf("reply of %d bytes, question ends at %d", len(out), parsed.end)
		}
	})
}
