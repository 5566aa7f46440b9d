package tunnel

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"
	wgtest "golang.zx2c4.com/wireguard/tun/tuntest"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/tun/tuntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bubbleTUN struct{ *tuntest.TUN }

func (bubbleTUN) Keep(peer any) { tuntest.NoFinalizers(peer) }

// end is a tunnel on a wire that carries packets to the other end at once.
type end struct {
	id   key.Public
	wg   key.ExchangePrivate
	addr netip.Addr
	tun  *tuntest.TUN
	tn   *Tunnel
	far  *end

	mu         sync.Mutex
	want, have map[key.Public]bool
	in         chan []byte
	down       chan struct{}
}

type endpoint struct{ conn.Endpoint }

func (endpoint) ClearSrc()           {}
func (endpoint) DstToBytes() []byte  { return []byte{1} }
func (endpoint) DstToString() string { return "far" }

func (e *end) Bind() conn.Bind            { return bind{e} }
func (e *end) Endpoint(key.Public) string { return "far" }
func (e *end) Want(id key.Public, on bool) {
	e.mu.Lock()
	e.want[id] = on
	e.mu.Unlock()
	if on { // the wire tells the peer, and holds the handshake until it is ready
		e.far.tn.Ensure(e.id)
	}
}
func (e *end) SetConfigured(id key.Public, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.have[id] = on
}

func (e *end) state() (want, have []key.Public) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for m, out := range map[*map[key.Public]bool]*[]key.Public{&e.want: &want, &e.have: &have} {
		for _, k := range slices.SortedFunc(maps.Keys(*m), func(a, b key.Public) int { return slices.Compare(a[:], b[:]) }) {
			if (*m)[k] {
				*out = append(*out, k)
			}
		}
	}
	return want, have
}

type bind struct{ e *end }

func (b bind) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.e.down = make(chan struct{})
	down := b.e.down
	return []conn.ReceiveFunc{func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case p := <-b.e.in:
			sizes[0], eps[0] = copy(bufs[0], p), endpoint{}
			return 1, nil
		case <-down:
			return 0, net.ErrClosed
		}
	}}, 1, nil
}

func (b bind) Close() error {
	if b.e.down != nil {
		close(b.e.down)
		b.e.down = nil
	}
	return nil
}
func (b bind) SetMark(uint32) error { return nil }
func (b bind) BatchSize() int       { return 1 }
func (b bind) Send(bufs [][]byte, _ conn.Endpoint) error {
	for _, p := range bufs {
		b.e.far.in <- slices.Clone(p)
	}
	return nil
}
func (b bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	if s != "far" {
		return nil, errors.New("no such endpoint")
	}
	return endpoint{}, nil
}

func newEnd(t *testing.T, n byte) *end {
	return &end{
		id: key.New().Public(), wg: key.NewExchange(), addr: netip.AddrFrom4([4]byte{100, 80, 0, n}), tun: tuntest.New("kith0", 1420),
		want: map[key.Public]bool{}, have: map[key.Public]bool{}, in: make(chan []byte, 1000),
	}
}

func (e *end) peer() Peer { return Peer{ID: e.id, WG: e.wg.Public(), Addrs: []netip.Addr{e.addr}} }

// ends is two tunnels that know of each other.
func ends(t *testing.T) (a, b *end) {
	t.Helper()
	a, b = newEnd(t, 1), newEnd(t, 2)
	a.far, b.far = b, a
	for _, e := range []*end{a, b} {
		var err error
		if e.tn, err = New(bubbleTUN{e.tun}, e.wg, e, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		e.tn.SetPeers([]Peer{e.far.peer()})
		t.Cleanup(e.tn.Close)
	}
	return a, b
}

// sends sends one packet and tells whether it has arrived within a limit.
func (e *end) sends(limit time.Duration) bool {
	for drained := false; !drained; {
		select {
		case <-e.far.tun.Outbound:
		default:
			drained = true
		}
	}
	e.tun.Inject <- wgtest.Ping(e.far.addr, e.addr)
	select {
	case <-e.far.tun.Outbound:
		return true
	case <-time.After(limit):
		return false
	}
}

// TestFirstPacket: a session begins with the first packet, which is not lost,
// and nothing is configured before.
func TestFirstPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ends(t)
		if st := a.tn.Status(); len(st) != 0 {
			t.Errorf("before any packet: %v", st)
		}
		if !a.sends(time.Second) {
			t.Fatal("the first packet is lost")
		}
		synctest.Wait()
		if want, have := a.state(); !slices.Equal(want, []key.Public{b.id}) || !slices.Equal(have, []key.Public{b.id}) {
			t.Errorf("wanted %v, configured %v", want, have)
		}
		if want, have := b.state(); len(want) != 0 || len(have) != 1 {
			t.Errorf("on the other side: wanted %v, configured %v", want, have)
		}
		if !b.sends(time.Second) {
			t.Fatal("the answer is lost")
		}
		synctest.Wait()
		if want, _ := b.state(); len(want) != 1 {
			t.Error("the other side's packets have not asked for the session")
		}
		st := a.tn.Status()[b.id]
		if !st.Active || st.Tx == 0 || st.Rx == 0 || time.Since(st.LastHandshake) > time.Second {
			t.Errorf("status %+v", st)
		}
		// Strangers' addresses are nothing.
		a.tun.Inject <- wgtest.Ping(netip.MustParseAddr("100.80.9.9"), a.addr)
		a.tun.Inject <- []byte{0x45}
		a.tun.Inject <- []byte{}
		synctest.Wait()
		if len(a.tn.Status()) != 1 {
			t.Errorf("status %+v", a.tn.Status())
		}
	})
}

// TestSpoofedSource: who sends by another member's address, a stranger's of the
// overlay or one of the internet, is not heard.
func TestSpoofedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ends(t)
		third := newEnd(t, 3)
		b.tn.SetPeers([]Peer{a.peer(), third.peer()})
		if !a.sends(time.Second) {
			t.Fatal("the first packet is lost")
		}
		for _, src := range []netip.Addr{third.addr, netip.MustParseAddr("100.80.9.9"), netip.MustParseAddr("198.51.100.1"), b.addr} {
			a.tun.Inject <- wgtest.Ping(b.addr, src)
			select {
			case <-b.tun.Outbound:
				t.Errorf("a packet from %v passes", src)
			case <-time.After(time.Second):
			}
		}
		if !a.sends(time.Second) {
			t.Error("its own address is not heard any more")
		}
	})
}

// TestIdle: a session that nobody uses ends, on both sides, keeps its sums and
// begins again with the next packet; one that is used stays.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ends(t)
		for range 20 {
			if !a.sends(time.Second) {
				t.Fatal("a packet is lost")
			}
			time.Sleep(time.Minute)
		}
		before := a.tn.Status()[b.id]
		time.Sleep(10 * time.Minute)
		for _, e := range []*end{a, b} {
			if want, have := e.state(); len(want)+len(have) != 0 {
				t.Errorf("idle, and wanted %v, configured %v", want, have)
			}
		}
		if st := a.tn.Status()[b.id]; st.Active || st.Tx < before.Tx || st.Rx < before.Rx || !st.LastHandshake.Equal(before.LastHandshake) {
			t.Errorf("status %+v, before %+v", st, before)
		}
		if !a.sends(time.Second) {
			t.Fatal("the first packet after idling is lost")
		}
		if st := a.tn.Status()[b.id]; !st.Active || st.Tx <= before.Tx {
			t.Errorf("status %+v, before %+v", st, before)
		}
	})
}

// TestReset: a peer that has restarted is configured afresh.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ends(t)
		a.tn.Reset(b.id) // without a session it is nothing
		if want, have := a.state(); len(want)+len(have) != 0 {
			t.Errorf("wanted %v, configured %v", want, have)
		}
		if !a.sends(time.Second) || !b.sends(time.Second) {
			t.Fatal("a packet is lost")
		}
		synctest.Wait()
		b.tn.Close()
		b.tun = tuntest.New("kith0", 1420)
		var err error
		if b.tn, err = New(bubbleTUN{b.tun}, b.wg, b, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		defer b.tn.Close()
		b.tn.SetPeers([]Peer{a.peer()})
		b.tn.Ensure(a.id)
		a.tn.Reset(b.id)
		a.tn.Reset(key.New().Public())
		if !a.sends(time.Second) || !b.sends(time.Second) {
			t.Error("after a restart a packet is lost")
		}
	})
}

// TestRemoval cuts a session at once; another WireGuard key begins it anew,
// another address does nothing.
func TestRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ends(t)
		if !a.sends(time.Second) {
			t.Fatal("a packet is lost")
		}
		moved := b.peer()
		moved.Addrs = append(moved.Addrs, netip.MustParseAddr("fd00::2"))
		a.tn.SetPeers([]Peer{moved})
		if !b.sends(time.Second) || !a.sends(time.Second) {
			t.Error("a new address has cut the session")
		}
		rekeyed := b.peer()
		rekeyed.WG = key.NewExchange().Public()
		a.tn.SetPeers([]Peer{rekeyed})
		if _, have := a.state(); len(have) != 1 || b.sends(time.Second) {
			t.Error("another key has not begun the session anew")
		}
		a.tn.SetPeers([]Peer{b.peer()})
		if !a.sends(10 * time.Second) {
			t.Error("the key is back, and a packet is lost")
		}
		a.tn.SetPeers(nil)
		if want, have := a.state(); len(want)+len(have) != 0 {
			t.Errorf("removed, and wanted %v, configured %v", want, have)
		}
		if b.sends(time.Second) || a.sends(time.Second) {
			t.Error("removed, and a packet has arrived")
		}
		a.tn.Ensure(b.id)
		if _, have := a.state(); len(have) != 0 || len(a.tn.Status()) != 0 {
			t.Error("removed, and configured by its own wish")
		}
		a.tn.Close()
		a.tn.Close()
		a.tn.SetPeers([]Peer{b.peer()})
		a.tn.Ensure(b.id)
		if len(a.tn.Status()) != 0 {
			t.Error("closed, and has a session")
		}
	})
}

func TestParseStats(t *testing.T) {
	one, two := key.NewExchange().Public(), key.NewExchange().Public()
	text := fmt.Sprintf(`private_key=%[1]x
listen_port=1
public_key=%[1]x
endpoint=x
last_handshake_time_sec=10
last_handshake_time_nsec=5
tx_bytes=7
rx_bytes=9
allowed_ip=100.80.0.1/32
public_key=%[2]x
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=3
rx_bytes=0
public_key=zz
tx_bytes=99
`, one[:], two[:])
	got := parseStats(text)
	want := map[key.Exchange]Stats{one: {Rx: 9, Tx: 7, LastHandshake: time.Unix(10, 5)}, two: {Tx: 3}}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := parseStats(""); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestDestination(t *testing.T) {
	six := append([]byte{0x60}, make([]byte, 39)...)
	six[39] = 7
	for name, c := range map[string]struct {
		p    []byte
		want string
	}{
		"IPv4":             {append([]byte{0x45}, []byte(strings.Repeat("\x01", 19))...), "1.1.1.1"},
		"IPv6":             {six, "::7"},
		"nothing":          {nil, ""},
		"short IPv4":       {[]byte{0x45, 0, 0}, ""},
		"short IPv6":       {six[:39], ""},
		"no known version": {append([]byte{0x55}, make([]byte, 60)...), ""},
	} {
		got, ok := destination(c.p)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
}
