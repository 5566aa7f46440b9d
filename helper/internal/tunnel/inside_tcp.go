package tunnel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/device"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"kith.internal/helper/internal/netstack"
)

// Bounds of TCP inside, which every program of this host may use. An ended
// connection is remembered for a second only, so that few are there at once.
const (
	synRate, synBurst = 500, 500 // connections a second that are begun; and at once
	insideOpening     = 64       // that shake hands
	insideWaiting     = 64       // that nobody has accepted yet
	insideLinger      = time.Second
	insideBuffer      = 64 << 10 // each way
	insideQueue       = 256      // packets to the host
)

const flagSYN, flagACK = 2, 16

// insideTCP is TCP to sockets in a TUN. It has a stack from the first SYN until
// the last socket is closed.
type insideTCP struct {
	in   *Inside
	syns *rate.Limiter

	mu  sync.Mutex // guards what follows
	run *insideStack
}

// insideStack is the stack in which connections end.
type insideStack struct {
	*netstack.Stack
	ctx     context.Context // of handshakes, and of passing on what it sends
	cancel  context.CancelFunc
	passing sync.WaitGroup
	opening sync.WaitGroup // Add under insideTCP.mu
}

// ListenTCP opens a TCP socket; it fails with EADDRINUSE where there is one
// already.
func (i *Inside) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.streams[at] != nil {
		return nil, fmt.Errorf("listen on %v in the tunnel: %w", at, syscall.EADDRINUSE)
	}
	l := &insideListener{in: i, at: at, queue: make(chan net.Conn, insideWaiting), closed: make(chan struct{})}
	i.streams[at] = l
	i.publish()
	return l, nil
}

// take gives a segment to the stack.
func (t *insideTCP) take(p []byte, s segment) {
	begins := s.flags&(flagSYN|flagACK) == flagSYN
	t.mu.Lock()
	defer t.mu.Unlock()
	if begins && !t.syns.Allow() || t.run == nil && (!begins || t.start() != nil) {
		return
	}
	t.run.Inject(p)
}

// start brings a stack up; the caller holds mu.
func (t *insideTCP) start() error {
	mtu, err := t.in.MTU()
	if err != nil {
		return err
	}
	s, err := netstack.New(netstack.Config{
		MTU: mtu, Queue: insideQueue, Receive: insideBuffer, Send: insideBuffer, MaxBuffer: insideBuffer, Linger: insideLinger,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	run := &insideStack{Stack: s, ctx: ctx, cancel: cancel}
	open := func(r *tcp.ForwarderRequest) { t.open(run, r) }
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s.Stack, insideBuffer, insideOpening, open).HandlePacket)
	run.passing.Go(func() { t.in.pass(ctx, s) })
	t.run = run
	return nil
}

// pass hands what the stack sends to the host, but what it says of itself.
func (i *Inside) pass(ctx context.Context, s *netstack.Stack) {
	const room = device.MessageTransportHeaderSize // for the system's own header
	buf := make([]byte, room)
	for pkt := s.Link.ReadContext(ctx); pkt != nil; pkt = s.Link.ReadContext(ctx) {
		v := pkt.ToView()
		pkt.DecRef()
		buf = append(buf[:room], v.AsSlice()...)
		v.Release()
		if p, ok := parseSegment(buf[room:]); ok && p.proto == protoTCP {
			i.Device.Write([][]byte{buf}, room)
		}
	}
}

// open shakes hands, in a goroutine of its own.
func (t *insideTCP) open(run *insideStack, r *tcp.ForwarderRequest) {
	t.mu.Lock()
	if t.run != run { // it has ended
		t.mu.Unlock()
		r.Complete(false)
		return
	}
	run.opening.Add(1)
	t.mu.Unlock()
	defer run.opening.Done()
	id := r.ID() // not there any more after Complete
	c, ep, err := netstack.Shake(run.ctx, r)
	if err != nil {
		return
	}
	a, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	if !t.in.offer(netip.AddrPortFrom(a, id.LocalPort), c) {
		ep.Abort()
	}
}

// offer gives a connection to who listens; false: nobody takes it.
func (i *Inside) offer(at netip.AddrPort, c net.Conn) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.streams[at]
	if l == nil {
		return false
	}
	select {
	case l.queue <- c:
		return true
	default: // as a socket's backlog that is full
		return false
	}
}

// stop ends the stack and its connections.
func (t *insideTCP) stop() {
	t.mu.Lock()
	run := t.run
	t.run = nil
	t.mu.Unlock()
	if run == nil {
		return
	}
	run.cancel()
	run.opening.Wait()
	run.Close()
	run.passing.Wait()
}

// insideListener is a TCP socket in a TUN.
type insideListener struct {
	in     *Inside
	at     netip.AddrPort
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *insideListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *insideListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

// Close ends the socket, and connections that wait; with the TUN's last socket
// all others end too.
func (l *insideListener) Close() error {
	l.once.Do(func() {
		l.in.mu.Lock()
		delete(l.in.streams, l.at)
		last := len(l.in.streams) == 0
		l.in.publish()
		l.in.mu.Unlock()
		close(l.closed)
		if last {
			l.in.tcp.stop()
		}
		for {
			select {
			case c := <-l.queue:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}
