// Package usernat passes on what peers send where the kernel cannot: it ends
// their TCP connections and UDP flows in a network stack of its own (gVisor) and
// opens sockets of the host in their stead, so the host needs neither forwarding
// nor a firewall, and nobody's rules are touched. ICMP echo is passed on, other
// ICMP is not. It runs only while something is offered. Of ours it imports
// netstack, and nat for what an offer is.
package usernat

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"kith.internal/helper/internal/netstack"
	"kith.internal/helper/internal/osnet/nat"
)

// Config is what a NAT works with.
type Config struct {
	MTU int // of the overlay
	// Dial opens the host's sockets; nil is a net.Dialer, by the host's routes.
	// network is tcp4, tcp6, udp4 or udp6, addr a number and a port.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Ping opens a raw ICMP socket of a family; nil is the host's.
	Ping func(six bool) (net.PacketConn, error)
	// Addrs are the host's addresses with their prefixes; nil asks the host.
	Addrs func() ([]netip.Prefix, error)
	Log   *slog.Logger
}

// Bounds. A flow is a TCP connection or a UDP flow, and holds two buffers. A
// connection's share of allBuffers is what each of its own may grow to, for what
// is far and fast: 2 MiB are 300 Mbit/s at 50 ms.
const (
	maxFlows     = 2048
	maxPeerFlows = 512
	maxDialing   = 256 // TCP connections that are being opened
	minBuffer    = 256 << 10
	maxBuffer    = 2 << 20
	allBuffers   = 16 << 20
	queue        = 1024 // packets on their way to peers
)

// NAT passes on one network's packets, from New to Close.
type NAT struct {
	cfg    Config
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	stack  *netstack.Stack
	ready  chan struct{}
	policy atomic.Pointer[policy]
	flows  flows
	echoes echoes
	closed sync.Once
}

// New starts a NAT that passes nothing on until Set.
func New(cfg Config) (*NAT, error) {
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{Timeout: dialWithin}).DialContext
	}
	if cfg.Ping == nil {
		cfg.Ping = hostPing
	}
	if cfg.Addrs == nil {
		cfg.Addrs = hostAddrs
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := netstack.New(netstack.Config{MTU: cfg.MTU, Queue: queue, Receive: 64 << 10, Send: 128 << 10, MaxBuffer: maxBuffer})
	if err != nil {
		return nil, fmt.Errorf("start the userspace NAT: %w", err)
	}
	n := &NAT{cfg: cfg, log: cfg.Log, stack: s, ready: make(chan struct{}, 1)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.flows.peers = map[netip.Addr]int{}
	n.flows.all = map[*flow]struct{}{}
	n.flows.share = func(size int) { s.SetMaxBuffer(size) }
	n.policy.Store(&policy{})
	s.Link.AddNotify(n)
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s.Stack, 0, maxDialing, n.connect).HandlePacket)
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s.Stack, n.datagram).HandlePacket)
	return n, nil
}

// Set says what is passed on. Flows that it forbids end at once.
func (n *NAT) Set(o nat.Offer) {
	n.policy.Store(newPolicy(o, n.cfg.Addrs))
	n.flows.end(func(f *flow) bool { return !n.policy.Load().allows(f.src, f.dst) })
}

// Inject takes packets that a peer sent, for the overlay's interface; it keeps
// nothing of them, and ps is its own from now on. What may not pass is dropped.
func (n *NAT) Inject(ps ...[]byte) {
	policy := n.policy.Load()
	pass := ps[:0]
	for _, p := range ps {
		h, ok := parse(p)
		switch {
		case !ok || !policy.owns(h.src):
		case h.echo:
			n.echoes.request(n, h)
		case !h.drop:
			pass = append(pass, p[:h.size])
		}
	}
	if len(pass) > 0 {
		n.stack.Inject(pass...)
	}
}

// WriteNotify is called by the stack: there is something for Read.
func (n *NAT) WriteNotify() {
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// Ready has something to receive when Read may find packets.
func (n *NAT) Ready() <-chan struct{} { return n.ready }

// Read gives packets for peers, as tun.Device's Read does, but never waits: 0 is
// for none.
func (n *NAT) Read(bufs [][]byte, sizes []int, offset int) (count int) {
	for count < len(bufs) {
		if p := n.echoes.answer(); p != nil {
			sizes[count] = copy(bufs[count][offset:], p)
			count++
			continue
		}
		pkt := n.stack.Link.Read()
		if pkt == nil {
			return count
		}
		view := pkt.ToView()
		// The stack speaks to its link too, of groups that it joins.
		if h, ok := parse(view.AsSlice()); ok && n.policy.Load().owns(h.dst) && len(bufs[count])-offset >= view.Size() {
			sizes[count] = copy(bufs[count][offset:], view.AsSlice())
			count++
		}
		view.Release()
		pkt.DecRef()
	}
	n.WriteNotify() // there may be more
	return count
}

// Stats counts what is under way.
type Stats struct{ Flows, Peers int }

// Stats is how much is under way.
func (n *NAT) Stats() Stats {
	n.flows.mu.Lock()
	defer n.flows.mu.Unlock()
	return Stats{len(n.flows.all), len(n.flows.peers)}
}

// Close ends all flows.
func (n *NAT) Close() error {
	n.closed.Do(func() {
		n.cancel()
		n.flows.close()
		n.echoes.close()
		n.stack.Close()
	})
	return nil
}
