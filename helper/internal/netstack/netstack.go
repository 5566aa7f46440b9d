// Package netstack is a TCP/IP stack in this process (gVisor's) that takes every
// packet it is given for its own, whatever the destination. It imports nothing of
// ours.
package netstack

import (
	"errors"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/stack/gro"
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
	gros sync.Pool         // of *gro.GRO, empty
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
	s.gros.New = s.newGRO
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
	// RACK (RFC 8985) takes acknowledgements that are late for losses here, and
	// slows down; SACK's recovery (RFC 6675) does without it.
	sack, moderate, recovery := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true), tcpip.TCPRecovery(0)
	rcv := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: cfg.Receive, Max: cfg.MaxBuffer}
	snd := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: cfg.Send, Max: cfg.MaxBuffer}
	options := []tcpip.SettableTransportProtocolOption{&sack, &moderate, &recovery, &rcv, &snd}
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

// SetMaxBuffer is what connections may buffer each way from now on.
func (s *Stack) SetMaxBuffer(size int) error {
	var rcv tcpip.TCPReceiveBufferSizeRangeOption
	var snd tcpip.TCPSendBufferSizeRangeOption
	for _, err := range []tcpip.Error{s.TransportProtocolOption(tcp.ProtocolNumber, &rcv), s.TransportProtocolOption(tcp.ProtocolNumber, &snd)} {
		if err != nil {
			return errors.New(err.String())
		}
	}
	rcv.Max, snd.Max = max(size, rcv.Default), max(size, snd.Default)
	for _, o := range []tcpip.SettableTransportProtocolOption{&rcv, &snd} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return errors.New(err.String())
		}
	}
	return nil
}

// Inject gives it IPv4 and IPv6 packets; it keeps nothing of them. Segments that
// follow one another are taken for one.
func (s *Stack) Inject(ps ...[]byte) {
	if len(ps) == 1 {
		if pkt := packet(ps[0]); pkt != nil {
			s.Link.InjectInbound(pkt.NetworkProtocolNumber, pkt)
			pkt.DecRef()
		}
		return
	}
	g := s.gros.Get().(*gro.GRO)
	defer s.gros.Put(g)
	for _, p := range ps {
		if pkt := packet(p); pkt != nil {
			g.Enqueue(pkt)
			pkt.DecRef()
		}
	}
	for range groFlows {
		g.Flush()
	}
}

// groFlows is how many flows one of gro's buckets holds; Flush empties a bucket
// of but one.
const groFlows = 8

func (s *Stack) newGRO() any {
	g := &gro.GRO{Dispatcher: inbound{s.Link}}
	g.Init(true)
	return g
}

// inbound is where collected packets go.
type inbound struct{ link *channel.Endpoint }

func (i inbound) DeliverNetworkPacket(protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) {
	i.link.InjectInbound(protocol, pkt)
}

func (inbound) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *stack.PacketBuffer) {}

func packet(p []byte) *stack.PacketBuffer {
	if len(p) == 0 {
		return nil
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	pkt.NetworkProtocolNumber = header.IPv4ProtocolNumber
	if p[0]>>4 == 6 {
		pkt.NetworkProtocolNumber = header.IPv6ProtocolNumber
	}
	pkt.RXChecksumValidated = true
	return pkt
}

// Close ends its connections and waits for its workers.
func (s *Stack) Close() {
	s.Link.Close()
	s.Stack.Close()
	s.Wait()
}
