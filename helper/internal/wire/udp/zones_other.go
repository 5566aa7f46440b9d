//go:build !linux

package udp

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// zonesLife bounds how long an interface's new name stays unknown.
const zonesLife = 10 * time.Second

// zones converts between the net package's zones, which are interface names,
// and ours, which are indexes.
type zones struct {
	mu      sync.Mutex
	read    time.Time
	byName  map[string]string
	byIndex map[string]string
}

// index gives a, as net returned it, our zone.
func (z *zones) index(a netip.Addr) netip.Addr { return z.convert(a, false) }

// name gives a the zone that net takes.
func (z *zones) name(a netip.Addr) netip.Addr { return z.convert(a, true) }

// convert leaves zones alone that name no interface: net falls back to numbers
// itself, both ways.
func (z *zones) convert(a netip.Addr, toName bool) netip.Addr {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.refresh()
	known := z.byName
	if toName {
		known = z.byIndex
	}
	if s, ok := known[a.Zone()]; ok {
		return a.WithZone(s)
	}
	return a
}

func (z *zones) refresh() {
	if time.Since(z.read) < zonesLife {
		return
	}
	ifaces, err := net.Interfaces()
	if err != nil {
		return
	}
	z.read = time.Now()
	z.byName, z.byIndex = map[string]string{}, map[string]string{}
	for _, i := range ifaces {
		n := strconv.Itoa(i.Index)
		z.byName[i.Name], z.byIndex[n] = n, i.Name
	}
}
