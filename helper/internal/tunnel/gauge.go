package tunnel

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// wireguard-go gives each packet a buffer of 64 KiB and takes in as many as it
// can get, a whole TCP window of them: hundreds of megabytes where the processor
// or the link is slower than the sender. So no more are taken in while so many
// are under way; the rest waits in the kernel's queues, where it is small.
const (
	underWay   = 256 // packets in one direction, 16 MiB: two full batches, or six of a TUN's super-packets
	stuckAfter = 2 * time.Millisecond
)

// gauge counts the packets of one direction between our layers on both sides of
// wireguard-go. Those that it drops in between are forgotten once nothing has
// moved for a while, so that they hold up nobody for long.
type gauge struct {
	in, out atomic.Int64
	waiting atomic.Int32
	wake    chan struct{}
}

func newGauge() *gauge {
	return &gauge{wake: make(chan struct{}, 1)}
}

// done notes that n packets have come out.
func (g *gauge) done(n int) {
	out := g.out.Add(int64(n))
	if in := g.in.Load(); out > in { // some came out that had been forgotten
		g.out.CompareAndSwap(out, in)
	}
	if g.waiting.Load() > 0 {
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
}

func (g *gauge) full() bool { return g.in.Load()-g.out.Load() >= underWay }

// intake is one goroutine that takes packets in.
type intake struct {
	g     *gauge
	timer *time.Timer
	given []*byte // the buffers that were filled last
	rest  *rest
	ask   atomic.Bool // to give the memory of its buffers back
}

// begin notes which buffers wireguard-go has kept of those it was given filled:
// it puts others in their place. Then it waits for room.
func (t *intake) begin(bufs [][]byte) {
	kept := 0
	for i, p := range t.given {
		if p != nil && &bufs[i][0] != p {
			kept++
		}
	}
	t.given = t.given[:0]
	if kept > 0 {
		t.g.in.Add(int64(kept))
	}
	if kept >= busyBatch {
		t.rest.arm()
	}
	if t.ask.Load() {
		forget(bufs)
		t.rest.gave(t)
	}
	if t.g.full() {
		t.wait()
	}
}

// end notes the buffers that were filled; counts tells of each whether a packet
// in it comes out on the other side.
func (t *intake) end(bufs [][]byte, counts func(i int) bool) {
	for i := range bufs {
		var p *byte
		if counts(i) {
			p = &bufs[i][0]
		}
		t.given = append(t.given, p)
	}
}

func (t *intake) wait() {
	g := t.g
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	if t.timer == nil {
		t.timer = time.NewTimer(stuckAfter)
	}
	for out := g.out.Load(); g.full(); out = g.out.Load() {
		t.timer.Reset(stuckAfter)
		select {
		case <-g.wake:
		case <-t.timer.C:
			if g.out.Load() == out {
				g.out.Store(g.in.Load())
				return
			}
		}
	}
	t.timer.Stop()
}

// gaugedTUN is the TUN's side of both directions.
type gaugedTUN struct {
	tun.Device
	read    intake
	written *gauge
}

func (d *gaugedTUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.read.begin(bufs)
	n, err := d.Device.Read(bufs, sizes, offset)
	d.read.end(bufs[:n], func(int) bool { return true })
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) { // it was called back to rest
		return 0, nil
	}
	return n, err
}

func (d *gaugedTUN) Write(bufs [][]byte, offset int) (int, error) {
	d.written.done(len(bufs))
	return d.Device.Write(bufs, offset)
}

// gaugedBind is the network's.
type gaugedBind struct {
	conn.Bind
	received, sent *gauge
	rest           *rest
}

func (b *gaugedBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, port, err := b.Bind.Open(port)
	out := make([]conn.ReceiveFunc, len(fns))
	intakes := make([]*intake, len(fns))
	for i, fn := range fns {
		t := &intake{g: b.received, rest: b.rest}
		intakes[i] = t
		out[i] = func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			t.begin(bufs)
			n, err := fn(bufs, sizes, eps)
			t.end(bufs[:n], func(i int) bool { return isData(bufs[i][:sizes[i]]) })
			return n, err
		}
	}
	b.rest.receivers(intakes)
	return out, port, err
}

// Send counts what it has sent, so that at most one batch of each peer's waits
// here uncounted for a slow link.
func (b *gaugedBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	data := len(bufs) > 1 || len(bufs) == 1 && isData(bufs[0])
	err := b.Bind.Send(bufs, ep)
	if data {
		b.sent.done(len(bufs))
	}
	return err
}

// isData tells a message that carries a packet from handshakes and keepalives.
func isData(m []byte) bool {
	return len(m) > device.MessageKeepaliveSize && m[0] == device.MessageTransportType
}

// gauged puts gauges on both sides of wireguard-go.
func gauged(d tun.Device, b conn.Bind) (*gaugedTUN, *gaugedBind, *rest) {
	out, in := newGauge(), newGauge()
	r := &rest{moved: func() int64 { return out.in.Load() + in.in.Load() }}
	t := &gaugedTUN{Device: d, read: intake{g: out, rest: r}, written: in}
	r.tun, r.file = &t.read, d.File()
	r.nudge, _ = b.(Nudger)
	return t, &gaugedBind{Bind: b, received: in, sent: out, rest: r}, r
}
