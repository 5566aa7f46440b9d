package udp

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	rxMessages = 16      // received in one system call, each of up to 64 datagrams
	rxSize     = 1 << 16 // what the kernel coalesces at most
)

// receiver reads a socket through buffers of its own, so that the number of
// datagrams in a coalesced message need not be known before it is read; what
// does not fit into one call's packets waits for the next.
type receiver struct {
	s    *socket
	call func(fd uintptr) bool // kept: a closure a call would be an allocation

	mu       sync.Mutex // guards what follows; only ever contended at a hand-over
	msgs     [rxMessages]message
	iovs     [rxMessages]unix.Iovec
	names    [rxMessages]name
	controls [rxMessages]control
	data     []byte // for as many messages as are read at once
	next     int    // message to hand out next, of have
	have     int
	rest     []byte // what is left of message next-1
	size     int    // of a segment of rest
	errno    unix.Errno
	zones    zones
	name     name   // of the latest message, with
	packet   Packet // what it was made into
}

func newReceiver(s *socket) *receiver {
	r := &receiver{s: s, zones: zones{}}
	for i := range r.msgs {
		h := &r.msgs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.controls[i].b[0]
	}
	r.call = r.recvmmsg
	return r
}

// grow makes room for the messages that a caller with so many packets wants at
// once: one who asks for one at a time does without a megabyte.
func (r *receiver) grow(packets int) {
	messages := rxMessages
	if packets == 1 {
		messages = 1
	}
	if len(r.data) >= messages*rxSize {
		return
	}
	r.data = make([]byte, messages*rxSize)
	for i := range messages {
		r.iovs[i].Base = &r.data[i*rxSize]
		r.iovs[i].SetLen(rxSize)
	}
}

func (s *socket) read(pkts []Packet) (int, error) {
	r := s.rx
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if n := r.drain(pkts); n > 0 || len(pkts) == 0 {
			return n, nil
		}
		r.grow(len(pkts))
		if err := s.raw.Read(r.call); err != nil {
			return 0, plain(err)
		}
		if r.errno != 0 {
			return 0, r.errno
		}
	}
}

// recvmmsg fills the messages; it tells whether the poller need not wait.
func (r *receiver) recvmmsg(fd uintptr) bool {
	r.next, r.have = 0, 0
	for i := range r.msgs {
		r.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		r.msgs[i].hdr.SetControllen(controlSpace)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(len(r.data)/rxSize), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			r.have = int(n)
		}
		r.errno = errno
		return true
	}
}

// drain moves datagrams that were read into pkts.
func (r *receiver) drain(pkts []Packet) (n int) {
	for n < len(pkts) && n < MaxBatch {
		if len(r.rest) == 0 {
			if r.next == r.have {
				break
			}
			r.begin()
		}
		one := r.rest[:min(r.size, len(r.rest))]
		r.rest = r.rest[len(one):]
		p := &pkts[n]
		p.N, p.Addr, p.Src = copy(p.Buf, one), r.packet.Addr, r.packet.Src
		n++
	}
	return n
}

// begin takes up the next message.
func (r *receiver) begin() {
	i := r.next
	r.next++
	m := &r.msgs[i]
	r.rest = r.data[i*rxSize:][:m.n]
	src, size := parseControl(r.controls[i].b[:m.hdr.Controllen])
	if size == 0 {
		size = len(r.rest)
	}
	r.size, r.packet.Src = size, src
	if r.names[i] != r.name || !r.packet.Addr.IsValid() {
		r.name = r.names[i]
		r.packet.Addr = r.zones.address(&r.name)
	}
}
