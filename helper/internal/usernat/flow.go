package usernat

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"kith.internal/helper/internal/netstack"
)

const (
	dialWithin = 20 * time.Second
	// udpIdle is RFC 4787 REQ-5's; a question of DNS is soon answered or never.
	udpIdle, dnsIdle = 2 * time.Minute, 20 * time.Second
	// A peer that is gone holds its connections no longer.
	aliveIdle, aliveEach, aliveCount = 2 * time.Minute, 30 * time.Second, 4
)

// flow is one that is under way.
type flow struct {
	src, dst netip.Addr
	cancel   context.CancelFunc
}

// flows are all of them, within bounds.
type flows struct {
	mu     sync.Mutex // guards what follows
	all    map[*flow]struct{}
	peers  map[netip.Addr]int
	share  func(size int) // is told what each flow may buffer
	size   int
	closed bool
	work   sync.WaitGroup // one for each
}

// begin counts a flow in; nil: there is no room.
func (s *flows) begin(src, dst netip.Addr, cancel context.CancelFunc) *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.all) >= maxFlows || s.peers[src] >= maxPeerFlows {
		return nil
	}
	f := &flow{src, dst, cancel}
	s.all[f] = struct{}{}
	s.peers[src]++
	s.reckon()
	s.work.Add(1)
	return f
}

// reckon tells of a new share.
func (s *flows) reckon() {
	size := min(max(allBuffers/max(len(s.all), 1), minBuffer), maxBuffer)
	if size != s.size && s.share != nil {
		s.size = size
		s.share(size)
	}
}

func (s *flows) done(f *flow) {
	defer s.work.Done()
	f.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, f)
	s.reckon()
	if s.peers[f.src]--; s.peers[f.src] == 0 {
		delete(s.peers, f.src)
	}
}

// close ends all flows, and waits until they have.
func (s *flows) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(func(*flow) bool { return true })
	s.work.Wait()
}

// end ends some.
func (s *flows) end(which func(*flow) bool) {
	s.mu.Lock()
	all := make([]*flow, 0, len(s.all))
	for f := range s.all {
		all = append(all, f)
	}
	s.mu.Unlock()
	for _, f := range all {
		if which(f) {
			f.cancel()
		}
	}
}

// start counts a flow in, if it is allowed.
func (n *NAT) start(id stack.TransportEndpointID) (*flow, context.Context, netip.AddrPort) {
	src, _ := netip.AddrFromSlice(id.RemoteAddress.AsSlice())
	dst, _ := netip.AddrFromSlice(id.LocalAddress.AsSlice())
	to := netip.AddrPortFrom(dst, id.LocalPort)
	if !n.policy.Load().allows(src, dst) {
		return nil, nil, to
	}
	ctx, cancel := context.WithCancel(n.ctx)
	f := n.flows.begin(src, dst, cancel)
	if f == nil {
		cancel()
		return nil, nil, to
	}
	// A policy that came meanwhile has not seen this flow.
	if !n.policy.Load().allows(src, dst) {
		cancel()
	}
	return f, ctx, to
}

func family(network string, a netip.Addr) string {
	if a.Is4() {
		return network + "4"
	}
	return network + "6"
}

// connect opens a connection in a peer's stead, and answers the peer only when
// it stands: a port that is closed is closed for the peer, too.
func (n *NAT) connect(r *tcp.ForwarderRequest) {
	f, ctx, to := n.start(r.ID())
	if f == nil {
		r.Complete(true)
		return
	}
	defer n.flows.done(f)
	far, err := n.cfg.Dial(ctx, family("tcp", to.Addr()), to.String())
	if err != nil {
		r.Complete(true)
		return
	}
	defer far.Close()
	near, ep, err := netstack.Shake(ctx, r)
	if err != nil {
		return
	}
	defer near.Close()
	idle, each := tcpip.KeepaliveIdleOption(aliveIdle), tcpip.KeepaliveIntervalOption(aliveEach)
	ep.SetSockOpt(&idle)
	ep.SetSockOpt(&each)
	ep.SetSockOptInt(tcpip.KeepaliveCountOption, aliveCount)
	ep.SocketOptions().SetKeepAlive(true)
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { pour(far, near) })
	pour(near, far)
	both.Wait()
}

var chunks = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// pour copies until from ends, and then says so to the other side; an error ends
// both.
func pour(to, from net.Conn) {
	b := chunks.Get().(*[]byte)
	defer chunks.Put(b)
	// Neither side's own copying is used: it would hide an error's side.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *b)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		half.CloseWrite()
		return
	}
	to.Close()
	from.Close()
}

// datagram begins a UDP flow.
func (n *NAT) datagram(r *udp.ForwarderRequest) {
	f, ctx, to := n.start(r.ID())
	if f == nil {
		return
	}
	far, err := n.cfg.Dial(ctx, family("udp", to.Addr()), to.String())
	if err != nil {
		n.flows.done(f)
		return
	}
	var wq waiter.Queue
	ep, terr := r.CreateEndpoint(&wq)
	if terr != nil {
		far.Close()
		n.flows.done(f)
		return
	}
	near := gonet.NewUDPConn(&wq, ep)
	idle := udpIdle
	if to.Port() == 53 {
		idle = dnsIdle
	}
	go func() {
		defer n.flows.done(f)
		defer near.Close()
		defer far.Close()
		stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
		defer stop()
		var used atomic.Int64
		used.Store(time.Now().UnixNano())
		var both sync.WaitGroup
		both.Go(func() { relay(far, near, idle, &used) })
		relay(near, far, idle, &used)
		both.Wait()
	}()
}

// relay copies datagrams until neither direction had one for a while.
func relay(to, from net.Conn, idle time.Duration, used *atomic.Int64) {
	defer to.Close()
	defer from.Close()
	b := chunks.Get().(*[]byte)
	defer chunks.Put(b)
	for {
		last := time.Unix(0, used.Load())
		if time.Since(last) >= idle {
			return
		}
		from.SetReadDeadline(last.Add(idle))
		k, err := from.Read(*b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue // the other direction may have been used
		case err != nil:
			return
		}
		used.Store(time.Now().UnixNano())
		if _, err := to.Write((*b)[:k]); err != nil && errors.Is(err, net.ErrClosed) {
			return
		}
	}
}
