// Package netstack is a TCP/IP stack in this process (gVisor's) that takes every
// packet it is given for its own, whatever the destination. It imports nothing of
// ours.
package netstack

import (
	"errors"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nic = 1

// Config bounds a stack.
type Config struct {
	MTU       int
	Queue     int // packets on their way out; more are lost
	Receive   int // bytes a TCP connection buffers each way, at first and at most
	Send      int
	MaxBuffer int
	// Linger is how long an ended connection is remembered (TIME-WAIT, FIN-WAIT-2);
	// 0: as RFC 9293 §3.6 has it.
	Linger time.Duration
}

// Stack is one, from New to Close.
type Stack struct {
	*stack.Stack
	Link *channel.Endpoint // where its packets come out
}

// New starts a stack that knows TCP and UDP.
func New(cfg Config) (*Stack, error) {
	s := &Stack{
		Link: channel.New(cfg.Queue, uint32(cfg.MTU), ""),
		Stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
		}),
	}
	// What it is given was authenticated, or made on this host.
	s.Link.LinkEPCapabilities |= stack.CapabilityRXChecksumOffload
	s.Link.SupportedGSOKind = stack.GVisorGSOSupported
	if err := s.setUp(cfg); err != nil {
		s.Close()
		return nil, errors.New(err.String())
	}
	return s, nil
}

func (s *Stack) setUp(cfg Config) tcpip.Error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: cfg.Receive, Max: cfg.MaxBuffer}
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: cfg.Send, Max: cfg.MaxBuffer}
	options := []tcpip.SettableTransportProtocolOption{&sack, &moderate, &rcv, &snd}
	if cfg.Linger > 0 {
		wait, linger := tcpip.TCPTimeWaitTimeoutOption(cfg.Linger), tcpip.TCPLingerTimeoutOption(cfg.Linger)
		options = append(options, &wait, &linger)
	}
	for _, o := range options {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return err
		}
	}
	if err := s.CreateNIC(nic, s.Link); err != nil {
		return err
	}
	if err := s.SetPromiscuousMode(nic, true); err != nil {
		return err
	}
	if err := s.SetSpoofing(nic, true); err != nil {
		return err
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	return nil
}

// Inject gives it an IPv4 or IPv6 packet; it keeps nothing of p.
func (s *Stack) Inject(p []byte) {
	if len(p) == 0 {
		return
	}
	proto := header.IPv4ProtocolNumber
	if p[0]>>4 == 6 {
		proto = header.IPv6ProtocolNumber
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	defer pkt.DecRef()
	s.Link.InjectInbound(proto, pkt)
}

// Close ends its connections and waits for its workers.
func (s *Stack) Close() {
	s.Link.Close()
	s.Stack.Close()
	s.Wait()
}
