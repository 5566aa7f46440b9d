// Package tun makes the TUN interface of a network: wireguard-go's own device,
// unwrapped, so that its offloads are kept. It owns the interface's name and
// its MTU at creation, and nothing that is set on it later. It imports nothing
// of ours.
package tun

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultMTU leaves room for WireGuard over IPv6 on a path of 1,500 bytes.
const DefaultMTU = 1420

// AnyName asks for the first free name: kith0, kith1 and so on.
const AnyName = "kith%d"

var (
	// ErrNoTUN says that this host gives us no TUN; the error that wraps it
	// says what to do.
	ErrNoTUN = errors.New("no TUN device")
	// ErrExists says that the name is taken.
	ErrExists = errors.New("the interface exists")
	// ErrNotTUN says that the interface is no TUN: Remove leaves it alone.
	ErrNotTUN = errors.New("not a TUN interface")
	// ErrInUse says that a running process holds the TUN: Remove leaves it alone.
	ErrInUse = errors.New("the TUN is in use by a running process")
	// ErrName says that a name cannot be an interface's.
	ErrName = errors.New("not a name for an interface")
)

// maxName is IFNAMSIZ without its zero byte; macOS has the same limit.
const maxName = 15

func checkName(name string) error {
	if name == "" || len(name) > maxName || name == "." || name == ".." {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	for _, c := range strings.TrimSuffix(name, "%d") {
		if c <= ' ' || c > '~' || strings.ContainsRune("/:%", c) {
			return fmt.Errorf("%w: %q", ErrName, name)
		}
	}
	return nil
}

// prepare fills in what Create's caller left open.
func prepare(name string, mtu int) (string, int, error) {
	if name == "" {
		name = AnyName
	}
	if mtu == 0 {
		mtu = DefaultMTU
	}
	return name, mtu, checkName(name)
}
