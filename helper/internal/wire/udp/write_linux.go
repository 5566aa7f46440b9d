package udp

import (
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxSegments = 64    // UDP_MAX_SEGMENTS of kernels before 6.9
	maxPayload  = 65507 // an IPv4 packet less its headers
	// offloadPause is how long GSO rests after a network card has refused it:
	// another card may carry the traffic by then.
	offloadPause = time.Minute
)

// offload tells whether GSO is to be tried.
type offload struct {
	lacking bool         // in the kernel
	until   atomic.Int64 // when to try again, nanoseconds since begin; 0: now
}

var begin = time.Now()

func (o *offload) usable() bool {
	if o.lacking {
		return false
	}
	until := o.until.Load()
	return until == 0 || int64(time.Since(begin)) >= until
}

func (o *offload) refuse() { o.until.Store(int64(time.Since(begin) + offloadPause)) }

// sender is what one call of write needs; pooled, as calls run side by side.
type sender struct {
	wait     func(fd uintptr) bool // kept: closures a call would be allocations
	try      func(fd uintptr)
	msgs     [MaxBatch]message
	iovs     [MaxBatch]unix.Iovec
	controls [MaxBatch]control
	datagram [MaxBatch]int // how many datagrams are in each message
	name     name
	nameLen  uint32
	count    int // of messages, of which
	sent     int // are sent
	errno    unix.Errno
}

func newSender() *sender {
	w := &sender{}
	w.try = func(fd uintptr) { w.sendmmsg(fd) }
	w.wait = func(fd uintptr) bool {
		w.sendmmsg(fd)
		return w.errno != unix.EAGAIN
	}
	return w
}

// write sends bufs to one address. What the kernel refuses for a reason that
// lies in the offload or in the source is sent again without.
func (s *socket) write(bufs [][]byte, to netip.AddrPort, src Source) error {
	w := s.tx.Get().(*sender)
	defer s.tx.Put(w)
	w.nameLen = setName(&w.name, to)
	gso := s.gso.usable()
	for len(bufs) > 0 {
		used := w.build(bufs, src, gso)
		err := w.flush(s)
		for _, n := range w.datagram[:w.sent] {
			bufs = bufs[n:]
		}
		coalesced := w.sent < w.count && w.datagram[w.sent] > 1
		clear(w.iovs[:used])
		switch {
		case err != nil:
			return err
		case w.errno == 0:
		case coalesced && w.errno == unix.EIO: // no checksum offload: udp_send_skb
			s.gso.refuse()
			gso = false
		case coalesced && (w.errno == unix.EINVAL || w.errno == unix.EMSGSIZE): // a path narrower than a segment
			gso = false
		case src != Source{} && stale(w.errno):
			src = Source{}
		default:
			return w.errno
		}
	}
	return nil
}

// stale tells errors of a source that the host has no longer.
func stale(e unix.Errno) bool {
	switch e {
	case unix.EINVAL, unix.EADDRNOTAVAIL, unix.ENODEV, unix.ENXIO, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN:
		return true
	}
	return false
}

// build makes messages of bufs and returns how many buffers those point to.
// With gso a run of equally long datagrams, of which the last may be shorter,
// becomes one message: the kernel gathers it, nothing is copied here.
func (w *sender) build(bufs [][]byte, src Source, gso bool) (used int) {
	w.count, w.sent = 0, 0
	for used < len(bufs) {
		run := 1
		if gso {
			run = runLength(bufs[used:])
		}
		i := w.count
		for j, b := range bufs[used : used+run] {
			w.iovs[used+j].Base = unsafe.SliceData(b)
			w.iovs[used+j].SetLen(len(b))
		}
		h := &w.msgs[i].hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&w.name)), w.nameLen
		h.Iov = &w.iovs[used]
		h.SetIovlen(run)
		w.setControl(i, src, run, len(bufs[used]))
		w.datagram[i] = run
		used += run
		w.count++
	}
	return used
}

func (w *sender) setControl(i int, src Source, run, size int) {
	whole := w.controls[i].b[:]
	b := whole
	if src.Addr.IsValid() {
		b = putSource(b, src)
	}
	if run > 1 {
		b = putSegment(b, size)
	}
	h := &w.msgs[i].hdr
	h.Control = nil
	h.SetControllen(len(whole) - len(b))
	if len(b) < len(whole) {
		h.Control = &whole[0]
	}
}

// runLength is how many of bufs can be one message.
func runLength(bufs [][]byte) int {
	size, total := len(bufs[0]), len(bufs[0])
	if size == 0 {
		return 1
	}
	for n, b := range bufs[1:] {
		total += len(b)
		switch {
		case n+1 == maxSegments || total > maxPayload || len(b) > size || len(b) == 0:
			return n + 1
		case len(b) < size:
			return n + 2
		}
	}
	return len(bufs)
}

// flush sends the messages up to the first that the kernel refuses for errno.
// Senders run side by side, which net's own writes would not let them, until
// the socket's buffer is full: then they wait.
func (w *sender) flush(s *socket) error {
	for w.errno = 0; w.sent < w.count && w.errno == 0; {
		if err := s.raw.Control(w.try); err != nil {
			return err
		}
		if w.errno == unix.EAGAIN {
			if err := s.raw.Write(w.wait); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *sender) sendmmsg(fd uintptr) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&w.msgs[w.sent])), uintptr(w.count-w.sent), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		w.errno = errno
		if errno == 0 {
			w.sent += int(n)
		}
		return
	}
}
