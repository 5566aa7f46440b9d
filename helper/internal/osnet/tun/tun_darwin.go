package tun

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// Create makes a utun interface with the MTU (0: DefaultMTU), and gives its
// name and index. The system allows no names but utun0, utun1…: "" and AnyName
// take the first free one. Close removes the interface, and so does the end of
// the process.
func Create(name string, mtu int) (tun.Device, string, int, error) {
	name, mtu, err := prepare(name, mtu)
	if err != nil {
		return nil, "", 0, fmt.Errorf("create TUN: %w", err)
	}
	if name == AnyName {
		name = "utun"
	}
	dev, err := tun.CreateTUN(name, mtu)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, "", 0, fmt.Errorf("create TUN %s: %w: %w", name, ErrExists, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, "", 0, fmt.Errorf("create TUN %s: %w: %w: run as root", name, ErrNoTUN, err)
	case err != nil:
		return nil, "", 0, fmt.Errorf("create TUN %s: %w", name, err)
	}
	actual, err := dev.Name()
	if err != nil {
		dev.Close()
		return nil, "", 0, fmt.Errorf("create TUN %s: read its name: %w", name, err)
	}
	ifi, err := net.InterfaceByName(actual)
	if err != nil {
		dev.Close()
		return nil, "", 0, fmt.Errorf("create TUN %s: find the interface: %w", actual, err)
	}
	return dev, actual, ifi.Index, nil
}

// Remove tells whether an interface of that name is left. A utun cannot outlive
// the process that holds it, so one that exists is somebody's: ErrInUse.
func Remove(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("remove TUN: %w", err)
	}
	ifis, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("remove TUN %s: %w", name, err)
	}
	for _, ifi := range ifis {
		if ifi.Name != name {
			continue
		}
		if !strings.HasPrefix(name, "utun") {
			return fmt.Errorf("remove TUN %s: %w", name, ErrNotTUN)
		}
		return fmt.Errorf("remove TUN %s: %w", name, ErrInUse)
	}
	return nil
}
