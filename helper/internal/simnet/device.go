package simnet

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"kith.internal/helper/internal/osnet/router/routertest"
	"kith.internal/helper/internal/osnet/tun/tuntest"
)

// device is a TUN with the host's stack behind it, as far as ICMP echoes go.
type device struct {
	*tuntest.TUN
	b      *boot
	name   string
	mtu    int
	index  int
	router *routertest.Router
	hook   func([]byte) // sees what arrives; nil: nobody looks
	ended  sync.Once

	mu    sync.Mutex
	next  uint16
	waits map[uint16]chan struct{} // echoes under way, by ID
}

func newDevice(b *boot, name string, mtu, index int) *device {
	d := &device{
		TUN: tuntest.New(name, mtu), b: b, name: name, mtu: mtu, index: index,
		router: routertest.New(name), waits: map[uint16]chan struct{}{},
	}
	go d.answer()
	return d
}

func (d *device) BatchSize() int { return smallBatch }

// Keep is what tunnel asks for.
func (d *device) Keep(peer any) { tuntest.NoFinalizers(peer) }

// Close takes the interface away.
func (d *device) Close() error {
	d.ended.Do(func() {
		d.TUN.Close()
		d.b.mu.Lock()
		d.b.tuns = slices.DeleteFunc(d.b.tuns, func(o *device) bool { return o == d })
		d.b.mu.Unlock()
		d.b.changed()
	})
	return nil
}

// owns tells whether a is an address of the interface.
func (d *device) owns(a netip.Addr) bool {
	c := d.router.Config()
	return c.Up && slices.ContainsFunc(c.Addrs, func(p netip.Prefix) bool { return p.Addr() == a })
}

// leads tells whether a route into the interface covers a.
func (d *device) leads(a netip.Addr) bool {
	c := d.router.Config()
	return c.Up && slices.ContainsFunc(c.Routes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// answer takes what arrives: echo requests are answered, answers handed to
// whoever waits for them.
func (d *device) answer() {
	for {
		select {
		case <-d.Closed():
			return
		case p := <-d.Outbound:
			if d.hook != nil {
				d.hook(p)
			}
			d.arrived(p)
		}
	}
}

func (d *device) arrived(p []byte) {
	src, dst, body, ok := parse(p)
	if !ok || !d.owns(dst) {
		return
	}
	m, err := icmp.ParseMessage(proto(dst), body)
	if err != nil {
		return
	}
	echo, ok := m.Body.(*icmp.Echo)
	if !ok {
		return
	}
	switch m.Type {
	case ipv4.ICMPTypeEcho, ipv6.ICMPTypeEchoRequest:
		d.send(context.Background(), packet(dst, src, false, echo))
	case ipv4.ICMPTypeEchoReply, ipv6.ICMPTypeEchoReply:
		d.mu.Lock()
		defer d.mu.Unlock()
		if w := d.waits[uint16(echo.ID)]; w != nil {
			delete(d.waits, uint16(echo.ID))
			close(w)
		}
	}
}

func (d *device) send(ctx context.Context, p []byte) {
	select {
	case d.Inject <- p:
	case <-d.Closed():
	case <-ctx.Done():
	}
}

func (d *device) ping(ctx context.Context, src, dst netip.Addr, seq int) (time.Duration, error) {
	w := make(chan struct{})
	d.mu.Lock()
	d.next++
	id := d.next
	d.waits[id] = w
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.waits, id)
		d.mu.Unlock()
	}()
	sent := time.Now()
	d.send(ctx, packet(src, dst, true, &icmp.Echo{ID: int(id), Seq: seq & 0xffff, Data: []byte("simnet")}))
	select {
	case <-w:
		return time.Since(sent), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func proto(a netip.Addr) int {
	if a.Is4() {
		return 1
	}
	return 58
}

// packet is an echo with its IP header (RFC 791, RFC 8200).
func packet(src, dst netip.Addr, request bool, echo *icmp.Echo) []byte {
	m := icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: echo}
	switch {
	case dst.Is4() && request:
		m.Type = ipv4.ICMPTypeEcho
	case dst.Is6() && request:
		m.Type = ipv6.ICMPTypeEchoRequest
	case dst.Is6():
		m.Type = ipv6.ICMPTypeEchoReply
	}
	var pseudo []byte
	if dst.Is6() {
		pseudo = icmp.IPv6PseudoHeader(src.AsSlice(), dst.AsSlice())
	}
	body, err := m.Marshal(pseudo)
	if err != nil {
		panic(err)
	}
	var head []byte
	if dst.Is4() {
		head = make([]byte, 20)
		head[0], head[8], head[9] = 4<<4|5, 64, 1
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(body)))
		copy(head[12:], src.AsSlice())
		copy(head[16:], dst.AsSlice())
	} else {
		head = make([]byte, 40)
		head[0], head[6], head[7] = 6<<4, 58, 64
		binary.BigEndian.PutUint16(head[4:], uint16(len(body)))
		copy(head[8:], src.AsSlice())
		copy(head[24:], dst.AsSlice())
	}
	return append(head, body...)
}

func parse(p []byte) (src, dst netip.Addr, body []byte, ok bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[20:], p[9] == 1
	case len(p) >= 40 && p[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[40:], p[6] == 58
	}
	return src, dst, nil, false
}
