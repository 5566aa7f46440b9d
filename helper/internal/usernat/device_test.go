package usernat

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/osnet/tun/tuntest"
)

// TestDevice has packets for here and for elsewhere part, and come together
// again, while a NAT comes and goes.
func TestDevice(t *testing.T) {
	defer allEnded(t, goleak.IgnoreCurrent())
	fake := tuntest.New("kith0", 1420)
	d := Wrap(fake)
	toPeer := packet4(protoUDP, 0, 0, 9, 0, 9, 0, 8, 0, 0)
	copy(toPeer[12:], []byte{100, 80, 0, 1, 100, 80, 0, 2})
	d.wake = func(netip.Prefix) { fake.Inject <- bytes.Clone(toPeer) }
	got := make(chan []byte, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		bufs, sizes := [][]byte{make([]byte, 2000), make([]byte, 2000)}, []int{0, 0}
		for {
			k, err := d.Read(bufs, sizes, 16)
			if err != nil {
				return
			}
			for i := range k {
				got <- bytes.Clone(bufs[i][16 : 16+sizes[i]])
			}
		}
	}()
	next := func(what string) []byte {
		t.Helper()
		select {
		case p := <-got:
			return p
		case <-time.After(patience):
			t.Fatalf("%s does not come", what)
			return nil
		}
	}
	send := func(p []byte) {
		t.Helper()
		if _, err := d.Write([][]byte{append(make([]byte, 16), p...)}, 16); err != nil {
			t.Fatal(err)
		}
	}
	here := packet4(protoUDP, 0, 0, 9, 0, 9, 0, 8, 0, 0)
	copy(here[12:], []byte{100, 80, 0, 2, 100, 80, 0, 1})
	echo := packet4(protoICMP4, 0, 8, 0, 0, 0, 0, 1, 0, 1)
	for range 2 {
		fake.Inject <- bytes.Clone(toPeer)
		next("a packet without a NAT")
		socket := newEchoSocket()
		n, err := New(Config{MTU: 1420, Ping: func(bool) (net.PacketConn, error) { return socket, nil }, Addrs: func() ([]netip.Prefix, error) { return nil, nil }})
		if err != nil {
			t.Fatal(err)
		}
		n.Set(nat.Offer{Sources: overlay, Exit: true})
		d.Use(n, overlay[0])
		next("what woke the reader")
		send(echo)
		if p := next("an answer out of the NAT"); p[9] != protoICMP4 || p[20] != 0 {
			t.Errorf("not an answer: %x", p)
		}
		send(here)
		select {
		case p := <-fake.Outbound:
			if !bytes.Equal(p, here) {
				t.Errorf("the host gets %x", p)
			}
		case <-time.After(patience):
			t.Fatal("the host does not get its packet")
		}
		for range 5 {
			fake.Inject <- bytes.Clone(toPeer)
			next("a packet beside the NAT")
		}
		d.Use(nil, overlay[0])
		n.Close()
		next("what woke the reader again")
	}
	send(here)
	<-fake.Outbound
	d.Close()
	<-ended
}
