package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	rt "golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/sysctl"
)

// darwin leads by the routing socket, and guards by pf.
type darwin struct {
	mu     sync.Mutex // guards what follows
	fd     int
	seq    int
	loaded *string // pf's rules; nil: not known
	token  string  // of our reference to pf
}

// New takes hold of this machine's routing. Sockets that are opened before it the
// guard does not know as ours.
func New(sysctl.Journal) (Egress, error) {
	if err := syscall.Setegid(pfGroup); err != nil {
		return nil, fmt.Errorf("change the group of this process: %w", err)
	}
	d, err := open()
	if err != nil {
		return nil, err
	}
	return newSplit(d), nil
}

// Cleanup removes the guard and what leads nowhere: the rest went with its
// interface.
func Cleanup(sysctl.Journal) error {
	d, err := open()
	if err != nil {
		return err
	}
	defer d.Close()
	errs := []error{loadPF("")}
	for _, p := range halves {
		errs = append(errs, d.remove(p, 0))
	}
	return errors.Join(errs...)
}

func open() (*darwin, error) {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("open the routing socket: %w", err)
	}
	unix.CloseOnExec(fd)
	unix.Shutdown(fd, unix.SHUT_RD) // errors come from write(2)
	return &darwin{fd: fd}, nil
}

func (d *darwin) lead(p netip.Prefix, index, before int) error {
	kind := unix.RTM_ADD
	if before >= 0 {
		kind = unix.RTM_CHANGE
	}
	err := d.send(kind, p, index)
	switch {
	case kind == unix.RTM_CHANGE && errors.Is(err, unix.ESRCH): // it went with its interface
		err = d.send(unix.RTM_ADD, p, index)
	case kind == unix.RTM_ADD && errors.Is(err, unix.EEXIST) && index == 0:
		return nil // a crash left it
	case kind == unix.RTM_ADD && errors.Is(err, unix.EEXIST) && p.Bits() <= 1:
		err = d.send(unix.RTM_CHANGE, p, index)
	}
	if p.Addr().Is6() && errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // there is no IPv6 to leak
	}
	return err
}

func (d *darwin) remove(p netip.Prefix, index int) error {
	err := d.send(unix.RTM_DELETE, p, index)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	return err
}

// send sends one message: index 0 is a route that drops, on the loopback.
func (d *darwin) send(kind int, p netip.Prefix, index int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	m := rt.RouteMessage{
		Version: unix.RTM_VERSION, Type: kind, Flags: unix.RTF_UP | unix.RTF_STATIC,
		Index: index, ID: uintptr(os.Getpid()), Seq: d.seq, Addrs: make([]rt.Addr, unix.RTAX_NETMASK+1),
	}
	mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
	if p.Addr().Is4() {
		m.Addrs[unix.RTAX_DST] = &rt.Inet4Addr{IP: p.Addr().As4()}
		m.Addrs[unix.RTAX_NETMASK] = &rt.Inet4Addr{IP: [4]byte(mask)}
	} else {
		m.Addrs[unix.RTAX_DST] = &rt.Inet6Addr{IP: p.Addr().As16()}
		m.Addrs[unix.RTAX_NETMASK] = &rt.Inet6Addr{IP: [16]byte(mask)}
	}
	switch {
	case index != 0:
		ifi, err := net.InterfaceByIndex(index)
		if err != nil {
			return unix.ENXIO
		}
		m.Addrs[unix.RTAX_GATEWAY] = &rt.LinkAddr{Index: index, Name: ifi.Name}
	case p.Addr().Is4():
		m.Flags |= unix.RTF_BLACKHOLE | unix.RTF_GATEWAY
		m.Addrs[unix.RTAX_GATEWAY] = &rt.Inet4Addr{IP: [4]byte{127, 0, 0, 1}}
	default:
		m.Flags |= unix.RTF_BLACKHOLE | unix.RTF_GATEWAY
		m.Addrs[unix.RTAX_GATEWAY] = &rt.Inet6Addr{IP: netip.IPv6Loopback().As16()}
	}
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	_, err = unix.Write(d.fd, b)
	return err
}

func (d *darwin) Close() error { return unix.Close(d.fd) }
