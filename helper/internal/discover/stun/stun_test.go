package stun

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/stun/v3"
)

var addrs = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// answer is a binding answer as servers build it.
func answer(t testing.TB, id TxID, setters ...stun.Setter) []byte {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.NewTransactionIDSetter(id), stun.BindingSuccess}, setters...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func mapped(s string) stun.Setter {
	a := ap(s)
	return &stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}
}

func TestRequestIsAServers(t *testing.T) {
	id := NewTxID()
	m := stun.New()
	if err := stun.Decode(Request(id), m); err != nil {
		t.Fatal(err)
	}
	if m.Type != stun.BindingRequest || m.TransactionID != id {
		t.Errorf("a server reads %v", m)
	}
}

func TestParse(t *testing.T) {
	id := NewTxID()
	plain := &stun.MappedAddress{IP: ap("192.0.2.9:9").Addr().AsSlice(), Port: 9}
	refused, err := stun.Build(stun.NewTransactionIDSetter(id), stun.BindingError, stun.CodeBadRequest)
	if err != nil {
		t.Fatal(err)
	}
	good := answer(t, id, mapped("203.0.113.7:4242"))
	for _, c := range []struct {
		name string
		b    []byte
		want netip.AddrPort
		err  error
	}{
		{"IPv4", good, ap("203.0.113.7:4242"), nil},
		{"IPv6", answer(t, id, mapped("[2001:db8::7]:4242")), ap("[2001:db8::7]:4242"), nil},
		{"both attributes", answer(t, id, plain, mapped("203.0.113.7:4242")), ap("203.0.113.7:4242"), nil},
		{"the plain attribute", answer(t, id, plain), ap("192.0.2.9:9"), nil},
		{"no attribute", answer(t, id), netip.AddrPort{}, ErrNotAnswer},
		{"port 0", answer(t, id, mapped("203.0.113.7:0")), netip.AddrPort{}, ErrNotAnswer},
		{"refused", refused.Raw, netip.AddrPort{}, ErrRefused},
		{"a request", Request(id), netip.AddrPort{}, ErrNotAnswer},
		{"cut", good[:len(good)-1], netip.AddrPort{}, ErrNotAnswer},
		{"with a tail", append(good[:len(good):len(good)], 0, 0, 0, 0), netip.AddrPort{}, ErrNotAnswer},
		{"empty", nil, netip.AddrPort{}, ErrNotAnswer},
		{"huge", make([]byte, 64<<10), netip.AddrPort{}, ErrNotAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, addr, err := Parse(c.b)
			if addr != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %v, %v; want %v, %v", addr, err, c.want, c.err)
			}
			if err == nil && got != id {
				t.Errorf("got ID %x", got)
			}
		})
	}
}

func TestClientTakesOnlyWhatItAskedFor(t *testing.T) {
	var c Client
	now := time.Now()
	server := ap("203.0.113.1:3478")
	ask := func() TxID {
		var id TxID
		copy(id[:], c.Request(server, now)[8:])
		return id
	}
	for _, tc := range []struct {
		name string
		from netip.AddrPort
		id   func() TxID
		late time.Duration
		ok   bool
	}{
		{"answered", server, ask, time.Millisecond, true},
		{"answered in IPv6's way of writing it", ap("[::ffff:203.0.113.1]:3478"), ask, time.Millisecond, true},
		{"from elsewhere", ap("203.0.113.2:3478"), ask, 0, false},
		{"from another port", ap("203.0.113.1:3479"), ask, 0, false},
		{"not asked", server, NewTxID, 0, false},
		{"too late", server, ask, answerWithin + 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := answer(t, tc.id(), mapped("198.51.100.1:1000"))
			a, ok, err := c.Response(b, tc.from, now.Add(tc.late))
			if ok != tc.ok || err != nil || ok && a != (Answer{server, ap("198.51.100.1:1000"), tc.late}) {
				t.Errorf("got %v, %t, %v", a, ok, err)
			}
			if _, ok, _ := c.Response(b, tc.from, now); ok {
				t.Error("taken twice")
			}
		})
	}
}

func TestClientIsBounded(t *testing.T) {
	var c Client
	now := time.Now()
	for range maxOutstanding {
		c.Request(ap("203.0.113.1:3478"), now)
	}
	if c.Request(ap("203.0.113.1:3478"), now) != nil {
		t.Error("no bound")
	}
	if c.Request(ap("203.0.113.1:3478"), now.Add(2*answerWithin)) == nil || len(c.out) != 1 {
		t.Errorf("%d are still out", len(c.out))
	}
}

func TestJudge(t *testing.T) {
	a := func(server, mapped string) Answer { return Answer{Server: ap(server), Mapped: ap(mapped)} }
	tunnels := []netip.Prefix{netip.MustParsePrefix("198.18.0.0/16")}
	for _, c := range []struct {
		name    string
		answers []Answer
		lies    map[int]error // by index
	}{
		{"one", []Answer{a("203.0.113.1:1", "198.51.100.1:7")}, nil},
		{"behind a hard NAT", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.2:1", "198.51.100.1:8"), a("203.0.113.3:1", "198.51.100.1:9")}, nil},
		{"two that differ", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.2:1", "198.51.100.2:7")}, nil},
		{"one against two", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.2:1", "198.51.100.66:7"), a("203.0.113.3:1", "198.51.100.1:7")},
			map[int]error{1: ErrDisagrees}},
		{"one server on two ports is one", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.2:1", "198.51.100.66:7"), a("203.0.113.2:2", "198.51.100.66:7")}, nil},
		{"within the carrier", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.2:1", "198.51.100.1:7"), a("100.64.1.1:1", "100.64.7.7:7")}, nil},
		{"a server on the LAN", []Answer{a("192.168.1.1:1", "192.168.1.7:7")}, nil},
		{"private", []Answer{a("203.0.113.1:1", "192.168.1.7:7")}, map[int]error{0: ErrImplausible}},
		{"its own", []Answer{a("203.0.113.1:1", "203.0.113.1:7")}, map[int]error{0: ErrImplausible}},
		{"the other family", []Answer{a("203.0.113.1:1", "[2001:db8::1]:7")}, map[int]error{0: ErrImplausible}},
		{"link-local", []Answer{a("[2001:db8::9]:1", "[fe80::1]:7")}, map[int]error{0: ErrImplausible}},
		{"loopback", []Answer{a("203.0.113.1:1", "127.0.0.1:7")}, map[int]error{0: ErrImplausible}},
		{"broadcast", []Answer{a("203.0.113.1:1", "255.255.255.255:7")}, map[int]error{0: ErrImplausible}},
		{"a tunnel's", []Answer{a("203.0.113.1:1", "198.18.3.4:7")}, map[int]error{0: ErrImplausible}},
		{"nothing", []Answer{{Server: ap("203.0.113.1:1")}}, map[int]error{0: ErrImplausible}},
	} {
		t.Run(c.name, func(t *testing.T) {
			good, lies := Judge(c.answers, tunnels)
			var want []Answer
			for i, a := range c.answers {
				if c.lies[i] == nil {
					want = append(want, a)
				}
			}
			if d := cmp.Diff(want, good, addrs); d != "" {
				t.Error(d)
			}
			for _, l := range lies {
				i := 0
				for c.answers[i] != l.Answer {
					i++
				}
				if !errors.Is(l.Err, c.lies[i]) || c.lies[i] == nil {
					t.Errorf("%v: %v", l.Answer, l.Err)
				}
			}
			if len(lies) != len(c.lies) {
				t.Errorf("lies: %v", lies)
			}
		})
	}
}

func TestNAT(t *testing.T) {
	own := []netip.Addr{ap("198.51.100.9:1").Addr()}
	a := func(server, mapped string) Answer { return Answer{Server: ap(server), Mapped: ap(mapped)} }
	for _, c := range []struct {
		name    string
		answers []Answer
		want    Kind
	}{
		{"nothing heard", nil, Unknown},
		{"one server", []Answer{a("203.0.113.1:1", "198.51.100.1:7")}, Unknown},
		{"one server twice", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.1:1", "198.51.100.1:8")}, Unknown},
		{"no NAT", []Answer{a("203.0.113.1:1", "198.51.100.9:7")}, None},
		{"easy", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.2:1", "198.51.100.1:7")}, Easy},
		{"hard", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("203.0.113.2:1", "198.51.100.1:8")}, Hard},
		{"easy, and one within the carrier", []Answer{a("203.0.113.1:1", "198.51.100.1:7"), a("100.64.0.1:1", "100.64.0.9:7"), a("203.0.113.2:1", "198.51.100.1:7")}, Easy},
	} {
		if got := NAT(c.answers, own); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	var id TxID
	f.Add(Request(id))
	f.Add(answer(f, id, mapped("203.0.113.7:4242")))
	f.Add(answer(f, id, mapped("[2001:db8::7]:4242")))
	f.Add(answer(f, id, &stun.MappedAddress{IP: []byte{192, 0, 2, 9}, Port: 9}))
	if m, err := stun.Build(stun.NewTransactionIDSetter(id), stun.BindingError, stun.CodeBadRequest); err == nil {
		f.Add(m.Raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, addr, err := Parse(b)
		if err == nil && (!addr.IsValid() || addr.Port() == 0 || addr.Addr().Is4In6()) {
			t.Errorf("%x: %v", b, addr)
		}
		if err == nil {
			Judge([]Answer{{Server: ap("203.0.113.1:1"), Mapped: addr}}, nil)
		}
	})
}
