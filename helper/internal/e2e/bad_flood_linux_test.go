package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.internal/ipc"
)

// tap collects the UDP payloads to a port that a host gets.
type tap struct {
	fd   int
	port uint16
	wg   sync.WaitGroup

	mu  sync.Mutex
	got [][]byte
}

func (n *node) tap(port uint16) *tap {
	n.t.Helper()
	k := &tap{port: port}
	var err error
	n.host.Do(func() {
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		k.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	})
	if err != nil {
		n.t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		n.t.Fatal(err)
	}
	return k
}

// during collects while f runs.
func (k *tap) during(f func()) [][]byte {
	stop := make(chan struct{})
	k.wg.Go(func() {
		buf := make([]byte, 65536)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n, _, err := unix.Recvfrom(k.fd, buf, 0); err == nil {
				if p := udpTo(buf[:n], k.port); p != nil {
					k.mu.Lock()
					k.got = append(k.got, append([]byte{}, p...))
					k.mu.Unlock()
				}
			}
		}
	})
	f()
	close(stop)
	k.wg.Wait()
	unix.Close(k.fd)
	return k.got
}

// udpTo is the payload of an IP packet that is UDP to port, else nil.
func udpTo(b []byte, port uint16) []byte {
	if len(b) < 20 {
		return nil
	}
	var proto, head int
	switch b[0] >> 4 {
	case 4:
		proto, head = int(b[9]), int(b[0]&15)*4
	case 6:
		proto, head = int(b[6]), 40
	}
	if proto != unix.IPPROTO_UDP || len(b) < head+8 || binary.BigEndian.Uint16(b[head+2:]) != port {
		return nil
	}
	return b[head+8:]
}

// usage is the helper's resident memory in bytes and its CPU time.
func (n *node) usage() (rss int, cpu time.Duration) {
	n.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	if err != nil {
		n.t.Fatal(err)
	}
	f := strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:])
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	pages, err3 := strconv.Atoi(f[21])
	if err := errors.Join(err1, err2, err3); err != nil {
		n.t.Fatal(err)
	}
	return pages * os.Getpagesize(), time.Duration(user+system) * 10 * time.Millisecond
}

func TestNetnsGarbageOnUDP(t *testing.T) {
	b := newBed(t)
	a, c := b.pair()
	x := b.node("x") // on the LAN, in no network
	port := a.status().Networks[0].Self.Port
	// What members really send, a fresh start of one among it.
	real := a.tap(port).during(func() {
		c.term()
		c.start()
		c.reach("laptop.home.internal", patience)
	})
	if len(real) < 10 {
		t.Fatalf("%d packets were heard: nothing to repeat", len(real))
	}

	var conns []*net.UDPConn
	x.host.Do(func() {
		for range 8 {
			if conn, err := net.ListenUDP("udp", nil); err == nil {
				conns = append(conns, conn)
			}
		}
	})
	if len(conns) != 8 {
		t.Fatal("no sockets")
	}
	to := []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("192.168.77.1"), port)}
	for _, i := range a.host.Interfaces() {
		for _, p := range i.Prefixes {
			if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() && i.Name == "lan" {
				to = append(to, netip.AddrPortFrom(p.Addr().WithZone(x.zone()), port))
			}
		}
	}
	_, before := a.usage()
	var wg sync.WaitGroup
	began := time.Now()
	for s, conn := range conns {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(s), 1))
			for i := range 10_000 {
				// A full send buffer drops what it cannot take.
				b := noise(r)
				if s%2 == 1 {
					b = again(r, real)
				}
				conn.WriteToUDPAddrPort(b, to[i%len(to)])
			}
		})
	}
	worst := time.Duration(0)
	for range 5 {
		at := time.Now()
		a.kith("status", "--json")
		worst = max(worst, time.Since(at))
		c.reach("laptop.home.internal", patience)
	}
	wg.Wait()
	took := time.Since(began)
	rss, after := a.usage()
	t.Logf("80,000 datagrams in %s: %s of CPU, %d MiB resident, status in at most %s", took, after-before, rss>>20, worst)
	if worst > slow*2*time.Second {
		t.Errorf("status took %s meanwhile", worst)
	}
	if rss > 96<<20 {
		t.Errorf("%d MiB are resident", rss>>20)
	}
	if cpu := after - before; cpu > took {
		t.Errorf("%s of CPU in %s", cpu, took)
	}
	for s, conn := range conns {
		answers := drain(conn)
		switch {
		case s%2 == 0 && answers > 0:
			t.Errorf("a stranger was answered %d times", answers)
		case answers > 1000:
			// What a member sent might come from the member, somewhere new.
			t.Errorf("10,000 repeated datagrams were answered %d times", answers)
		}
	}
	c.reach("laptop.home.internal", patience)
	a.reach("nas.home.internal", patience)
	told := a.diagnosis(ipc.CheckKeptOut).Detail
	t.Logf("kith diag: %s", told)
	for _, word := range []string{"by strangers", "forged", "malformed"} {
		if !strings.Contains(told, word) {
			t.Errorf("kith diag does not say %q", word)
		}
	}
	x.start()
	x.joinBy(a.invite())
	x.reach("nas.home.internal", patience)
	if st := a.status(); len(st.Networks[0].Peers) != 2 || st.State != ipc.StateRunning {
		t.Errorf("status after it: %+v", st)
	}
}

// zone is the index of the LAN's interface on the host.
func (n *node) zone() string {
	for _, i := range n.host.Interfaces() {
		if i.Name == "lan" {
			return strconv.Itoa(i.Index)
		}
	}
	return ""
}

// drain closes the socket and counts what it got.
func drain(conn *net.UDPConn) (n int) {
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	for buf := make([]byte, 2048); ; n++ {
		if _, _, err := conn.ReadFromUDPAddrPort(buf); err != nil {
			return n
		}
	}
}

// noise is random, or begins like one of the port's protocols.
func noise(r *rand.Rand) []byte {
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	switch r.IntN(4) {
	case 0:
		return append([]byte{byte(1 + r.IntN(4)), 0, 0, 0}, bytes(144)...)
	case 1: // a STUN binding request (RFC 8489 section 5)
		return append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, bytes(12)...)
	case 2:
		return nil
	}
	return bytes(r.IntN(1400))
}

// again is a datagram of a member: repeated, cut off or with a bit changed.
func again(r *rand.Rand, real [][]byte) []byte {
	b := append([]byte{}, real[r.IntN(len(real))]...)
	switch r.IntN(4) {
	case 0:
		return b[:r.IntN(len(b)+1)]
	case 1:
		if len(b) > 0 {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
	}
	return b
}
