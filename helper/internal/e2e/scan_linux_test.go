package e2e

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// scan sends a SYN to each of the 65,535 TCP ports of an address, from one of n's,
// and returns the ports that answered anything at all.
func (n *node) scan(from, to netip.Addr) []int {
	n.t.Helper()
	var fd int
	var err error
	n.host.Do(func() { fd, err = rawTCP(from, to) })
	must(n.t, err)
	defer unix.Close(fd)
	answered := map[int]bool{}
	const burst, every, rest = 200, 5 * time.Millisecond, 1500 * time.Millisecond
	for range 2 { // what is lost on the way is asked again
		for port := 1; port <= 65535; port++ {
			for {
				err := unix.Send(fd, syn(port), 0)
				if err == nil || err != unix.EAGAIN && err != unix.ENOBUFS {
					break
				}
				<-time.After(time.Millisecond)
			}
			if port%burst == 0 {
				<-time.After(every)
				hear(fd, answered)
			}
		}
		for end := time.Now().Add(rest); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
			hear(fd, answered)
		}
	}
	var out []int
	for port := range answered {
		out = append(out, port)
	}
	slices.Sort(out)
	return out
}

const scanFrom = 61234

func rawTCP(from, to netip.Addr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, 16); err != nil {
		return -1, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: from.As16()}); err != nil {
		return -1, err
	}
	return fd, unix.Connect(fd, &unix.SockaddrInet6{Addr: to.As16()})
}

func syn(port int) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, scanFrom)
	binary.BigEndian.PutUint16(b[2:], uint16(port))
	binary.BigEndian.PutUint32(b[4:], 1)
	b[12], b[13] = 5<<4, 2
	binary.BigEndian.PutUint16(b[14:], 1024)
	return b
}

// hear notes who has answered: a connection accepted, or refused.
func hear(fd int, answered map[int]bool) {
	var b [128]byte
	for {
		n, _, err := unix.Recvfrom(fd, b[:], 0)
		if err != nil {
			return
		}
		if n >= 20 && binary.BigEndian.Uint16(b[2:]) == scanFrom {
			answered[int(binary.BigEndian.Uint16(b[:]))] = true
		}
	}
}
