package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
	"kith.internal/helper/internal/wire/udp/udptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record keeps all control datagrams of the segment.
func record(seg *udptest.Segment) *[]udptest.Datagram {
	var all []udptest.Datagram
	seg.SetFilter(func(d udptest.Datagram) bool {
		if classify(d.Payload) == looksControl {
			d.Payload = bytes.Clone(d.Payload)
			all = append(all, d)
		}
		return true
	})
	return &all
}

// beliefs is what a node holds of a peer, without what time alone changes.
func beliefs(n, of *node) string {
	synctest.Wait()
	w := n.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.dir.Load().byID[of.id()]
	if p.c == nil {
		return "nothing"
	}
	c := p.c
	var paths []string
	for _, q := range c.paths.all {
		paths = append(paths, fmt.Sprint(q.addr, q.kind, q.health))
	}
	slices.Sort(paths)
	return fmt.Sprint(c.boot, c.window.next, c.word, c.wordAt, c.told, paths, len(c.sessions), c.want, c.configured, len(c.instances), p.given, w.observed)
}

// TestReplay: recorded datagrams change nothing, in the same life and in later
// ones, wherever they seem to come from.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, seg, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		seg.SetDelay(2 * time.Millisecond)
		all := record(seg)
		peerOfA, peerOfB := b.peer(addr("10.0.0.2:30000")), a.peer(addr("10.0.0.1:30000"))
		a.wire.SetPeers([]Peer{peerOfA})
		b.wire.SetPeers([]Peer{peerOfB})
		session, _ := echo(t, a, b)
		a.wire.Want(b.id(), true)
		a.wire.SetConfigured(b.id(), true)
		b.wire.SetConfigured(a.id(), true)
		time.Sleep(5 * time.Second)
		session.Close(0)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		lives := [][]udptest.Datagram{*all}

		replay := func(when string) {
			t.Helper()
			a.told()
			b.told()
			beforeA, beforeB := beliefs(a, b), beliefs(b, a)
			// Answers to what is replayed are lost: they are not what is tested.
			var injecting atomic.Bool
			seg.SetFilter(func(udptest.Datagram) bool { return injecting.Load() })
			for _, life := range lives {
				injecting.Store(true)
				for _, d := range life {
					seg.Inject(d)
					d.From = addr("10.0.0.66:666")
					seg.Inject(d)
				}
				injecting.Store(false)
				time.Sleep(10 * time.Millisecond)
			}
			if diff := cmp.Diff(beforeA, beliefs(a, b)); diff != "" {
				t.Errorf("%s: a changed its mind: %s", when, diff)
			}
			if diff := cmp.Diff(beforeB, beliefs(b, a)); diff != "" {
				t.Errorf("%s: b changed its mind: %s", when, diff)
			}
			for _, n := range []*node{a, b} {
				if got := n.told(); len(got) != 0 {
					t.Errorf("%s: %s was told %q", when, n.name, got)
				}
			}
		}
		replay("in the same life")
		for life := range 2 {
			all = record(seg)
			a.restart(peerOfA)
			a.wire.Seek(b.id())
			b.wire.Seek(a.id())
			time.Sleep(3 * time.Minute)
			a.wantPath(b, LAN, "")
			lives = append(lives, *all)
			replay(fmt.Sprintf("after restart %d", life+1))
		}
	})
}

// TestStrangers: whoever does not know our control key gets no answer at all.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, seg, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		b.wire.SetPeers([]Peer{a.peer()})
		stranger := key.NewExchange()
		s, err := newSealer(newOwnKey(stranger), b.control.Public())
		if err != nil {
			t.Fatal(err)
		}
		answers := 0
		seg.SetFilter(func(d udptest.Datagram) bool {
			if d.From.Addr() == netip.MustParseAddr("10.0.0.2") {
				answers++
			}
			return true
		})
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 5000 {
			var p []byte
			switch i % 3 {
			case 0: // random
				p = make([]byte, r.IntN(1400))
				for j := range p {
					p[j] = byte(r.Uint32())
				}
			case 1: // sealed well, by someone who is not a member
				p = s.seal(nil, appendInner(nil, header{kind: kindPing, from: 1}, appendTxid(nil, 1)))
			case 2: // names a member, but does not have its key
				p = s.seal(nil, appendInner(nil, header{kind: kindPing, from: 1}, appendTxid(nil, 1)))
				m := s.mask.apply(tagOf(a.control.Public()), p[tagLen:outerLen])
				copy(p, m[:])
			}
			seg.Inject(udptest.Datagram{From: addr("10.0.0.66:666"), To: addr("10.0.0.2:30000"), Payload: p})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if answers != 0 {
			t.Errorf("%d answers", answers)
		}
		if got := beliefs(b, a); got != "nothing" {
			t.Errorf("b holds %s", got)
		}
		if b.wire.drops.strangers.Load() == 0 || b.wire.drops.forged.Load() == 0 {
			t.Error("nothing was counted")
		}
	})
}

// TestPingFlood: a member's recorded pings are answered at a bounded rate.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, seg, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		b.wire.SetPeers([]Peer{a.peer()})
		s, err := newSealer(newOwnKey(a.control), b.control.Public())
		if err != nil {
			t.Fatal(err)
		}
		answers := 0
		seg.SetFilter(func(d udptest.Datagram) bool {
			if d.From.Addr() == netip.MustParseAddr("10.0.0.2") {
				answers++
			}
			return true
		})
		d := s.seal(nil, appendInner(nil, header{kind: kindPing, from: 1}, appendTxid(nil, 1)))
		const seconds = 10
		for range seconds * 100 {
			seg.Inject(udptest.Datagram{From: addr("10.0.0.66:666"), To: addr("10.0.0.2:30000"), Payload: d})
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if most := 2 * (10 + 5*seconds); answers > most {
			t.Errorf("%d answers, want at most %d", answers, most)
		}
		if got := len(b.wire.dir.Load().byID[a.id()].c.pings); got > maxPings {
			t.Errorf("%d pings outstanding", got)
		}
	})
}

// TestOwnTUN: nothing is ever sent to or taken from an address of our own TUN.
func TestOwnTUN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		seg := n.Segment("tun")
		ha, hb := n.Host("a"), n.Host("b")
		index := ha.Attach(seg, netip.MustParsePrefix("100.70.0.1/16"))
		hb.Attach(seg, netip.MustParsePrefix("100.70.0.2/16"))
		a, b := newNode(t, "a", ha), newNode(t, "b", hb)
		defer a.stop()
		defer b.stop()
		a.wire.SetLocal(ha.Interfaces(), map[int]bool{index: true})
		a.wire.SetPeers([]Peer{b.peer(addr("100.70.0.2:30000"), b.linkLocal())})
		b.wire.SetPeers([]Peer{a.peer(addr("100.70.0.1:30000"), a.linkLocal())})
		sent, own := 0, a.linkLocal()
		seg.SetFilter(func(d udptest.Datagram) bool {
			if d.From.Addr() == netip.MustParseAddr("100.70.0.1") || d.From == own {
				sent++
			}
			return true
		})
		a.wire.Want(b.id(), true)
		b.wire.Want(a.id(), true)
		time.Sleep(10 * time.Second)
		if sent != 0 {
			t.Errorf("%d datagrams into our own TUN", sent)
		}
		if got := a.wire.Candidates(); len(got) != 0 {
			t.Errorf("candidates %v", got)
		}
		a.wantPath(b, None, "")
	})
}

// deafConn hears nothing.
type deafConn struct{ udp.Conn }

func (deafConn) Readers() []func([]udp.Packet) (int, error) { return nil }

// TestMemory: an idle member costs under 2 KiB, five thousand of them.
func TestMemory(t *testing.T) {
	c, err := udp.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Without readers, which may take their buffers at any time.
	w, err := New(Config{Conn: deafConn{c}, Device: key.New(), Control: key.NewExchange(), Handler: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const members = 5000
	peers := make([]Peer, members)
	for i := range peers {
		peers[i] = Peer{ID: key.Public(key.New()), Control: key.Exchange(key.New()), Candidates: []netip.AddrPort{addr("10.0.0.1:1"), addr("[2001:db8::1]:1")}}
	}
	// What was ever allocated, as what lives depends on when the garbage of
	// other tests is collected.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w.SetPeers(peers)
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / members; each > 1024 {
		t.Errorf("%d bytes a member that was never heard of", each)
	}
	if each := unsafe.Sizeof(peer{}) + unsafe.Sizeof(contact{}) + unsafe.Sizeof(sealer{}); each > 1792 {
		t.Errorf("%d bytes a member that was dealt with, without its paths", each)
	}
}

// bufferConn gives the same packets for ever and sends nowhere.
type bufferConn struct {
	udp.Conn
	packets []udp.Packet
}

func (c *bufferConn) read(out []udp.Packet) (int, error) {
	for i := range c.packets {
		out[i].N = copy(out[i].Buf, c.packets[i].Buf)
		out[i].Addr, out[i].Src = c.packets[i].Addr, c.packets[i].Src
	}
	return len(c.packets), nil
}

func (c *bufferConn) WriteBatch([][]byte, netip.AddrPort, udp.Source) error { return nil }

// packetPath is a wire's ends of the packet path, without sockets: a full
// batch from a confirmed path of a peer, and the way back.
func packetPath(tb testing.TB) (receive func(), send func(), stop func()) {
	real, err := udp.Listen(0)
	if err != nil {
		tb.Fatal(err)
	}
	from := addr("10.0.0.2:30000")
	c := &bufferConn{Conn: real}
	w, err := New(Config{Conn: c, Device: key.New(), Control: key.NewExchange(), Handler: silent{}})
	if err != nil {
		tb.Fatal(err)
	}
	w.SetLocal([]netmon.Interface{{Index: 2, Up: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	id := key.New().Public()
	w.SetPeers([]Peer{{ID: id, Control: key.NewExchange().Public()}})
	p := w.dir.Load().byID[id]
	w.mu.Lock()
	p.contact().boot = 1
	var out outbox
	p.confirm(arrival{from: at(from), now: time.Now()}, outstanding{at: time.Now().Add(-time.Millisecond)}, 0, &out)
	w.mu.Unlock()

	packet := make([]byte, 1452)
	packet[0] = 4
	bufs, sizes, eps := make([][]byte, batchSize), make([]int, batchSize), make([]conn.Endpoint, batchSize)
	data := make([][]byte, batchSize)
	for i := range bufs {
		bufs[i], data[i] = make([]byte, 65535), packet
		c.packets = append(c.packets, udp.Packet{Buf: packet, Addr: from})
	}
	r := &reader{pump: &w.pump, fn: c.read}
	r.idle.L = &r.mu
	v := newReceiver(r, 0)
	bind := w.Bind()
	return func() {
			if n, err := v.receive(bufs, sizes, eps); n != batchSize || err != nil || eps[0] != &p.ep || sizes[0] != len(packet) {
				tb.Fatal("the batch did not come in", n, err)
			}
		}, func() {
			if err := bind.Send(data, &p.ep); err != nil {
				tb.Fatal(err)
			}
		}, func() {
			w.Close()
			real.Close()
		}
}

// TestNoAllocation: neither way of the packet path allocates.
func TestNoAllocation(t *testing.T) {
	receive, send, stop := packetPath(t)
	defer stop()
	if n := testing.AllocsPerRun(1000, receive); n != 0 {
		t.Errorf("%v allocations a batch received", n)
	}
	if n := testing.AllocsPerRun(1000, send); n > 0.05 {
		t.Errorf("%v allocations a batch sent", n)
	}
}

// BenchmarkLayer is what the wire itself adds to a full batch and to a single
// packet, the sockets left out.
func BenchmarkLayer(b *testing.B) {
	receive, send, stop := packetPath(b)
	defer stop()
	b.Run("receive 128 with the copy that the socket makes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			receive()
		}
	})
	b.Run("send", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send()
		}
	})
}
