package wire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// sealers is both ends of a pair of keys, and the recipient's mask key.
func sealers(t testing.TB) (a, b *sealer, maskB maskKey) {
	ka, kb := key.NewExchange(), key.NewExchange()
	a, err := newSealer(newOwnKey(ka), kb.Public())
	if err != nil {
		t.Fatal(err)
	}
	b, err = newSealer(newOwnKey(kb), ka.Public())
	if err != nil {
		t.Fatal(err)
	}
	return a, b, maskKeyOf(kb.Public())
}

func TestSeal(t *testing.T) {
	a, b, mask := sealers(t)
	for _, size := range []int{0, 8, 52, 53, 400, 700, maxBody} {
		h := header{kind: kindFragment, flags: flagHave, from: 1, to: 2, counter: 3}
		body := bytes.Repeat([]byte{7}, size)
		d := a.seal(nil, appendInner(nil, h, body))
		if !slices.Contains(buckets[:], len(d)) {
			t.Errorf("body of %d: datagram of %d bytes is in no bucket", size, len(d))
		}
		if classify(d) != looksControl {
			t.Error("it looks like another protocol's")
		}
		if got := mask.apply(tag(d[:tagLen]), d[tagLen:outerLen]); got != a.self {
			t.Errorf("sender %x, want %x", got, a.self)
		}
		for _, i := range []int{0, tagLen, outerLen, len(d) - 1} {
			bad := bytes.Clone(d)
			bad[i] ^= 1
			if _, err := b.open(bad); err == nil {
				t.Errorf("a change of byte %d was not noticed", i)
			}
		}
		if _, err := a.open(bytes.Clone(d)); err == nil {
			t.Error("its sender could open it: the directions share a key")
		}
		inner, err := b.open(bytes.Clone(d))
		if err != nil {
			t.Fatal(err)
		}
		got, gotBody, err := parseInner(inner)
		if err != nil || got != h || !bytes.Equal(gotBody, body) {
			t.Errorf("got %+v %d %v", got, len(gotBody), err)
		}
	}
}

func TestPongIsNoLongerThanPing(t *testing.T) {
	a, _, _ := sealers(t)
	far := netip.MustParseAddrPort("[2001:db8::1]:65535")
	ping := a.seal(nil, appendInner(nil, header{kind: kindPing, from: 1}, appendTxid(nil, 1)))
	pong := a.seal(nil, appendInner(nil, header{kind: kindPong, from: 1}, appendAddr(appendTxid(nil, 1), far)))
	if len(pong) > len(ping) {
		t.Fatalf("pong of %d for a ping of %d", len(pong), len(ping))
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, c := range []struct {
		counter uint64
		want    bool
	}{
		{5, true}, {5, false}, {4, true}, {4, false}, {0, true}, {0, false},
		{1028, true}, {4, false}, {6, true}, {1027, true}, {5, false},
		{100000, true}, {100000 - windowSize, false}, {100000 - windowSize + 1, true}, {1028, false},
		{1 << 63, false}, {1<<64 - 1, false}, {99999, true}, {99999, false},
	} {
		if got := w.take(c.counter); got != c.want {
			t.Errorf("take(%d) = %v", c.counter, got)
		}
	}
}

// TestWindowModel compares with a set.
func TestWindowModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var w window
	taken, newest := map[uint64]bool{}, uint64(0)
	for range 200_000 {
		c := newest + uint64(r.IntN(40))
		if r.IntN(3) > 0 {
			c = max(newest, 1500) - uint64(r.IntN(1500))
		}
		if r.IntN(1000) == 0 {
			c = newest + uint64(r.IntN(5000))
		}
		want := !taken[c] && c+windowSize > newest
		if got := w.take(c); got != want {
			t.Fatalf("take(%d) with newest %d = %v", c, newest, got)
		}
		taken[c] = true
		newest = max(newest, c)
	}
}

func TestBucket(t *testing.T) {
	b := bucket{rate: 10, burst: 3}
	now := time.Unix(1000, 0)
	got := 0
	for range 10 {
		if b.allow(now) {
			got++
		}
	}
	if got != 3 {
		t.Errorf("%d of 10 at once, want 3", got)
	}
	if b.allow(now.Add(50*time.Millisecond)) || !b.allow(now.Add(151*time.Millisecond)) {
		t.Error("it does not fill at its rate")
	}
}

func TestAddrs(t *testing.T) {
	in := []told{{addr("10.0.0.1:1"), NATHard}, {addr("[fe80::1%3]:2"), NATUnknown}, {addr("[2001:db8::1]:65535"), NATEasy}}
	want := slices.Clone(in)
	want[1].addr = addr("[fe80::1]:2")
	got, err := parseTold(appendTold(nil, in))
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v %v", got, err)
	}
	for _, bad := range [][]byte{{4}, {5, 1, 2, 3, 4, 5, 0, 1}, {4, 1, 2, 3, 4, 0}, {0, 0, 0},
		append([]byte{16}, append(netip.MustParseAddr("::ffff:1.2.3.4").AsSlice(), 0, 1)...)} {
		if got, err := parseTold(bad); err == nil {
			t.Errorf("%x gave %v", bad, got)
		}
	}
}

func TestLocal(t *testing.T) {
	l := newLocal([]netmon.Interface{
		{Index: 1, Up: true, Loopback: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}},
		{Index: 2, Up: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.5/24"), netip.MustParsePrefix("fe80::5/64")}},
		{Index: 3, Up: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("100.70.0.1/16"), netip.MustParsePrefix("fe80::6/64")}},
		{Index: 4, Up: true, PointToPoint: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.8.0.2/24")}},
		{Index: 5, Up: false, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}},
		{Index: 6, Up: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8::7/64")}},
	}, map[int]bool{3: true})
	for a, want := range map[string]PathKind{
		"192.168.1.9": LAN, "fe80::9%2": LAN, "10.8.0.1": Direct, "10.9.0.1": Direct, "203.0.113.1": Direct, "2001:db8::9": LAN, "127.0.0.1": LAN,
	} {
		if got := l.kind(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is %v, want %v", a, got, want)
		}
	}
	for a, want := range map[string]bool{"100.70.3.4": true, "0.0.0.0": true, "224.0.0.1": true, "192.168.1.9": false, "fe80::9%2": false, "fe80::9%3": true} {
		if got := l.forbidden(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s forbidden: %v", a, got)
		}
	}
	var names []string
	for _, a := range l.addrs {
		names = append(names, a.String())
	}
	if diff := cmp.Diff([]string{"192.168.1.5", "fe80::5", "2001:db8::7", "10.8.0.2"}, names); diff != "" {
		t.Error(diff)
	}
	for _, a := range []string{"[fe80::9]:1", "[fe80::9%2]:1", "[fe80::9%99]:1"} {
		if got := l.expand(addr(a), nil); len(got) != 1 || got[0] != addr("[fe80::9%2]:1") {
			t.Errorf("%s expanded to %v", a, got)
		}
	}
}

func TestChoose(t *testing.T) {
	now := time.Unix(1000, 0)
	ms := time.Millisecond
	mk := func(k PathKind, rtt time.Duration) *path {
		p := &path{kind: k}
		p.pong(now, rtt, udp.Source{})
		return p
	}
	direct, lan, fast, slower := mk(Direct, 20*ms), mk(LAN, 30*ms), mk(Direct, 10*ms), mk(Direct, 18*ms)
	var ps paths
	try := func(what string, p *path, probes int, want *path) {
		t.Helper()
		if ps.at(p.place) != p {
			ps.add(p)
		}
		for range probes {
			ps.compare(p)
		}
		ps.choose(now)
		if ps.best != want {
			t.Errorf("%s: not the path wanted", what)
		}
	}
	for i, p := range []*path{direct, lan, fast, slower} {
		p.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)
	}
	try("the first", direct, 1, direct)
	try("one a tenth faster", slower, 10, direct)
	try("one twice as fast, twice", fast, 2, direct)
	try("one twice as fast, three times", fast, 1, fast)
	try("a better class at once", lan, 0, lan)
	if ps.second(now) != nil {
		t.Error("a second path without a doubt")
	}
	lan.ping(now)
	if lan.age(now.Add(139*ms)) || !lan.age(now.Add(200*ms)) || lan.age(now.Add(201*ms)) {
		t.Error("the path is doubted at the wrong time")
	}
	ps.choose(now)
	if ps.best != lan || ps.second(now) != fast {
		t.Error("not sent on both while in doubt")
	}
	now = now.Add(firmAfter + 200*ms)
	ps.choose(now)
	if ps.best == lan || ps.second(now) != lan {
		t.Error("a path that has been in doubt for long is the best yet")
	}
	lan.pong(now, 30*ms, udp.Source{})
	ps.choose(now)
	if ps.best != lan || ps.second(now) != nil {
		t.Error("the path did not come back")
	}
	lan.ping(now)
	if lan.dead(now.Add(5*time.Second), false) || !lan.dead(now.Add(6*time.Second), false) {
		t.Error("dead at the wrong time")
	}
	lan.hear(now.Add(5 * time.Second))
	if lan.dead(now.Add(6*time.Second), true) || !lan.dead(now.Add(6*time.Second), false) {
		t.Error("traffic must keep alive a path without an alternative, no other")
	}
}

func TestFragments(t *testing.T) {
	now := time.Unix(1000, 0)
	var r reassembly
	for _, size := range []int{1, maxPiece, maxPiece + 1, 1200, maxPacket} {
		packet := bytes.Repeat([]byte{byte(size)}, size)
		packet[size-1] = 9
		for _, swap := range []bool{false, true} {
			pieces := split(uint32(size), packet)
			if swap && len(pieces) == 2 {
				pieces[0], pieces[1] = pieces[1], pieces[0]
			}
			var got []byte
			for _, p := range pieces {
				q, err := parsePiece(appendPiece(nil, p))
				if err != nil {
					t.Fatal(err)
				}
				if got != nil {
					t.Fatal("complete too early")
				}
				got = r.add(nil, q, now)
			}
			if !bytes.Equal(got, packet) {
				t.Errorf("%d bytes did not come back", size)
			}
		}
	}
	if split(1, make([]byte, maxPacket+1)) != nil {
		t.Error("a packet that is too long was cut")
	}
	late := split(1, make([]byte, 1200))
	r.add(nil, late[0], now)
	if r.add(nil, late[1], now.Add(pieceLives+1)) != nil {
		t.Error("a piece lived too long")
	}
	for i := range uint32(100) {
		r.add(nil, piece{id: 1000 + i, count: 2, data: []byte{1}}, now)
	}
	if r.add(nil, piece{id: 1000 + 92, index: 1, count: 2, data: []byte{1}}, now) == nil {
		t.Error("the latest pieces are not kept")
	}
	if r.add(nil, piece{id: 1000 + 91, index: 1, count: 2, data: []byte{1}}, now) != nil {
		t.Error("more pieces are kept than may be")
	}
}

func FuzzInner(f *testing.F) {
	f.Add(appendInner(nil, header{kind: kindPing, from: 1, to: 2, counter: 3}, appendTxid(nil, 1)))
	f.Add(appendInner(nil, header{kind: kindPong, from: 1}, append(appendAddr(appendTxid(nil, 1), addr("10.0.0.1:1")), 0, 0, 0, 9)))
	f.Add(appendInner(nil, header{kind: kindCandidates, from: 1}, appendTold(nil, []told{{addr("[fe80::1]:1"), NATHard}})))
	f.Add(appendInner(nil, header{kind: kindForward, from: 1}, []byte("\x01\x03aaaaaaaabbbbbbbbccccccccdata")))
	f.Add(appendInner(nil, header{kind: kindFragment, from: 1}, appendPiece(nil, piece{1, 0, 2, []byte{1}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := parseInner(b)
		if err != nil {
			return
		}
		if again := appendInner(nil, h, body); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x was read as %x", b, again)
		}
		parsePing(body)
		if txid, seen, came, err := parsePong(body); err == nil && !bytes.Equal(binary.BigEndian.AppendUint32(appendAddr(appendTxid(nil, txid), seen), came), body) {
			t.Fatalf("pong %x is not its own form", body)
		}
		if f, err := parseFrame(body); err == nil && (!bytes.Equal(append(f.appendHead(nil), f.data...), body) || f.pos >= f.count || f.loops()) {
			t.Fatalf("frame %x is not its own form", body)
		}
		if all, err := parseTold(bytes.Clone(body)); err == nil && !bytes.Equal(appendTold(nil, all), body) {
			t.Fatalf("addresses %x are not their own form", body)
		}
	})
}

func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 2, 1, 2, 3}, []byte{0, 0, 0, 1, 1, 2, 4, 5})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var r reassembly
		now := time.Unix(1000, 0)
		for _, x := range [][]byte{a, b, a, b} {
			if p, err := parsePiece(x); err == nil && len(r.add(nil, p, now)) > len(a)+len(b) {
				t.Fatal("more came out than went in")
			}
		}
	})
}

// FuzzReceive throws anything at a wire that knows a peer.
func FuzzReceive(f *testing.F) {
	peer := key.NewExchange()
	id := key.New().Public()
	own := key.NewExchange()
	s, err := newSealer(newOwnKey(peer), own.Public())
	if err != nil {
		f.Fatal(err)
	}
	c, err := udp.Listen(0)
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	w, err := New(Config{Conn: c, Device: key.New(), Control: own, Handler: silent{}})
	if err != nil {
		f.Fatal(err)
	}
	defer w.Close()
	w.SetPeers([]Peer{{ID: id, Control: peer.Public()}})
	f.Add(s.seal(nil, appendInner(nil, header{kind: kindPing, from: 1}, appendTxid(nil, 1))), false)
	f.Add(appendInner(nil, header{kind: kindPing, from: 1, to: w.boot}, appendTxid(nil, 1)), true)
	f.Add(appendInner(nil, header{kind: kindCandidates, from: 1, to: w.boot}, []byte{4}), true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			if len(b) > maxDatagram-overhead {
				return
			}
			b = s.seal(nil, b)
		}
		w.receive(bytes.Clone(b), at(addr("127.0.0.1:9")), udp.Source{}, new(transit))
		if p, _ := w.PeerStatus(id); p.Path.Kind != None {
			t.Fatal("a path from nothing")
		}
	})
}
