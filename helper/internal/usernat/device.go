package usernat

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"
)

// Device is a TUN of whose packets a NAT takes those that are for elsewhere.
// Without a NAT it is the TUN itself.
type Device struct {
	tun.Device
	nat  atomic.Pointer[NAT]
	wake func(netip.Prefix)

	// What follows is of the reader alone: while there is a NAT a pump reads the
	// TUN, so that the reader can wait for both.
	pumped chan batch // nil: nobody pumps
	rest   batch      // of which some is still to be given

	mu     sync.Mutex // guards closed
	closed bool
	quit   chan struct{}
}

// batch is packets of one read of the TUN.
type batch struct {
	bufs  [][]byte
	sizes []int
	n     int // packets, the given ones included
	given int
	err   error
	back  chan<- struct{} // lets the pump read again
}

// Wrap makes a Device of a TUN.
func Wrap(t tun.Device) *Device {
	return &Device{Device: t, wake: wake, quit: make(chan struct{})}
}

// Use has n take what is for elsewhere; nil ends that. The NAT stays the
// caller's to close, after that. prefix is of the overlay: one packet to its last
// address has a waiting Read look again.
func (d *Device) Use(n *NAT, prefix netip.Prefix) {
	if d.nat.Swap(n) != n && prefix.IsValid() {
		d.wake(prefix)
	}
}

// wake sends a packet into the TUN by the host's routes. Nobody has that address.
func wake(p netip.Prefix) {
	a := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(a); i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(a)
	if last.Is4() {
		last = last.Prev() // not the broadcast address
	}
	c, err := net.Dial("udp", netip.AddrPortFrom(last, 9).String()) // discard, RFC 863
	if err != nil {
		return // the interface is down: nobody waits
	}
	c.Write([]byte{0})
	c.Close()
}

// Write hands packets to the host, and those that are for elsewhere to the NAT.
// The host's own address in a subnet that is offered is the host's, as it would be
// if the kernel passed on.
func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	n := d.nat.Load()
	if n == nil {
		return d.Device.Write(bufs, offset)
	}
	p := n.policy.Load()
	if len(p.Sources) == 0 { // not Set yet: it would take all
		return d.Device.Write(bufs, offset)
	}
	here, there := make([][]byte, 0, len(bufs)), make([][]byte, 0, len(bufs))
	for _, b := range bufs {
		if dst, ok := destination(b[offset:]); ok && !p.owns(dst) && !p.hostIn(dst) {
			there = append(there, b[offset:])
			continue
		}
		here = append(here, b)
	}
	n.Inject(there...)
	if len(here) > 0 {
		if _, err := d.Device.Write(here, offset); err != nil {
			return 0, err
		}
	}
	return len(bufs), nil
}

func destination(p []byte) (netip.Addr, bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[16:20])), true
	case len(p) >= 40 && p[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(p[24:40])), true
	}
	return netip.Addr{}, false
}

// Read gives what the host sends, and what the NAT has for peers.
func (d *Device) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		if d.rest.given < d.rest.n {
			return d.give(bufs, sizes, offset), nil
		}
		n := d.nat.Load()
		if n == nil && d.pumped == nil {
			return d.Device.Read(bufs, sizes, offset)
		}
		if d.pumped == nil {
			d.pumped = make(chan batch)
			go d.pump(d.pumped, d.Device.BatchSize())
		}
		var ready <-chan struct{}
		if n != nil {
			if k := n.Read(bufs, sizes, offset); k > 0 {
				return k, nil
			}
			ready = n.ready
		}
		select {
		case b, ok := <-d.pumped:
			switch {
			case !ok: // it has seen that there is no NAT any more
				d.pumped = nil
			case b.err != nil:
				return 0, b.err
			default:
				d.rest = b
			}
		case <-ready:
		}
	}
}

// give copies what a batch still has.
func (d *Device) give(bufs [][]byte, sizes []int, offset int) (k int) {
	r := &d.rest
	for ; k < len(bufs) && r.given < r.n; r.given++ {
		sizes[k] = copy(bufs[k][offset:], r.bufs[r.given][headroom:headroom+r.sizes[r.given]])
		k++
	}
	if r.given == r.n {
		r.back <- struct{}{}
		d.rest = batch{}
	}
	return k
}

// headroom is what the TUN wants before a packet, for its own header.
const headroom = 16

// pump reads the TUN until there is no NAT any more, a batch at a time.
func (d *Device) pump(to chan<- batch, size int) {
	defer close(to)
	mtu, err := d.Device.MTU()
	if err != nil || mtu <= 0 {
		mtu = 1 << 16
	}
	b := batch{bufs: make([][]byte, size), sizes: make([]int, size)}
	for i := range b.bufs {
		b.bufs[i] = make([]byte, headroom+max(mtu, 2048))
	}
	back := make(chan struct{}, 1)
	b.back = back
	for d.nat.Load() != nil {
		b.n, b.err = d.Device.Read(b.bufs, b.sizes, headroom)
		select {
		case to <- b:
		case <-d.quit:
			return
		}
		if b.err != nil {
			return
		}
		if b.n == 0 {
			continue
		}
		select {
		case <-back:
		case <-d.quit:
			return
		}
	}
}

// Close closes the TUN.
func (d *Device) Close() error {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.quit)
	}
	d.mu.Unlock()
	return d.Device.Close()
}

// Keep passes a peer on to a TUN of a simulation, see tunnel.Keeper.
func (d *Device) Keep(peer any) {
	if k, ok := d.Device.(interface{ Keep(any) }); ok {
		k.Keep(peer)
	}
}
