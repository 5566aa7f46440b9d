package portmap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// router is a gateway that keeps its word, but where it is told not to.
type router struct {
	addr, client, outside netip.Addr
	index                 int
	delay                 time.Duration
	pcp, pmp              bool
	upnp                  *upnpDevice
	grants                time.Duration // the longest lease; 0: what is asked for
	code                  byte          // of PCP's and NAT-PMP's refusal of a mapping
	lan                   *lan

	// twist changes an answer to a request; nil loses it. from is whom it seems
	// to come from.
	twist func(request, answer []byte) []byte
	from  netip.AddrPort

	mu       sync.Mutex
	booted   time.Time
	asked    []string // mapping requests, with their times
	table    map[uint16]entry
	occupied map[uint16]bool // outside ports that are another host's
}

// entry is a mapping, by its outside port.
type entry struct {
	client   netip.Addr
	internal uint16
	until    time.Time // zero: for ever
	nonce    nonce
}

func newRouter(set func(*router)) *router {
	r := &router{addr: gwAddr, client: lanAddr, outside: outAddr, booted: time.Now().Add(-time.Hour), table: map[uint16]entry{}, occupied: map[uint16]bool{}}
	if set != nil {
		set(r)
	}
	return r
}

// reboot forgets all.
func (r *router) reboot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.booted = time.Now()
	clear(r.table)
}

// open is what is mapped: "outside>inside".
func (r *router) open() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for external, e := range r.table {
		if e.until.IsZero() || time.Now().Before(e.until) {
			out = append(out, fmt.Sprintf("%d>%v:%d", external, e.client, e.internal))
		}
	}
	slices.Sort(out)
	return out
}

func (r *router) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// grant maps; it tells the outside port and the time.
func (r *router) grant(proto string, client netip.Addr, internal, external uint16, n nonce, want time.Duration) (uint16, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, fmt.Sprintf("%s %d %v", proto, internal, want))
	for p, e := range r.table {
		if e.client == client && e.internal == internal {
			external = p
		}
	}
	if want == 0 {
		delete(r.table, external)
		return 0, 0
	}
	for external == 0 || r.occupied[external] {
		external += 1000
	}
	if r.grants != 0 {
		want = min(want, r.grants)
	}
	r.table[external] = entry{client, internal, time.Now().Add(want), n}
	return external, want
}

func (r *router) epoch() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return uint32(time.Since(r.booted) / time.Second)
}

// change makes another of it while it works.
func (r *router) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// datagram answers what came from a host.
func (r *router) datagram(from, to netip.AddrPort, b []byte) (out []datagram) {
	r.mu.Lock()
	pcp, pmp, upnp, twist := r.pcp, r.pmp, r.upnp, r.twist
	r.mu.Unlock()
	answer, source := []byte(nil), netip.AddrPortFrom(r.addr, to.Port())
	switch {
	case to.Port() == ssdpPort && upnp != nil:
		answer, source = upnp.search(r, b), netip.AddrPortFrom(r.addr, 49152)
	case to.Port() != gatewayPort:
		return nil
	case b[0] == 2 && pcp:
		answer = r.answerPCP(from, b)
	case b[0] == 2 && pmp:
		answer = []byte{0, pmpResponse | b[1], 0, 1, 0, 0, 0, 0}
	case b[0] == 0 && pmp:
		answer = r.answerPMP(from, b)
	}
	if answer != nil && twist != nil {
		answer = twist(b, answer)
	}
	if answer == nil {
		return nil
	}
	if r.from.IsValid() {
		source = r.from
	}
	return []datagram{{source, answer}}
}

func (r *router) answerPCP(from netip.AddrPort, b []byte) []byte {
	a := slices.Clone(b)
	a[1] |= pcpResponse
	clear(a[2:24])
	binary.BigEndian.PutUint32(a[8:], r.epoch())
	if b[1] == pcpAnnounce {
		return a
	}
	if !bytes.Equal(b[8:24], func() []byte { x := from.Addr().As16(); return x[:] }()) {
		a[3] = 12
		return a
	}
	if a[3] = r.code; a[3] != 0 {
		return a
	}
	want := time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second
	external, lasts := r.grant("pcp", from.Addr(), binary.BigEndian.Uint16(b[40:]), binary.BigEndian.Uint16(b[42:]), nonce(b[24:36]), want)
	binary.BigEndian.PutUint32(a[4:], uint32(lasts/time.Second))
	binary.BigEndian.PutUint16(a[42:], external)
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.outside.As16()
	copy(a[44:], x[:])
	return a
}

func (r *router) answerPMP(from netip.AddrPort, b []byte) []byte {
	a := binary.BigEndian.AppendUint32([]byte{0, pmpResponse | b[1], 0, r.code}, r.epoch())
	if b[1] == pmpAddress {
		a[3] = 0
		r.mu.Lock()
		defer r.mu.Unlock()
		return append(a, r.outside.AsSlice()...)
	}
	if r.code != 0 {
		return a
	}
	internal := binary.BigEndian.Uint16(b[4:])
	external, lasts := r.grant("pmp", from.Addr(), internal, binary.BigEndian.Uint16(b[6:]), nonce{}, time.Duration(binary.BigEndian.Uint32(b[8:]))*time.Second)
	a = binary.BigEndian.AppendUint16(a, internal)
	a = binary.BigEndian.AppendUint16(a, external)
	return binary.BigEndian.AppendUint32(a, uint32(lasts/time.Second))
}

// is tells whether a request is one for a mapping.
func is(request []byte, opcode byte) bool {
	return len(request) > 1 && request[1] == opcode && !strings.HasPrefix(string(request), "M-")
}
