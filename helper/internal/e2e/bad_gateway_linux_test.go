package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// gateway answers on a router whatever it is asked about ports: PCP (RFC 6887),
// NAT-PMP (RFC 6886) and UPnP, as its nonsense has it.
type gateway struct {
	addr   netip.Addr
	served atomic.Int64 // bytes that its web server got rid of
	asked  atomic.Int64
	wg     sync.WaitGroup

	mu sync.Mutex
	is nonsense
}

// nonsense is what a gateway answers; what is nil is not answered.
type nonsense struct {
	name string
	// pcp and pmp change a good answer to a request, and may give several.
	pcp, pmp func(request, answer []byte) [][]byte
	// web answers what is fetched and done by UPnP; location is where the
	// search is told that it is found, "": where it is.
	web      func(g *gateway, w http.ResponseWriter, r *http.Request)
	location string
	// want is what kith diag says of it, at least.
	want []string
}

func (g *gateway) now() nonsense {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.is
}

// gateway opens the ports on the site's router.
func (s *site) gateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{addr: s.lan.Prefixes[0].Addr().Next()}
	var ask, search *net.UDPConn
	var web net.Listener
	var err error
	udp := func(port int) (c *net.UDPConn) {
		if err == nil {
			c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: g.addr.AsSlice(), Port: port})
		}
		return c
	}
	s.router.Do(func() {
		ask, search = udp(5351), udp(1900)
		if err == nil {
			web, err = net.Listen("tcp4", g.web())
		}
	})
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := g.now().web; f != nil {
			f(g, w, r)
			return
		}
		http.NotFound(w, r)
	}), WriteTimeout: 30 * time.Second}
	g.wg.Go(func() { g.answer(ask, g.datagram) })
	g.wg.Go(func() { g.answer(search, g.found) })
	g.wg.Go(func() { server.Serve(web) })
	t.Cleanup(func() {
		ask.Close()
		search.Close()
		server.Close()
		g.wg.Wait()
	})
	return g
}

func (g *gateway) web() string { return netip.AddrPortFrom(g.addr, 5000).String() }

func (g *gateway) answer(c *net.UDPConn, to func(b []byte) [][]byte) {
	buf := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		g.asked.Add(1)
		for _, b := range to(slices.Clone(buf[:n])) {
			c.WriteToUDPAddrPort(b, from) // what the asker has closed meanwhile is refused
		}
	}
}

// datagram answers PCP and NAT-PMP.
func (g *gateway) datagram(q []byte) [][]byte {
	is := g.now()
	switch {
	case len(q) >= 24 && q[0] == 2 && is.pcp != nil:
		a := slices.Clone(q)
		a[1] |= 0x80
		clear(a[2:4])
		binary.BigEndian.PutUint32(a[8:], 1000)
		clear(a[12:24])
		if len(a) >= 60 {
			good := outside.As16()
			copy(a[44:], good[:])
		}
		return is.pcp(q, a)
	case len(q) >= 2 && q[0] == 0 && is.pmp != nil:
		a := []byte{0, 0x80 | q[1], 0, 0, 0, 0, 4, 0}
		if q[1] == 0 {
			a = append(a, outside.AsSlice()...)
		} else {
			a = append(append(a, q[4:8]...), q[8:12]...)
		}
		return is.pmp(q, a)
	}
	return nil
}

// outside is the address that a gateway says it has where it says a good one.
var outside = netip.MustParseAddr("198.51.100.7")

// found answers searches.
func (g *gateway) found(q []byte) [][]byte {
	is := g.now()
	_, st, ok := strings.Cut(string(q), "\r\nST: ")
	if !ok || is.web == nil && is.location == "" {
		return nil
	}
	at := is.location
	if at == "" {
		at = "http://" + g.web() + "/desc.xml"
	}
	return [][]byte{[]byte("HTTP/1.1 200 OK\r\nST: " + strings.TrimSpace(st) +
		"\r\nUSN: uuid:1::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\nLOCATION: " + at + "\r\n\r\n")}
}

// describe is a description with its control at a URL.
func describe(w http.ResponseWriter, control string) {
	fmt.Fprintf(w, `<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><serviceList><service>`+
		`<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>%s</controlURL></service></serviceList></device></root>`, control)
}

// endless sends a document that is too large until nobody reads it any more.
func endless(g *gateway, w http.ResponseWriter, _ *http.Request) {
	part := bytes.Repeat([]byte("<device></device>"), 1000)
	fmt.Fprint(w, `<root xmlns="urn:schemas-upnp-org:device-1-0">`)
	for range 64 << 20 / len(part) {
		n, err := w.Write(part)
		g.served.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// says has the outside address of a connection be anything at all.
func says(address string) func(*gateway, http.ResponseWriter, *http.Request) {
	return func(_ *gateway, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			describe(w, "/ctl")
			return
		}
		fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">`+
			`<NewExternalIPAddress>%s</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>`, address)
	}
}

// put changes bytes of answers about mappings.
func put(at int, b ...byte) func(q, a []byte) [][]byte {
	return func(q, a []byte) [][]byte {
		if q[1] == 1 {
			copy(a[at:], b)
		}
		return [][]byte{a}
	}
}

// address has each answer of PCP's that has an outside address have this one.
func address(s string) func(q, a []byte) [][]byte {
	b := netip.MustParseAddr(s).As16()
	return put(44, b[:]...)
}

// cut has answers end early.
func cut(n int) func(q, a []byte) [][]byte {
	return func(_, a []byte) [][]byte { return [][]byte{a[:len(a)-n]} }
}

// swamp answers with a thousand datagrams, none of which is an answer.
func swamp(q, a []byte) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	var out [][]byte
	for range 1000 {
		b := make([]byte, r.IntN(1400))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		out = append(out, append(slices.Clone(a[:r.IntN(len(a))]), b...))
	}
	return out
}

// nonsenses are rounds of up to three lies each: one of a protocol's.
func nonsenses() []nonsense {
	return []nonsense{
		{
			name: "another nonce, cut, sent on elsewhere", pcp: put(24, 1, 2, 3, 4), pmp: cut(1),
			web: func(_ *gateway, w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.1:5000/", http.StatusFound)
			},
			want: []string{"other mappings", "malformed", "redirects"},
		},
		{
			name: "no address, lease 0, huge XML", pcp: address("0.0.0.0"), pmp: put(12, 0, 0, 0, 0), web: endless,
			want: []string{"outside address is impossible", "lease is too short", "answer is too large"},
		},
		{
			name: "a group's address, cut, an address that is a name", pcp: address("224.0.0.1"), pmp: cut(4), web: says("evil.example"),
			want: []string{"outside address is impossible", "malformed"},
		},
		{
			name: "lease 0, another port, described elsewhere", pcp: put(4, 0, 0, 0, 0), pmp: put(8, 0, 80), location: "http://127.0.0.1:80/secret",
			want: []string{"lease is too short", "other mappings", "points to another host"},
		},
		{
			name: "outside port 0, actions are no XML", pcp: put(42, 0, 0),
			web: func(_ *gateway, w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					describe(w, "/ctl")
					return
				}
				fmt.Fprint(w, strings.Repeat("<a>", 20000)+"\x00")
			},
			want: []string{"outside address is impossible", "malformed"},
		},
		{
			name: "controlled elsewhere, cut in the middle", pcp: cut(20),
			web:  func(_ *gateway, w http.ResponseWriter, _ *http.Request) { describe(w, "http://203.0.113.250/ctl") },
			want: []string{"malformed", "points to another host"},
		},
		{
			name: "noise without end", pcp: swamp, pmp: swamp, web: func(_ *gateway, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("<a>", 40000)) },
			want: []string{"malformed"},
		},
		{
			name: "a private address for 136 years",
			pcp: func(q, a []byte) [][]byte {
				put(4, 0xff, 0xff, 0xff, 0xff)(q, a)
				return address("10.9.9.9")(q, a)
			},
			want: []string{"PCP gives 10.9.9.9", "a private address", "lease is too long"},
		},
		{
			name: "another's address", pcp: func(_, a []byte) [][]byte { return [][]byte{a} },
			want: []string{"PCP gives 198.51.100.7"},
		},
	}
}

// TestNetnsGatewayNonsense: whatever a gateway answers about ports, the helper
// behind it goes on, is small, has a direct path, and says what is wrong.
func TestNetnsGatewayNonsense(t *testing.T) {
	w := newWorld(t)
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	g := one.gateway(t)
	s, b := w.founder(), w.member("b", two.lan)
	b.join(s)
	b.meets(s)
	a := bareNode(t, w.bed, "a")
	one.lan.Join(a.host, 100)
	rounds := nonsenses()
	g.is = rounds[0]
	a.start()
	a.join(s)
	for i, is := range rounds {
		t.Logf("round %d: %s", i, is.name)
		if i > 0 {
			a.term()
			g.mu.Lock()
			g.is = is
			g.mu.Unlock()
			a.start()
		}
		a.meets(b)
		w.between(a, b, patience, ipc.PathDirect)
		var got ipc.Check
		says := func() bool {
			got = a.diagnosis(ipc.CheckPortMap)
			return !slices.ContainsFunc(is.want, func(word string) bool { return !strings.Contains(got.Detail, word) })
		}
		for start := time.Now(); !says(); {
			if time.Since(start) > patience {
				t.Fatalf("round %d: kith diag says %+v, want %q in it", i, got, is.want)
			}
			<-time.After(50 * time.Millisecond)
		}
		t.Logf("kith diag: %s", got.Detail)
		if mapped := strings.Contains(got.Detail, " gives "); !mapped && (got.OK || got.Fix == "") {
			t.Errorf("nothing is mapped, and kith diag says %+v", got)
		}
		a.meets(b)
		if rss, _ := a.usage(); rss > 64<<20 {
			t.Errorf("round %d: %d MiB are resident", i, rss>>20)
		}
	}
	// Each of its documents is cut off, what socket buffers hold aside.
	if n := g.served.Load(); n == 0 || n > 40<<20 {
		t.Errorf("%d bytes of a document without end were taken", n)
	}
	if n := g.asked.Load(); n > 100*int64(len(rounds)) {
		t.Errorf("the gateway was asked %d times", n)
	}
	a.term()
}

// diagnosis is what kith diag says of one thing.
func (n *node) diagnosis(code ipc.CheckCode) ipc.Check {
	n.t.Helper()
	a := n.try("diag", "--json") // it ends with 1 where anything is wrong
	var d ipc.Diag
	must(n.t, json.Unmarshal([]byte(a.out), &d))
	for _, c := range d.Checks {
		if c.Code == code {
			return c
		}
	}
	n.t.Fatalf("%s: kith diag has no %s: %v", n.name, code, a)
	return ipc.Check{}
}
