package wire

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// hop is a wire between two peers without sockets, and batches of frames that
// the first of them has sealed.
type hop struct {
	wire        *Wire
	conn        *bufferConn
	first, next *peer
	batches     [][]udp.Packet
	receive     func() int   // wireguard-go's
	sent        atomic.Int32 // frames
	stop        func()
}

// countingConn counts the frames that are sent.
type countingConn struct {
	*bufferConn
	sent *atomic.Int32
}

func (c countingConn) WriteBatch(bufs [][]byte, _ netip.AddrPort, _ udp.Source) error {
	for _, b := range bufs {
		if len(b) > benchPacket/2 {
			c.sent.Add(1)
		}
	}
	return nil
}

const hopBatches = 32

// newHop makes a hop whose frames go over it to the next peer, or end there.
// Paths carry datagrams of mtu bytes.
func newHop(tb testing.TB, ends bool, mtu int) *hop {
	real, err := udp.Listen(0)
	if err != nil {
		tb.Fatal(err)
	}
	h := &hop{conn: &bufferConn{Conn: real}}
	control, sender := key.NewExchange(), key.NewExchange()
	h.wire, err = New(Config{Conn: countingConn{h.conn, &h.sent}, Device: key.New(), Control: control, Handler: silent{}})
	if err != nil {
		tb.Fatal(err)
	}
	w := h.wire
	h.stop = func() {
		w.Close()
		real.Close()
	}
	w.SetForwarding(Forwarding{On: true})
	w.SetLocal([]netmon.Interface{{Index: 2, Up: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	ids := [2]key.Public{key.New().Public(), key.New().Public()}
	w.SetPeers([]Peer{{ID: ids[0], Control: sender.Public()}, {ID: ids[1], Control: key.NewExchange().Public()}})
	from := addr("10.0.0.2:30000")
	w.mu.Lock()
	for i, to := range []netip.AddrPort{from, addr("10.0.0.3:30000")} {
		p := w.dir.Load().byID[ids[i]]
		p.contact().boot = 1
		var out outbox
		p.confirm(arrival{from: at(to), now: time.Now()}, outstanding{at: time.Now().Add(-time.Millisecond)}, 0, &out)
		p.c.paths.best.mtu = mtu
		p.publish(time.Now())
	}
	h.first, h.next = w.dir.Load().byID[ids[0]], w.dir.Load().byID[ids[1]]
	w.mu.Unlock()

	s, err := newSealer(newOwnKey(sender), control.Public())
	if err != nil {
		tb.Fatal(err)
	}
	f := frame{pos: 1, count: 3, nodes: [maxNodes]tag{h.first.tag, w.tag, h.next.tag}, data: make([]byte, benchPacket)}
	if ends {
		f.nodes = [maxNodes]tag{h.next.tag, h.first.tag, w.tag}
		f.pos = 2
	}
	f.data[0] = 4
	body := append(f.appendHead(nil), f.data...)
	n := uint64(0)
	datagram := func(k kind, body []byte) udp.Packet {
		n++
		return udp.Packet{Buf: s.sealPadded(nil, appendInner(nil, header{kind: k, from: 1, to: w.boot, counter: n}, body), 0), Addr: from}
	}
	for range hopBatches {
		var batch []udp.Packet
		for len(batch) < batchSize {
			if headLen(f.count)+len(f.data) <= mtu {
				batch = append(batch, datagram(kindForward, body))
				continue
			}
			id, half := uint32(n), len(body)/2
			batch = append(batch,
				datagram(kindPiece, appendPiece(nil, piece{id, 0, 2, body[:half]})),
				datagram(kindPiece, appendPiece(nil, piece{id, 1, 2, body[half:]})))
		}
		h.batches = append(h.batches, batch)
	}

	bufs, sizes, eps := make([][]byte, batchSize), make([]int, batchSize), make([]conn.Endpoint, batchSize)
	for i := range bufs {
		bufs[i] = make([]byte, ownBuffer)
	}
	v := newReceiver(newReader(&w.pump, h.conn.read, nil), 0)
	turn := 0
	h.receive = func() (got int) {
		if turn%hopBatches == 0 {
			w.mu.Lock()
			h.first.c.frames().window = window{} // or they would have been here before
			w.mu.Unlock()
		}
		h.conn.packets = h.batches[turn%hopBatches]
		turn++
		n, err := v.receive(bufs, sizes, eps)
		if err != nil {
			tb.Fatal(err)
		}
		for _, size := range sizes[:n] {
			if size > 0 {
				got++
			}
		}
		return got
	}
	return h
}

var hopMTUs = []struct {
	name   string
	mtu    int
	frames int // in a batch
}{
	{"whole", 1600, batchSize},
	{"cut", maxDatagram, batchSize / 2},
}

// sendChain sends a batch to the next peer over the first.
func (h *hop) sendChain() func() {
	to := place{chain: chain{h.first.tag, h.next.tag}}
	bufs := make([][]byte, batchSize)
	for i := range bufs {
		bufs[i] = make([]byte, benchPacket)
		bufs[i][0] = 4
	}
	return func() { h.wire.send(bufs, &to, udp.Source{}) }
}

// BenchmarkOver is what frames cost, a batch of full packets each time: to pass
// them on, to take what is in them, and to send.
func BenchmarkOver(b *testing.B) {
	for _, c := range hopMTUs {
		run := func(name string, frames int, do func()) {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(frames * benchPacket))
				b.ReportAllocs()
				for b.Loop() {
					do()
				}
			})
		}
		h, end := newHop(b, false, c.mtu), newHop(b, true, c.mtu)
		run("pass on", c.frames, func() { h.receive() })
		run("receive", c.frames, func() { end.receive() })
		run("send", batchSize, h.sendChain())
		h.stop()
		end.stop()
	}
}
