package netnstest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// listen accepts TCP connections on a host until the test ends and closes them
// at once after a word.
func listen(t testing.TB, h *Host, at netip.AddrPort) {
	t.Helper()
	var l net.Listener
	var err error
	h.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "hello\n")
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// dial connects; a refusal by silence takes half a second.
func dial(h *Host, at netip.AddrPort) (c net.Conn, err error) {
	h.Do(func() { c, err = net.DialTimeout("tcp", at.String(), 500*time.Millisecond) })
	return c, err
}

func TestNetnsOnlyTCP(t *testing.T) {
	b := New(t)
	internet := b.Internet()
	server := b.Host("server")
	addr := internet.Subnet("net").Join(server, 0)[0]
	for _, port := range []uint16{80, 443, 8443} {
		listen(t, server, netip.AddrPortFrom(addr, port))
	}
	router, host := b.Router("router"), b.Host("host")
	internet.Subnet("wan").Join(router, 0)
	router.Load(HomeNAT("wan"))
	lan := router.Subnet("lan", "192.168.1.0/24")
	inside := lan.Join(host, 0)[0]
	opens := func(h *Host, port uint16) bool {
		c, err := dial(h, netip.AddrPortFrom(addr, port))
		if err != nil {
			return false
		}
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line == "hello\n"
	}
	for _, c := range []struct {
		rules []Rules
		want  [3]bool
	}{
		{nil, [3]bool{true, true, true}},
		{[]Rules{OnlyTCP("wan", 80, 443)}, [3]bool{true, true, false}},
		{[]Rules{OnlyTCP("wan", 443)}, [3]bool{false, true, false}},
		{[]Rules{Silent()}, [3]bool{}},
	} {
		for _, r := range c.rules {
			router.Load(r)
		}
		var got [3]bool
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); { // half a second may be short
			if got = [3]bool{opens(host, 80), opens(host, 443), opens(host, 8443)}; got == c.want {
				break
			}
		}
		if got != c.want {
			t.Errorf("%v: %v, want %v", c.rules, got, c.want)
		}
	}

	// Silent as the router is, the proxy on it goes out itself.
	at := netip.AddrPortFrom(lan.addresses(1)[0].Addr(), 3128)
	proxy := router.Proxy(at)
	for _, c := range []struct {
		target string
		code   int
	}{{fmt.Sprint(addr, ":443"), 200}, {fmt.Sprint(addr, ":80"), 403}, {fmt.Sprint(inside, ":443"), 502}} {
		conn, err := dial(host, at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", c.target, c.target)
		r := bufio.NewReader(conn)
		answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
		if err != nil || answer.StatusCode != c.code {
			t.Errorf("%s: %+v %v", c.target, answer, err)
		}
		if c.code == 200 {
			if line, err := r.ReadString('\n'); line != "hello\n" {
				t.Errorf("through the tunnel: %q %v", line, err)
			}
		}
		conn.Close()
	}
	if n := proxy.Tunnels.Load(); n != 1 {
		t.Errorf("%d tunnels", n)
	}
}

// A host with two uplinks uses the other when it loses the better one, and
// does not notice when the router behind it says nothing any more.
func TestNetnsTwoUplinks(t *testing.T) {
	b := New(t)
	internet := b.Internet()
	server, host := b.Host("server"), b.Host("host")
	at := bind(t, server, internet.Subnet("net").Join(server, 0)[0], 9000)
	var routers [2]*Host
	var wans, lans [2]*Subnet
	var external [2]netip.Addr
	for i := range routers {
		routers[i] = b.Router(fmt.Sprint("router", i))
		wan := fmt.Sprint("wan", i)
		wans[i] = internet.Subnet(wan)
		external[i] = wans[i].Join(routers[i], 0)[0]
		routers[i].Load(HomeNAT(wan))
		lans[i] = routers[i].Subnet(fmt.Sprint("lan", i), fmt.Sprintf("192.168.%d.0/24", i))
		lans[i].Join(host, 100*(i+1))
	}
	s := bind(t, host, netip.IPv4Unspecified(), 7000)
	through := func(when string, want int) {
		t.Helper()
		if from := s.asks(at); from.Addr() != external[want] {
			t.Errorf("%s: by %v, want %v", when, from, external[want])
		}
	}
	through("both are up", 0)
	routers[0].Load(Silent())
	s.send(at, "lost")
	routers[0].Unload(Silent())
	s.send(at, "ask")
	if _, came := at.until("ask", "lost"); came {
		t.Error("the silent router spoke")
	}
	through("it speaks again", 0)
	lans[0].Unplug(host)
	through("the first is unplugged", 1)
	lans[0].Plug(host, 100)
	through("it is plugged in again", 0)

	before := external[0]
	if external[0] = wans[0].Renumber(routers[0])[0]; external[0] == before {
		t.Fatal("no new address")
	}
	through("the provider gave another address", 0)
}

func TestNetnsLoss(t *testing.T) {
	b := New(t)
	lan := b.LAN("lan")
	one, two := b.Host("one"), b.Host("two")
	one.Attach(lan, netip.MustParsePrefix("192.0.2.1/24"))
	two.Attach(lan, netip.MustParsePrefix("192.0.2.2/24"))
	from, to := bind(t, one, netip.MustParseAddr("192.0.2.1"), 7), bind(t, two, netip.MustParseAddr("192.0.2.2"), 7)
	two.Load(Loss("lan", 20))
	const rounds, each = 20, 100 // a round fits in a socket's buffer
	got := 0
	for round := range rounds {
		for range each {
			from.send(to, "x")
		}
		end := fmt.Sprint("end of ", round)
		for range 20 { // one comes
			from.send(to, end)
		}
		_, n := to.read(end, "x")
		got += n
	}
	if lost := 100 - 100*float64(got)/(rounds*each); lost < 15 || lost > 25 {
		t.Errorf("%.1f %% lost, want 20", lost)
	}
}
