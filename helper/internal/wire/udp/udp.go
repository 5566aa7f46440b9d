// Package udp owns the sockets of one network's wire: one port for IPv4 and
// IPv6, read and written in batches. It knows datagrams and addresses, nothing
// of what is in them. It sends around an exit node, and imports of ours bypass and nat64 alone.
package udp

import (
	"errors"
	"net/netip"
	"strconv"
)

// MaxBatch is how many datagrams one call of a reader or of WriteBatch moves
// at most.
const MaxBatch = 128

// ErrInUse tells that another socket has the port.
var ErrInUse = errors.New("UDP port in use")

// Source is the local end of a datagram: where one came in, or where one shall
// go out. The zero Source leaves the choice to the kernel, and so does one that
// the host no longer has.
type Source struct {
	Addr  netip.Addr // without zone
	Index int        // of the interface
}

// Packet is one received datagram. The caller provides Buf; N bytes of it are
// the datagram, of which what does not fit is cut off.
type Packet struct {
	Buf  []byte
	N    int
	Addr netip.AddrPort // IPv4 unmapped; link-local IPv6 with its zone, see WithIndex
	Src  Source
}

// Conn is a port of the host, in both families where the host has both. All its
// methods may be called at any time from any goroutine; a reader is one
// goroutine's at a time.
type Conn interface {
	Port() uint16
	Has4() bool
	Has6() bool
	// Readers has one function a socket. Each waits for datagrams, fills pkts
	// from the front and says how many it filled. It fails with net.ErrClosed
	// after Close and with os.ErrDeadlineExceeded between Interrupt and Resume;
	// other errors are passing ones.
	Readers() []func(pkts []Packet) (int, error)
	// WriteBatch sends up to MaxBatch datagrams to one address. It stops at the
	// first that the kernel refuses; what is merely lost is no error.
	WriteBatch(bufs [][]byte, to netip.AddrPort, src Source) error
	// Interrupt makes all readers return, and fail at once until Resume, so that
	// another goroutine can take them over. No datagram is lost by it.
	Interrupt()
	Resume()
	// SetMark marks what is sent for policy routing; a no-op where the system
	// has no marks.
	SetMark(mark uint32) error
	Close() error
}

// WithIndex gives a link-local address the zone by which this package knows
// interfaces: the decimal index, which outlives a renaming.
func WithIndex(a netip.Addr, index int) netip.Addr {
	return a.WithZone(strconv.Itoa(index))
}

// Index is the interface that a's zone names, 0 if it has none or names it
// otherwise than WithIndex does.
func Index(a netip.Addr) int {
	if a.Zone() == "" {
		return 0 // Atoi would make an error of it, a packet
	}
	n, err := strconv.Atoi(a.Zone())
	if err != nil || n < 0 {
		return 0
	}
	return n
}
