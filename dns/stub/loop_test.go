package stub

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"kith.internal/dns/forward"
)

// resolved is a resolver on this host that passes every question on to a server,
// as systemd-resolved does to a link's. It counts what it is asked.
func resolved(t *testing.T, to func() string) (netip.AddrPort, *atomic.Int32) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	var work sync.WaitGroup
	work.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			asked.Add(1)
			q := append([]byte(nil), buf[:n]...)
			work.Go(func() {
				c, err := net.Dial("udp", to())
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				c.Write(q)
				answer := make([]byte, 4096)
				if n, err := c.Read(answer); err == nil {
					pc.WriteTo(answer[:n], from)
				}
			})
		}
	})
	t.Cleanup(func() { pc.Close(); work.Wait() })
	return pc.LocalAddr().(*net.UDPAddr).AddrPort(), &asked
}

// TestLoopThroughResolved: a resolver of the host that asks us what we ask it is
// found out, and costs its clients neither minutes nor the host its processor.
func TestLoopThroughResolved(t *testing.T) {
	var stubAt atomic.Value
	at, asked := resolved(t, func() string { return stubAt.Load().(string) })
	f := forward.New(forward.Config{})
	s, addr := startReal(t, f)
	t.Cleanup(func() { s.Close(); f.Close() })
	stubAt.Store(addr)
	f.Set(forward.Table{Default: []netip.AddrPort{at}})
	c := &mdns.Client{Timeout: 20 * time.Second}
	var rcode int
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		start := time.Now()
		m, _, err := c.Exchange(new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA), addr)
		if err != nil {
			t.Fatal(err)
		}
		if rcode = m.Rcode; rcode == mdns.RcodeServerFailure && time.Since(start) < 50*time.Millisecond {
			break
		}
	}
	if rcode != mdns.RcodeServerFailure || asked.Load() > 100 {
		t.Errorf("rcode %d after %d queries in a ring", rcode, asked.Load())
	}
	before := asked.Load()
	for range 50 {
		if _, _, err := c.Exchange(new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA), addr); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load() - before; n > 20 {
		t.Errorf("a loop that is known of has %d more queries", n)
	}
	if m, _, err := c.Exchange(new(mdns.Msg).SetQuestion("laptop.home.internal.", mdns.TypeA), addr); err != nil || len(m.Answer) != 1 {
		t.Errorf("own names meanwhile: %v, %v", m, err)
	}
}
