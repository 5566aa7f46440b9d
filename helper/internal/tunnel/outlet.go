package tunnel

import (
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/tun"
)

// outlet is the TUN as wireguard-go sees it. It looks at the destination of
// what leaves, so that a session exists by the time the packet is routed and a
// packet that the path does not carry is answered, and keeps the interface's up and down events from wireguard-go, whose bind must
// stay open either way.
type outlet struct {
	tun.Device
	first  func(*session)
	table  func() *table
	events chan tun.Event

	// What follows is of the reader goroutine alone.
	last      netip.Addr
	lastTable *table
	lastSess  *session
	tooBigAt  time.Time
	tooBigs   int
}

func newOutlet(t tun.Device, tn *Tunnel) *outlet {
	o := &outlet{
		Device: t,
		first:  tn.first,
		table:  tn.table.Load,
		events: make(chan tun.Event, 4),
	}
	go o.pass()
	return o
}

func (o *outlet) pass() {
	defer close(o.events)
	for e := range o.Device.Events() {
		if e &= tun.EventMTUUpdate; e != 0 {
			o.events <- e
		}
	}
}

func (o *outlet) Events() <-chan tun.Event { return o.events }

// Read is on the packet path: two comparisons for a packet to the same address
// as the one before it.
func (o *outlet) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := o.Device.Read(bufs, sizes, offset)
	for i := 0; i < n; i++ {
		dst, ok := destination(bufs[i][offset : offset+sizes[i]])
		if !ok {
			continue
		}
		if t := o.table(); dst != o.last || t != o.lastTable || o.lastSess == nil {
			o.last, o.lastTable, o.lastSess = dst, t, t.find(dst)
		}
		if s := o.lastSess; s != nil && !s.wanted.Load() {
			o.first(s)
		}
		if s := o.lastSess; s != nil {
			if mtu := s.mtu.Load(); mtu != 0 && !o.fit(bufs[i][offset:offset+sizes[i]], int(mtu)) {
				sizes[i] = 0 // wireguard-go leaves it out
			}
		}
	}
	return n, err
}

func destination(p []byte) (netip.Addr, bool) {
	if len(p) == 0 {
		return netip.Addr{}, false
	}
	switch {
	case p[0]>>4 == 4 && len(p) >= 20:
		return netip.AddrFrom4([4]byte(p[16:20])), true
	case p[0]>>4 == 6 && len(p) >= 40:
		return netip.AddrFrom16([16]byte(p[24:40])), true
	}
	return netip.Addr{}, false
}
