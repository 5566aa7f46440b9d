package siit

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/tunnel"
)

// Device is a TUN that is IPv4 towards the host and IPv6 towards the tunnel for
// the addresses of its table. Without one it is the TUN itself.
type Device struct {
	tun.Device
	mtu   int
	table atomic.Pointer[Table]
	ids   atomic.Uint32

	// Of the reader alone.
	out  []byte
	more [][]byte // the rest of what had to be fragmented
}

// Wrap makes a Device of a TUN whose packets have at most mtu bytes.
func Wrap(t tun.Device, mtu int) *Device { return &Device{Device: t, mtu: mtu} }

// Set says what is translated, nil for nothing.
func (d *Device) Set(t *Table) { d.table.Store(t) }

// Keep passes a peer on to a TUN of a simulation, see tunnel.Keeper.
func (d *Device) Keep(peer any) {
	if k, ok := d.Device.(tunnel.Keeper); ok {
		k.Keep(peer)
	}
}

// Read gives what the host sends, as the tunnel carries it.
func (d *Device) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if n := min(len(d.more), len(bufs)); n > 0 {
		for i := range n {
			sizes[i] = copy(bufs[i][offset:], d.more[i])
		}
		d.more = d.more[n:]
		return n, nil
	}
	n, err := d.Device.Read(bufs, sizes, offset)
	t := d.table.Load()
	if t == nil {
		return n, err
	}
	for i := range n {
		if sizes[i] > 0 {
			sizes[i] = d.leave(t, bufs[i][offset:], sizes[i])
		}
	}
	return n, err
}

// leave translates a packet of size bytes in place and returns its new size, 0
// for one that does not leave.
func (d *Device) leave(t *Table, b []byte, size int) int {
	p := b[:size]
	switch {
	case size >= head6 && p[0]>>4 == 6:
		if t.involves(p) {
			return 0 // what is behind the prefix is reached by IPv4 alone
		}
		return size
	case size < head4 || p[0]>>4 != 4 || !t.maps4(p):
		return size
	}
	tunnel.ClampMSS(p, d.mtu-(head6-head4))
	if d.out = t.Six(d.out[:0], p); d.out == nil {
		return 0
	}
	if len(d.out) <= d.mtu {
		return copy(b, d.out)
	}
	if answer := tunnel.TooBig(p, d.mtu-(head6-head4)); answer != nil {
		buf := make([]byte, device.MessageTransportHeaderSize, device.MessageTransportHeaderSize+len(answer))
		d.Device.Write([][]byte{append(buf, answer...)}, device.MessageTransportHeaderSize)
		return 0
	}
	parts := fragment(d.out, binary.BigEndian.Uint16(p[4:]), d.mtu)
	if len(parts) == 0 || len(d.more) > moreMost {
		return 0
	}
	d.more = append(d.more, parts[1:]...)
	return copy(b, parts[0])
}

// moreMost is how many fragments may wait.
const moreMost = 256

// fragment cuts an IPv6 packet, which may be a fragment itself (RFC 8200 §4.5).
// id is the IPv4 packet's.
func fragment(p []byte, id uint16, mtu int) (out [][]byte) {
	u, ok := findUpper(p)
	if !ok {
		return nil
	}
	body, next := p[u.at:], u.proto
	room := (mtu - head6 - headFrag) &^ 7
	for at := 0; at < len(body); at += room {
		part := body[at:min(at+room, len(body))]
		q := make([]byte, head6+headFrag, head6+headFrag+len(part))
		copy(q, p[:head6])
		binary.BigEndian.PutUint16(q[4:], uint16(headFrag+len(part)))
		q[6], q[head6] = fragID, next
		word := (u.offset + uint16(at/8)) << 3
		if u.more || at+room < len(body) {
			word |= 1
		}
		binary.BigEndian.PutUint16(q[head6+2:], word)
		binary.BigEndian.PutUint16(q[head6+6:], id)
		out = append(out, append(q, part...))
	}
	return out
}

// involves tells whether an IPv6 packet is one that this end translates: a mapped
// address and one behind Prefix, or two mapped ones of which one is behind it.
func (t *Table) involves(p []byte) bool {
	if !behind(p) {
		return false
	}
	_, src := t.four[netip.AddrFrom16([16]byte(p[8:24]))]
	_, dst := t.four[netip.AddrFrom16([16]byte(p[24:40]))]
	return src || dst
}

var spares = sync.Pool{New: func() any { return new([]byte) }}

// Write hands what came through the tunnel to the host, as IPv4 where it is that.
func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	t := d.table.Load()
	if t == nil {
		return d.Device.Write(bufs, offset)
	}
	spare := spares.Get().(*[]byte)
	defer spares.Put(spare)
	kept := make([][]byte, 0, len(bufs))
	for _, b := range bufs {
		p := b[offset:]
		if len(p) < head6 || p[0]>>4 != 6 || !t.involves(p) {
			kept = append(kept, b)
			continue
		}
		out := t.Four((*spare)[:0], p, uint16(d.ids.Add(1)))
		if out == nil {
			continue
		}
		*spare = out
		kept = append(kept, b[:offset+copy(p, out)]) // it is shorter
	}
	if len(kept) == 0 {
		return len(bufs), nil
	}
	if _, err := d.Device.Write(kept, offset); err != nil {
		return 0, err
	}
	return len(bufs), nil
}
