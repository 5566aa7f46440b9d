package forward

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// fakeServer says what a server does with a query; it returns the datagrams or
// stream messages to send, after delay.
type fakeServer func(network string, query []byte) (delay time.Duration, replies [][]byte, err error)

// fakeNet is a network of servers, and counts what they were asked.
type fakeNet struct {
	mu      sync.Mutex
	servers map[netip.AddrPort]fakeServer
	asked   map[netip.AddrPort]int
	work    sync.WaitGroup
}

func newNet(t *testing.T, servers map[netip.AddrPort]fakeServer) *fakeNet {
	n := &fakeNet{servers: servers, asked: make(map[netip.AddrPort]int)}
	t.Cleanup(n.work.Wait)
	return n
}

func (n *fakeNet) count(s netip.AddrPort) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[s]
}

func (n *fakeNet) dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	srv := n.servers[to]
	n.mu.Unlock()
	near, far := net.Pipe()
	n.work.Go(func() {
		buf := make([]byte, 70000)
		size, err := far.Read(buf)
		if err != nil {
			far.Close()
			return
		}
		query := buf[:size]
		if network == "tcp" {
			query = query[2:]
		}
		n.mu.Lock()
		n.asked[to]++
		n.mu.Unlock()
		if srv == nil { // dead: silence
			far.Read(buf)
			far.Close()
			return
		}
		delay, replies, err := srv(network, query)
		time.Sleep(delay)
		for _, r := range replies {
			if network == "tcp" {
				r = append([]byte{byte(len(r) >> 8), byte(len(r))}, r...)
			}
			far.Write(r)
		}
		if err == nil {
			far.Read(buf)
		}
		far.Close()
	})
	return near, nil
}

func query(name string) []byte {
	m := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
	m.Id = 4711
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// reply answers query with an address, or with rcode alone.
func reply(q []byte, rcode int, change func(*mdns.Msg)) []byte {
	var m mdns.Msg
	if err := m.Unpack(q); err != nil {
		panic(err)
	}
	r := new(mdns.Msg).SetRcode(&m, rcode)
	if rcode == mdns.RcodeSuccess {
		r.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: m.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 60}, A: net.IPv4(203, 0, 113, 7)}}
	}
	if change != nil {
		change(r)
	}
	b, err := r.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func answering(delay time.Duration, rcode int) fakeServer {
	return func(_ string, q []byte) (time.Duration, [][]byte, error) {
		return delay, [][]byte{reply(q, rcode, nil)}, nil
	}
}

func refusing(context.Context, string, netip.AddrPort) (net.Conn, error) {
	return nil, errors.New("connection refused")
}
