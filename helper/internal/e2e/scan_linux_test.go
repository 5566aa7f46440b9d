package e2e

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// scan sends a SYN to each of the 65,535 TCP ports of an address, from one of n's
// (of IPv4 the system's choice), and returns the ports that answered anything at all.
func (n *node) scan(from, to netip.Addr) []int {
	n.t.Helper()
	var fd int
	var err error
	var pseudo []byte
	n.host.Do(func() {
		if to.Is4() {
			fd, pseudo, err = rawTCP4(to)
		} else {
			fd, err = rawTCP(from, to)
		}
	})
	must(n.t, err)
	defer unix.Close(fd)
	answered := map[int]bool{}
	const burst, every, rest = 200, 5 * time.Millisecond, 1500 * time.Millisecond
	for range 2 { // what is lost on the way is asked again
		for port := 1; port <= 65535; port++ {
			for {
				err := unix.Send(fd, syn(port, pseudo), 0)
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

// scanOpen is scan of who is known to answer somewhere: a busy machine may lose
// what it says.
func (n *node) scanOpen(from, to netip.Addr) (open []int) {
	n.t.Helper()
	for range 5 {
		if open = n.scan(from, to); len(open) > 0 {
			break
		}
	}
	return open
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

// rawTCP4 is the same of IPv4, with what the checksum is over besides.
func rawTCP4(to netip.Addr) (fd int, pseudo []byte, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, nil, err
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
		return -1, nil, err
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		return -1, nil, err
	}
	from := own.(*unix.SockaddrInet4).Addr
	dst := to.As4()
	return fd, append(append(from[:], dst[:]...), 0, unix.IPPROTO_TCP, 0, 20), nil
}

// syn is a SYN to a port; pseudo is for the checksum that the kernel does not
// compute.
func syn(port int, pseudo []byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, scanFrom)
	binary.BigEndian.PutUint16(b[2:], uint16(port))
	binary.BigEndian.PutUint32(b[4:], 1)
	b[12], b[13] = 5<<4, 2
	binary.BigEndian.PutUint16(b[14:], 1024)
	if pseudo != nil {
		sum := uint32(0)
		for _, part := range [][]byte{pseudo, b} {
			for i := 0; i < len(part); i += 2 {
				sum += uint32(binary.BigEndian.Uint16(part[i:]))
			}
		}
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(b[16:], ^uint16(sum>>16+sum))
	}
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
		p := b[:max(n, 0)]
		if len(p) >= 20 && p[0] == 0x45 { // IPv4 comes with its header; as a port that is 17664 and above
			if q := p[20:]; len(q) >= 20 && binary.BigEndian.Uint16(q[2:]) == scanFrom {
				answered[int(binary.BigEndian.Uint16(q))] = true
				continue
			}
		}
		if len(p) >= 20 && binary.BigEndian.Uint16(p[2:]) == scanFrom {
			answered[int(binary.BigEndian.Uint16(p))] = true
		}
	}
}
