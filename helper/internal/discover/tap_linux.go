package discover

import (
	"encoding/binary"
	"errors"
	"fmt"

	"net/netip"
	"os"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/bypass"
	"kith.internal/helper/internal/wire/udp"
)

// tap hears announcements before the host's firewall drops them, as one that
// takes no unasked-for input (ufw's default) does. It needs CAP_NET_RAW. The
// ordinary sockets are still what joins the groups.
type tap struct {
	files []*os.File
	err   error
}

// tapSnap is how much of a packet is looked at.
const tapSnap = 512

func (t *tap) open(m *sockets) {
	for _, p := range []struct {
		protocol uint16
		filter   []bpf.Instruction
		parse    func([]byte) (netip.AddrPort, []byte)
	}{
		{unix.ETH_P_IP, filter4(), parse4},
		{unix.ETH_P_IPV6, filter6(), parse6},
	} {
		f, err := openTap(p.protocol, p.filter)
		if err != nil {
			t.err = fmt.Errorf("listen before the firewall: %w", err)
			continue
		}
		t.files = append(t.files, f)
		m.done.Go(func() { m.readTap(f, p.parse) })
	}
}

func (t *tap) problem() error { return t.err }

func (t *tap) close() error {
	var errs []error
	for _, f := range t.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// openTap has its filter before it is given a protocol, so that nothing else
// ever enters it.
func openTap(protocol uint16, filter []bpf.Instruction) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "packet socket")
	raw, err := bpf.Assemble(filter)
	if err == nil {
		program := make([]unix.SockFilter, len(raw))
		for i, r := range raw {
			program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
		}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8})
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readTap reads until Close.
func (m *sockets) readTap(f *os.File, parse func([]byte) (netip.AddrPort, []byte)) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, tapSnap)
	for {
		var n int
		var sa unix.Sockaddr
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, sa, rerr = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			return rerr != unix.EAGAIN
		})
		if err != nil {
			return
		}
		link, ok := sa.(*unix.SockaddrLinklayer)
		if rerr != nil || !ok {
			continue // an interface that went down, say
		}
		from, payload := parse(buf[:n])
		if payload == nil || !m.on(link.Ifindex) {
			continue
		}
		if from.Addr().Is6() && from.Addr().IsLinkLocalUnicast() {
			from = netip.AddrPortFrom(udp.WithIndex(from.Addr(), link.Ifindex), from.Port())
		}
		m.push(received{slices.Clone(payload), from, link.Ifindex})
	}
}

// on tells whether we joined on the interface.
func (m *sockets) on(index int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.links[index]
	return ok
}

const (
	protoUDP   = 17
	headUDP    = 8
	headIPv6   = 40
	fragmented = 0x3fff // more fragments, or an offset
)

// filter makes a program of steps, whose jumps lead to its refusal.
func filter(steps ...bpf.Instruction) []bpf.Instruction {
	for i, s := range steps {
		if j, ok := s.(bpf.JumpIf); ok {
			j.SkipTrue = uint8(len(steps) - i)
			steps[i] = j
		}
	}
	return append(steps, bpf.RetConstant{Val: tapSnap}, bpf.RetConstant{Val: 0})
}

func unless(val uint32) bpf.Instruction { return bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: val} }

// filter4 takes UDP datagrams to our IPv4 group and port that came in by
// multicast. Unicast, which is nearly all, is done with after two instructions.
func filter4() []bpf.Instruction {
	return filter(
		bpf.LoadExtension{Num: bpf.ExtType}, unless(unix.PACKET_MULTICAST),
		bpf.LoadAbsolute{Off: 16, Size: 4}, unless(word(Group4.AsSlice())),
		bpf.LoadAbsolute{Off: 9, Size: 1}, unless(protoUDP),
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 2, Size: 2}, unless(Port),
	)
}

// filter6 is filter4 for IPv6 without extension headers.
func filter6() []bpf.Instruction {
	g := Group6.AsSlice()
	return filter(
		bpf.LoadExtension{Num: bpf.ExtType}, unless(unix.PACKET_MULTICAST),
		bpf.LoadAbsolute{Off: 24, Size: 4}, unless(word(g)),
		bpf.LoadAbsolute{Off: 28, Size: 4}, unless(word(g[4:])),
		bpf.LoadAbsolute{Off: 32, Size: 4}, unless(word(g[8:])),
		bpf.LoadAbsolute{Off: 36, Size: 4}, unless(word(g[12:])),
		bpf.LoadAbsolute{Off: 6, Size: 1}, unless(protoUDP),
		bpf.LoadAbsolute{Off: headIPv6 + 2, Size: 2}, unless(Port),
	)
}

func word(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// parse4 finds source and payload in an IPv4 packet (RFC 791 §3.1) that the
// filter let pass; a nil payload says that it is malformed. The checksum may
// not be filled in yet: the seal stands in for it.
func parse4(b []byte) (from netip.AddrPort, payload []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return from, nil
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || total > len(b) || total < head+headUDP || binary.BigEndian.Uint16(b[6:])&fragmented != 0 {
		return from, nil
	}
	return parseUDP(netip.AddrFrom4([4]byte(b[12:16])), b[head:total])
}

// parse6 is parse4 for IPv6 (RFC 8200 §3).
func parse6(b []byte) (from netip.AddrPort, payload []byte) {
	if len(b) < headIPv6+headUDP || b[0]>>4 != 6 || b[6] != protoUDP {
		return from, nil
	}
	total := headIPv6 + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) || total < headIPv6+headUDP {
		return from, nil
	}
	return parseUDP(netip.AddrFrom16([16]byte(b[8:24])), b[headIPv6:total])
}

func parseUDP(src netip.Addr, b []byte) (from netip.AddrPort, payload []byte) {
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < headUDP || length > len(b) || binary.BigEndian.Uint16(b[2:]) != Port {
		return from, nil
	}
	return netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), b[headUDP:length]
}

// setUp takes a socket around an exit node: what it sends names its interface.
// It keeps groups out that others on the host joined. Linux 2.6.31,
// IPv6 since 4.20; without it the Announcer's own check stands alone.
func setUp(fd uintptr) {
	bypass.Socket(fd)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
}
