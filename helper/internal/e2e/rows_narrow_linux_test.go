package e2e

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
)

// TestNetnsPathNarrow: the way between two homes carries 1,350 bytes, and nobody
// says so: what the nodes send each other passes all the same, since they find
// out.
func TestNetnsPathNarrow(t *testing.T) {
	w := newWorld(t)
	s, a, b := bothBehindNAT(w)
	for _, h := range []*node{a, b} {
		wan := "wan-" + h.name
		w.internet.Core.Run("ip", "link", "set", wan, "mtu", "1350")
		w.internet.Core.NFT(`table inet mute-` + h.name + ` { chain post { type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }`)
	}
	a.join(s)
	a.meets(s)
	w.meet(s, a, b, patience, ipc.PathDirect)
	for _, way := range [][2]*node{{a, b}, {b, a}} {
		took := way[0].bulk(way[1], 1<<20)
		t.Logf("a MiB from %s to %s in %v", way[0].name, way[1].name, took)
	}
	// Who may not cut a packet that is too large hears how large it may be.
	until(t, "a packet that is too large is answered", patience, func() bool {
		x := a.exec("", "ping", "-4", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "1392", "b.home.internal")
		return x.code != 0 && strings.Contains(x.out+x.err, "mtu")
	})
	if !a.ping("b.home.internal", "-4", "-M", "do", "-s", "1252") {
		t.Error("1,280 bytes do not pass")
	}
}

// bulk sends so many bytes over TCP and wants them to arrive as they were.
func (n *node) bulk(to *node, size int64) time.Duration {
	n.t.Helper()
	at := netip.AddrPortFrom(to.overlay(), 0)
	var l net.Listener
	var c net.Conn
	var err error
	to.host.Do(func() { l, err = net.Listen("tcp", at.String()) })
	must(n.t, err)
	defer l.Close()
	got := make(chan [32]byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		h := sha256.New()
		io.Copy(h, c)
		got <- [32]byte(h.Sum(nil))
	}()
	start := time.Now()
	n.host.Do(func() { c, err = net.DialTimeout("tcp", l.Addr().String(), patience) })
	must(n.t, err)
	c.SetDeadline(time.Now().Add(patience))
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(c, h), rand.NewChaCha8([32]byte{1}), size)
	c.Close()
	must(n.t, err)
	select {
	case sum := <-got:
		if sum != [32]byte(h.Sum(nil)) {
			n.t.Errorf("%s gets something else from %s", to.name, n.name)
		}
	case <-time.After(patience):
		n.t.Fatalf("%s has not got all from %s after %v", to.name, n.name, patience)
	}
	return time.Since(start)
}
