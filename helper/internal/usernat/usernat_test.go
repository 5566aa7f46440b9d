package usernat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"kith.internal/helper/internal/osnet/nat"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

var overlay = prefixes("100.80.0.0/16", "fd12::/48")

// bed is a peer with a stack of its own, and the NAT of a host whose sockets end
// at servers of the test.
type bed struct {
	*NAT
	t    testing.TB
	peer *netstack.Net
	mu   sync.Mutex
	to   map[string]string // where the host's sockets really go
	echo *echoSocket
}

func newBed(t testing.TB, offer nat.Offer) *bed {
	opt := goleak.IgnoreCurrent()
	t.Cleanup(func() { allEnded(t, opt) })
	b := &bed{t: t, to: map[string]string{}, echo: newEchoSocket()}
	n, err := New(Config{
		MTU: 1420,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			b.mu.Lock()
			to := b.to[network+" "+addr]
			b.mu.Unlock()
			if to == "" {
				return nil, syscall.ECONNREFUSED
			}
			var d net.Dialer
			return d.DialContext(ctx, network[:3], to)
		},
		Ping: func(bool) (net.PacketConn, error) { return b.echo, nil },
		Addrs: func() ([]netip.Prefix, error) {
			return prefixes("203.0.113.2/24", "192.168.7.1/24", "2001:db8:7::1/64"), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.NAT = n
	offer.Sources = overlay
	n.Set(offer)
	dev, peer, err := netstack.CreateNetTUN([]netip.Addr{netip.MustParseAddr("100.80.0.2"), netip.MustParseAddr("fd12::2")}, nil, 1420)
	if err != nil {
		t.Fatal(err)
	}
	b.peer = peer
	var pumps sync.WaitGroup
	quit := make(chan struct{})
	pumps.Go(func() { toNAT(dev, n) })
	pumps.Go(func() { fromNAT(dev, n, quit) })
	t.Cleanup(func() {
		n.Close()
		close(quit)
		dev.Close()
		pumps.Wait()
	})
	return b
}

// allEnded waits for what the test began: workers of the stack end a while after it.
func allEnded(t testing.TB, opt goleak.Option) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err = goleak.Find(opt); err == nil {
			return
		}
	}
	t.Error(err)
}

// patience is for what takes milliseconds where the processor is free.
const patience = 20 * time.Second

func toNAT(dev tun.Device, n *NAT) {
	bufs, sizes := [][]byte{make([]byte, 2000)}, []int{0}
	for {
		if _, err := dev.Read(bufs, sizes, 0); err != nil {
			return
		}
		n.Inject(bufs[0][:sizes[0]])
	}
}

func fromNAT(dev tun.Device, n *NAT, quit chan struct{}) {
	bufs, sizes := make([][]byte, 32), make([]int, 32)
	for i := range bufs {
		bufs[i] = make([]byte, 2000)
	}
	for {
		select {
		case <-quit:
			return
		case <-n.Ready():
		}
		for i, k := 0, n.Read(bufs, sizes, 0); i < k; i++ {
			dev.Write([][]byte{bufs[i][:sizes[i]]}, 0)
		}
	}
}

// serve answers on loopback what peers ask of addr.
func (b *bed) serve(network, addr string) {
	key := network + " " + addr
	if network[:3] == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 2000)
			for {
				k, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				c.WriteTo(buf[:k], from)
			}
		}()
		b.to[key] = c.LocalAddr().String()
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	b.to[key] = l.Addr().String()
}

func (b *bed) dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	return b.peer.DialContext(ctx, network, addr)
}

func TestTCP(t *testing.T) {
	for _, addr := range []string{"198.51.100.2:80", "[2001:db8:2::2]:80"} {
		b := newBed(t, nat.Offer{Exit: true})
		b.serve(map[bool]string{true: "tcp6", false: "tcp4"}[addr[0] == '['], addr)
		c, err := b.dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("much "), 200_000)
		go func() {
			c.Write(want)
			c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		c.SetDeadline(time.Now().Add(3 * patience))
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d of %d bytes came back: %v", addr, len(got), len(want), err)
		}
		c.Close()
	}
}

func TestTCPRefused(t *testing.T) {
	b := newBed(t, nat.Offer{Exit: true})
	b.serve("tcp4", "192.168.7.9:80")
	b.serve("tcp4", "10.1.1.1:80")
	for _, addr := range []string{"198.51.100.2:81", "192.168.7.9:80", "10.1.1.1:80"} {
		c, err := b.dial("tcp", addr)
		if err == nil {
			c.Close()
			t.Errorf("%s was reached", addr)
		} else if !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	// The peer may hear of it before it is counted out.
	for end := time.Now().Add(patience); b.Stats() != (Stats{}); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("under way: %+v", b.Stats())
		}
	}
}

func TestUDP(t *testing.T) {
	b := newBed(t, nat.Offer{Exit: true})
	b.serve("udp4", "198.51.100.2:9999")
	c, err := b.dial("udp", "198.51.100.2:9999")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, word := range []string{"one", "two", "three"} {
		c.Write([]byte(word))
		c.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 100)
		k, err := c.Read(buf)
		if err != nil || string(buf[:k]) != word {
			t.Fatalf("%q came back: %v", buf[:k], err)
		}
	}
	if s := b.Stats(); s.Flows != 1 || s.Peers != 1 {
		t.Errorf("one flow is %+v", s)
	}
}

// TestForbidden ends what a new policy forbids.
func TestForbidden(t *testing.T) {
	b := newBed(t, nat.Offer{Exit: true})
	b.serve("tcp4", "198.51.100.2:80")
	b.serve("udp4", "198.51.100.2:9999")
	tcp, err := b.dial("tcp", "198.51.100.2:80")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := b.dial("udp", "198.51.100.2:9999")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, c := range []net.Conn{tcp, udp} {
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	b.Set(nat.Offer{Sources: overlay, Routes: []nat.Route{{Prefix: netip.MustParsePrefix("192.168.7.0/24")}}})
	if _, err := tcp.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	udp.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	udp.Write([]byte("x"))
	if _, err := udp.Read(make([]byte, 1)); err == nil {
		t.Error("the flow goes on")
	}
}

func TestPing(t *testing.T) {
	for _, addr := range []string{"198.51.100.2", "2001:db8:2::2"} {
		b := newBed(t, nat.Offer{Exit: true})
		network := "ping4"
		if netip.MustParseAddr(addr).Is6() {
			network = "ping6"
		}
		c, err := b.dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		request := []byte{8, 0, 0, 0, 0, 0, 0, 7, 'h', 'i'}
		if network == "ping6" {
			request[0] = 128
		}
		// The peer's stack hears of what comes while it reads, alone: it may have to
		// ask again.
		b.echo.hold = make(chan struct{})
		buf, k := make([]byte, 100), 0
		for end := time.Now().Add(patience); time.Now().Before(end); {
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(50*time.Millisecond, b.echo.release)
			c.SetReadDeadline(time.Now().Add(time.Second))
			if k, err = c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
		}
		if err != nil || !bytes.HasSuffix(buf[:k], []byte("\x00\x07hi")) {
			t.Errorf("%s: answered %x: %v", addr, buf[:k], err)
		}
		if got := slices.Compact(b.echo.asked()); !cmp.Equal(got, []string{addr}) {
			t.Errorf("the host pinged %v", got)
		}
		// Nobody else's answers, and nobody but those who may be reached.
		b.peer.DialContext(t.Context(), network, "192.168.7.9")
		if p := b.echoes.answer(); p != nil {
			t.Errorf("an answer to nothing: %x", p)
		}
	}
}

// echoSocket is a raw ICMP socket on whose other side everyone answers.
type echoSocket struct {
	net.PacketConn
	in     chan echoed
	closed chan struct{}
	once   sync.Once
	hold   chan struct{} // an answer comes when it gives something; nil: at once
	mu     sync.Mutex
	list   []string
}

type echoed struct {
	m    []byte
	from net.Addr
}

func newEchoSocket() *echoSocket {
	return &echoSocket{in: make(chan echoed, 16), closed: make(chan struct{})}
}

func (s *echoSocket) WriteTo(m []byte, to net.Addr) (int, error) {
	s.mu.Lock()
	s.list = append(s.list, to.String())
	s.mu.Unlock()
	answer := bytes.Clone(m)
	answer[0] = map[byte]byte{8: 0, 128: 129}[m[0]]
	for _, from := range []net.Addr{&net.IPAddr{IP: net.ParseIP("192.0.2.66")}, to} { // a stranger's first
		select {
		case s.in <- echoed{answer, from}:
		default:
		}
	}
	return len(m), nil
}

// release lets the answers to one request come.
func (s *echoSocket) release() {
	for range 2 {
		select {
		case s.hold <- struct{}{}:
		case <-s.closed:
		}
	}
}

func (s *echoSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case e := <-s.in:
		if s.hold != nil {
			select {
			case <-s.hold:
			case <-s.closed:
			}
		}
		return copy(b, e.m), e.from, nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *echoSocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *echoSocket) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func TestPolicy(t *testing.T) {
	addrs := func() ([]netip.Prefix, error) {
		return prefixes("127.0.0.1/8", "203.0.113.2/24", "192.168.7.1/24", "2001:db8:7::1/64", "100.80.0.1/32"), nil
	}
	exit := nat.Offer{Sources: overlay, Exit: true}
	lan := exit
	lan.ExitLAN = true
	route := nat.Offer{Sources: overlay, Routes: []nat.Route{{Prefix: netip.MustParsePrefix("192.168.7.0/24")}}}
	for _, c := range []struct {
		name             string
		src, dst         string
		exit, lan, route bool
	}{
		{"the internet", "100.80.0.2", "198.51.100.2", true, true, false},
		{"the internet by IPv6", "fd12::2", "2001:db8:2::2", true, true, false},
		{"a LAN", "100.80.0.2", "192.168.7.9", false, true, true},
		{"a LAN with global addresses", "fd12::2", "2001:db8:7::9", false, true, false},
		{"a private network beyond", "100.80.0.2", "10.1.1.1", false, true, false},
		{"the host's own address", "100.80.0.2", "192.168.7.1", false, false, false},
		{"its public one", "100.80.0.2", "203.0.113.2", false, false, false},
		{"its broadcast", "100.80.0.2", "192.168.7.255", false, false, false},
		{"loopback", "100.80.0.2", "127.0.0.2", false, false, false},
		{"loopback by IPv6", "fd12::2", "::1", false, false, false},
		{"loopback, mapped", "fd12::2", "::ffff:127.0.0.1", false, false, false},
		{"nowhere, which is here", "100.80.0.2", "0.0.0.0", false, false, false},
		{"the cloud's secrets", "100.80.0.2", "169.254.169.254", false, false, false},
		{"a group", "100.80.0.2", "224.0.0.251", false, false, false},
		{"everybody", "100.80.0.2", "255.255.255.255", false, false, false},
		{"the overlay", "100.80.0.2", "100.80.0.3", false, false, false},
		{"a spoofed source", "10.9.9.9", "198.51.100.2", false, false, false},
	} {
		src, dst := netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst)
		for _, o := range []struct {
			name  string
			offer nat.Offer
			want  bool
		}{{"exit", exit, c.exit}, {"exit with LAN", lan, c.lan}, {"route", route, c.route}, {"nothing", nat.Offer{Sources: overlay}, false}} {
			if got := newPolicy(o.offer, addrs).allows(src, dst); got != o.want {
				t.Errorf("%s: %s: %t", c.name, o.name, got)
			}
		}
	}
	blind := newPolicy(lan, func() ([]netip.Prefix, error) { return nil, errors.New("cannot look") })
	if blind.allows(netip.MustParseAddr("100.80.0.2"), netip.MustParseAddr("198.51.100.2")) {
		t.Error("a host that does not know its own addresses lets all pass")
	}
}

func TestBounds(t *testing.T) {
	s := flows{all: map[*flow]struct{}{}, peers: map[netip.Addr]int{}}
	peer := netip.MustParseAddr("100.80.0.2")
	var held []*flow
	for range maxPeerFlows {
		held = append(held, s.begin(peer, peer, func() {}))
	}
	if held[maxPeerFlows-1] == nil || s.begin(peer, peer, func() {}) != nil {
		t.Error("a peer has more than its share")
	}
	if s.begin(peer.Next(), peer, func() {}) == nil {
		t.Error("another peer has none")
	}
	s.done(held[0])
	if s.begin(peer, peer, func() {}) == nil {
		t.Error("no room after one has ended")
	}
	e := echoes{under: map[uint16]echo{}}
	for i := range uint16(maxOfPeer) {
		if _, ok := e.number(echo{peer, peer, i, time.Now().Add(time.Minute)}); !ok {
			t.Fatal("no room for a ping")
		}
	}
	if _, ok := e.number(echo{peer, peer, 9999, time.Now().Add(time.Minute)}); ok {
		t.Error("a peer has more pings than its share")
	}
	if _, ok := e.number(echo{peer, peer, 5, time.Now().Add(time.Minute)}); !ok {
		t.Error("a ping that goes on has no room")
	}
}

// TestCloseHalfOpen: a peer that does not finish its handshakes holds up neither a
// policy that forbids them nor the end.
func TestCloseHalfOpen(t *testing.T) {
	b := newBed(t, nat.Offer{Exit: true})
	b.serve("tcp4", "198.51.100.2:80")
	half := func() {
		t.Helper()
		syn := packet4(protoTCP, 0, 0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0)
		syn[15] = 9 // nobody who would answer
		b.Inject(syn)
		await(t, "a half-open connection", func() bool { return b.Stats().Flows > 0 })
	}
	half()
	b.Set(nat.Offer{Sources: overlay})
	await(t, "the end of what is forbidden", func() bool { return b.Stats().Flows == 0 })
	b.Set(nat.Offer{Sources: overlay, Exit: true})
	half()
	closed := make(chan struct{})
	go func() { b.NAT.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
}

func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !there(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestShares: the fewer flows there are, the more each may buffer.
func TestShares(t *testing.T) {
	var told []int
	f := flows{all: map[*flow]struct{}{}, peers: map[netip.Addr]int{}, share: func(size int) { told = append(told, size) }}
	var begun []*flow
	for i := range 200 {
		begun = append(begun, f.begin(netip.AddrFrom4([4]byte{100, 80, 0, byte(i)}), netip.Addr{}, func() {}))
	}
	if first, last := told[0], told[len(told)-1]; first != maxBuffer || last != minBuffer || !slices.IsSortedFunc(told, func(a, b int) int { return b - a }) {
		t.Errorf("shares of 200 flows that come: %v", told)
	}
	for _, b := range begun {
		f.done(b)
	}
	if last := told[len(told)-1]; last != maxBuffer {
		t.Errorf("afterwards each may buffer %d", last)
	}
}
