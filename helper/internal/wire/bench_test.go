package wire

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

const (
	benchPacket = 1400
	benchFlight = 1024 // packets on their way at most
)

// benchTUN makes packets as fast as they are taken off its other end.
type benchTUN struct {
	packet []byte
	other  *benchTUN
	batch  int
	got    atomic.Int64
	sent   int64
	limit  atomic.Int64 // to send in all
	wake   chan struct{}
	closed chan struct{}
	events chan tun.Event
}

func newBenchTUN(src, dst netip.Addr) *benchTUN {
	t := &benchTUN{batch: conn.IdealBatchSize, wake: make(chan struct{}, 1), closed: make(chan struct{}), events: make(chan tun.Event)}
	t.packet = make([]byte, benchPacket)
	t.packet[0] = 4<<4 | 5
	binary.BigEndian.PutUint16(t.packet[2:], benchPacket)
	t.packet[9] = 17
	copy(t.packet[12:], src.AsSlice())
	copy(t.packet[16:], dst.AsSlice())
	return t
}

func (t *benchTUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		room := min(t.limit.Load()-t.sent, benchFlight-(t.sent-t.other.got.Load()), int64(t.batch))
		if room >= int64(t.batch)/2 || room > 0 && t.limit.Load()-t.sent <= int64(t.batch) {
			for i := range room {
				sizes[i] = copy(bufs[i][offset:], t.packet)
			}
			t.sent += room
			return int(room), nil
		}
		select {
		case <-t.wake:
		case <-t.closed:
			return 0, os.ErrClosed
		}
	}
}

func (t *benchTUN) Write(bufs [][]byte, offset int) (int, error) {
	t.got.Add(int64(len(bufs)))
	t.other.poke()
	return len(bufs), nil
}

func (t *benchTUN) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *benchTUN) File() *os.File           { return nil }
func (t *benchTUN) MTU() (int, error)        { return 1420, nil }
func (t *benchTUN) Name() (string, error)    { return "bench", nil }
func (t *benchTUN) Events() <-chan tun.Event { return t.events }
func (t *benchTUN) BatchSize() int           { return t.batch }
func (t *benchTUN) Close() error {
	close(t.closed)
	close(t.events)
	return nil
}

type silent struct{}

func (silent) PeerWants(key.Public)         {}
func (silent) PeerRestarted(key.Public)     {}
func (silent) PathChanged(key.Public, Path) {}
func (silent) NeighboursChanged()           {}
func (silent) Accept(key.Public, Session)   {}

// wirePair is two wires on the loopback with a path to each other.
func wirePair(tb testing.TB) (a, b *Wire, stop func()) {
	tb.Helper()
	var wires [2]*Wire
	var peers [2]Peer
	var conns [2]udp.Conn
	for i := range wires {
		c, err := udp.Listen(0)
		if err != nil {
			tb.Fatal(err)
		}
		d, control := key.New(), key.NewExchange()
		w, err := New(Config{Conn: c, Device: d, Control: control, Handler: silent{}})
		if err != nil {
			tb.Fatal(err)
		}
		w.SetLocal([]netmon.Interface{{Index: 1, Up: true, Loopback: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}}}, nil)
		wires[i], conns[i] = w, c
		peers[i] = Peer{ID: d.Public(), Control: control.Public(), Candidates: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), c.Port())}}
	}
	wires[0].SetPeers(peers[1:])
	wires[1].SetPeers(peers[:1])
	for i, w := range wires {
		w.Want(peers[1-i].ID, true)
		w.SetConfigured(peers[1-i].ID, true)
	}
	for i, w := range wires {
		for try := 0; ; try++ {
			if s, _ := w.PeerStatus(peers[1-i].ID); s.Reason == Confirmed && s.Configured {
				break
			}
			if try > 1000 {
				tb.Fatal("no path over the loopback")
			}
			<-time.After(time.Millisecond)
		}
	}
	return wires[0], wires[1], func() {
		for i := range wires {
			wires[i].Close()
			conns[i].Close()
		}
	}
}

// BenchmarkDevice moves packets through two real WireGuard devices in one
// process over the loopback: over StdNetBind, and over the wire.
func BenchmarkDevice(b *testing.B) {
	b.Run("StdNetBind", func(b *testing.B) {
		benchDevices(b, [2]conn.Bind{conn.NewStdNetBind(), conn.NewStdNetBind()}, func(i int, port uint16) string {
			return fmt.Sprintf("127.0.0.1:%d", port)
		})
	})
	b.Run("Wire", func(b *testing.B) {
		w0, w1, stop := wirePair(b)
		defer stop()
		wires := [2]*Wire{w0, w1}
		benchDevices(b, [2]conn.Bind{w0.Bind(), w1.Bind()}, func(i int, _ uint16) string {
			return wires[i].Endpoint(wires[1-i].device.Public())
		})
	})
}

func benchDevices(b *testing.B, binds [2]conn.Bind, endpoint func(i int, port uint16) string) {
	ips := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	var tuns [2]*benchTUN
	var devs [2]*device.Device
	var keys [2]key.ExchangePrivate
	var ports [2]uint16
	for i := range tuns {
		tuns[i], keys[i] = newBenchTUN(ips[i], ips[1-i]), key.NewExchange()
	}
	for i := range tuns {
		tuns[i].other = tuns[1-i]
		devs[i] = device.NewDevice(tuns[i], binds[i], device.NewLogger(device.LogLevelSilent, ""))
		defer devs[i].Close()
		if err := devs[i].IpcSet("private_key=" + hex.EncodeToString(keys[i][:])); err != nil {
			b.Fatal(err)
		}
		if err := devs[i].Up(); err != nil {
			b.Fatal(err)
		}
		got, err := devs[i].IpcGet()
		if err != nil {
			b.Fatal(err)
		}
		var private string
		fmt.Sscanf(got, "private_key=%s\nlisten_port=%d", &private, &ports[i])
	}
	for i := range devs {
		pub := keys[1-i].Public()
		if err := devs[i].IpcSet(fmt.Sprintf("public_key=%s\nendpoint=%s\nallowed_ip=%s/32\n", hex.EncodeToString(pub[:]), endpoint(i, ports[1-i]), ips[1-i])); err != nil {
			b.Fatal(err)
		}
	}
	move := func(n int64) {
		tuns[0].limit.Add(n)
		tuns[0].poke()
		for end := tuns[0].limit.Load(); tuns[1].got.Load() < end; {
			select {
			case <-time.After(10 * time.Second):
				b.Fatalf("%d of %d packets have arrived", tuns[1].got.Load(), end)
			case <-time.After(50 * time.Microsecond):
			}
		}
	}
	move(1) // the handshake
	b.SetBytes(benchPacket)
	b.ReportAllocs()
	b.ResetTimer()
	move(int64(b.N))
}
