//go:build !linux

package bypass

import (
	"slices"
	"strings"
	"sync"
	"syscall"
)

var (
	mu               sync.Mutex // guards what follows
	uplink4, uplink6 int
	kept             []keep
)

// keep is a socket that outlives the uplink that it was bound to.
type keep struct {
	c   syscall.RawConn
	six bool
}

// SetUplink names the interfaces of the IPv4 and IPv6 default routes that
// sockets are bound to, those that were kept and those made from now on; 0 binds
// them to none, as it is without an exit node. Call it when the network changes.
func SetUplink(index4, index6 int) {
	mu.Lock()
	defer mu.Unlock()
	if uplink4 == index4 && uplink6 == index6 {
		return
	}
	uplink4, uplink6 = index4, index6
	kept = slices.DeleteFunc(kept, func(k keep) bool { return k.apply() != nil })
}

// Control is for net.Dialer and net.ListenConfig: it takes a socket around the
// exit node. Where that fails the socket stays as it is.
func Control(network, _ string, c syscall.RawConn) error {
	mu.Lock()
	defer mu.Unlock()
	return keep{c, strings.HasSuffix(network, "6")}.apply()
}

// Keep does the same to a socket that stays for long, and again when the uplink
// changes, until the socket is closed.
func Keep(c syscall.RawConn, six bool) error {
	mu.Lock()
	defer mu.Unlock()
	k := keep{c, six}
	kept = append(slices.DeleteFunc(kept, func(k keep) bool { return k.c.Control(func(uintptr) {}) != nil }), k)
	return k.apply()
}

func (k keep) apply() error {
	index := uplink4
	if k.six {
		index = uplink6
	}
	return k.c.Control(func(fd uintptr) { bind(fd, k.six, index) })
}
