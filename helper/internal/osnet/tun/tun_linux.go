package tun

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

const cloneDevice = "/dev/net/tun"

// Create makes a TUN interface, down, with the MTU (0: DefaultMTU), and gives
// its name and index. Name "" or AnyName takes the first free kith0, kith1….
// Close removes the interface, and so does the end of the process.
//
// The device sends no events: wireguard-go's watcher wakes up each second and
// takes WireGuard down with the link. The caller brings WireGuard up itself.
func Create(name string, mtu int) (tun.Device, string, int, error) {
	name, mtu, err := prepare(name, mtu)
	if err != nil {
		return nil, "", 0, fmt.Errorf("create TUN: %w", err)
	}
	fd, err := open()
	if err != nil {
		return nil, "", 0, fmt.Errorf("create TUN: %w", err)
	}
	// Exclusive: a TUN that another process left or holds is never shared.
	if _, err := attach(fd, name, unix.IFF_TUN_EXCL); err != nil {
		unix.Close(fd)
		return nil, "", 0, fmt.Errorf("create TUN: %w", err)
	}
	dev, actual, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		// Without a device the file of wireguard-go's closes fd when collected.
		if dev != nil {
			dev.Close()
		}
		return nil, "", 0, fmt.Errorf("create TUN: %w", err)
	}
	index, err := setMTU(actual, mtu)
	if err != nil {
		dev.Close()
		return nil, "", 0, fmt.Errorf("create TUN %s: %w", actual, err)
	}
	return dev, actual, index, nil
}

// Remove removes a TUN that an earlier run of ours left: one that outlives its
// process, which ours never do by themselves. No interface of that name is
// success. ErrNotTUN and ErrInUse leave the interface as it is.
func Remove(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("remove TUN: %w", err)
	}
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove TUN %s: %w", name, err)
	}
	if t, ok := link.(*netlink.Tuntap); !ok || t.Mode != netlink.TUNTAP_MODE_TUN {
		return fmt.Errorf("remove TUN %s: %w", name, ErrNotTUN)
	}
	fd, err := open()
	if err != nil {
		return fmt.Errorf("remove TUN %s: %w", name, err)
	}
	defer unix.Close(fd)
	// Only a TUN that nobody holds can be attached to.
	switch _, err := attach(fd, name, 0); {
	case errors.Is(err, ErrExists):
		return fmt.Errorf("remove TUN %s: %w", name, ErrInUse)
	case err != nil:
		return fmt.Errorf("remove TUN %s: %w", name, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0); err != nil {
		return fmt.Errorf("remove TUN %s: %w", name, err)
	}
	return nil
}

func open() (int, error) {
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, fmt.Errorf("%w: open %s: %w: load the kernel's tun module, or pass %[2]s into the container", ErrNoTUN, cloneDevice, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return -1, fmt.Errorf("%w: open %s: %w: run as root, and allow the device in the container", ErrNoTUN, cloneDevice, err)
	case err != nil:
		return -1, fmt.Errorf("open %s: %w", cloneDevice, err)
	}
	return fd, nil
}

// attach makes or takes the interface that fd stands for.
func attach(fd int, name string, flags uint16) (string, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return "", fmt.Errorf("%w: %q", ErrName, name)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	switch {
	case errors.Is(err, unix.EBUSY):
		return "", fmt.Errorf("%w: %w", ErrExists, err)
	case errors.Is(err, unix.EPERM):
		return "", fmt.Errorf("%w: %w: run as root, or grant CAP_NET_ADMIN", ErrNoTUN, err)
	case err != nil:
		return "", fmt.Errorf("TUNSETIFF: %w", err)
	}
	return req.Name(), nil
}

// setMTU gives the interface's index as well.
func setMTU(name string, mtu int) (int, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("find the interface: %w", err)
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return 0, fmt.Errorf("set MTU %d: %w", mtu, err)
	}
	return link.Attrs().Index, nil
}
