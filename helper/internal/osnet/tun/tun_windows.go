package tun

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wintun"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)

const tunnelType = "Kith"

// Create makes a Wintun adapter with the MTU (0: DefaultMTU), and gives its
// name and index. Name "" or AnyName takes the first free kith0, kith1…. Close
// removes the adapter, and so does the end of the process.
func Create(name string, mtu int) (tun.Device, string, int, error) {
	name, mtu, err := prepare(name, mtu)
	if err != nil {
		return nil, "", 0, fmt.Errorf("create TUN: %w", err)
	}
	taken, err := adapters()
	if err != nil {
		return nil, "", 0, fmt.Errorf("create TUN %s: %w", name, err)
	}
	if stem, any := strings.CutSuffix(name, "%d"); any {
		name = firstFree(stem, taken)
	} else if taken[strings.ToLower(name)] != nil {
		return nil, "", 0, fmt.Errorf("create TUN %s: %w", name, ErrExists)
	}
	tun.WintunTunnelType = tunnelType
	dev, err := tun.CreateTUNWithRequestedGUID(name, guid(name), mtu)
	if err != nil {
		return nil, "", 0, fmt.Errorf("create TUN %s: %w", name, explain(err))
	}
	row, err := winipcfg.LUID(dev.(*tun.NativeTun).LUID()).Interface()
	if err != nil {
		dev.Close()
		return nil, "", 0, fmt.Errorf("create TUN %s: find the adapter: %w", name, err)
	}
	return dev, name, int(row.InterfaceIndex), nil
}

// Remove removes an adapter that an earlier run of ours left. No adapter of
// that name is success. ErrNotTUN and ErrInUse leave it as it is.
func Remove(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("remove TUN: %w", err)
	}
	have, err := adapters()
	if err != nil {
		return fmt.Errorf("remove TUN %s: %w", name, err)
	}
	a := have[strings.ToLower(name)]
	switch {
	case a == nil:
		return nil
	case !strings.HasPrefix(a.Description(), tunnelType+" Tunnel"):
		return fmt.Errorf("remove TUN %s: %w", name, ErrNotTUN)
	case a.OperStatus == winipcfg.IfOperStatusUp:
		// Only a running session gives a Wintun adapter its carrier.
		return fmt.Errorf("remove TUN %s: %w", name, ErrInUse)
	}
	// Wintun sweeps orphans before it makes an adapter, and closing removes
	// the one that it made.
	w, err := wintun.CreateAdapter(name, tunnelType, guid(name))
	if err != nil {
		return fmt.Errorf("remove TUN %s: %w", name, explain(err))
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("remove TUN %s: %w", name, err)
	}
	return nil
}

// adapters has the host's adapters by lower-case name: Windows compares so.
func adapters() (map[string]*winipcfg.IPAdapterAddresses, error) {
	list, err := winipcfg.GetAdaptersAddresses(windows.AF_UNSPEC,
		winipcfg.GAAFlagIncludeAllInterfaces|winipcfg.GAAFlagSkipAnycast|winipcfg.GAAFlagSkipMulticast|winipcfg.GAAFlagSkipDNSServer)
	if err != nil {
		return nil, fmt.Errorf("list adapters: %w", err)
	}
	m := make(map[string]*winipcfg.IPAdapterAddresses, len(list))
	for _, a := range list {
		m[strings.ToLower(a.FriendlyName())] = a
	}
	return m, nil
}

func firstFree(stem string, taken map[string]*winipcfg.IPAdapterAddresses) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("%s%d", stem, i); taken[strings.ToLower(name)] == nil {
			return name
		}
	}
}

// guid is the same for a name each time, so that Windows asks once, and not
// after each start, what kind of network it is.
func guid(name string) *windows.GUID {
	h := sha256.Sum256([]byte("kith adapter " + strings.ToLower(name)))
	return &windows.GUID{
		Data1: binary.LittleEndian.Uint32(h[:]),
		Data2: binary.LittleEndian.Uint16(h[4:]),
		Data3: binary.LittleEndian.Uint16(h[6:])&0x0fff | 0x8000, // RFC 9562 §5.8
		Data4: [8]byte{h[8]&0x3f | 0x80, h[9], h[10], h[11], h[12], h[13], h[14], h[15]},
	}
}

// explain says what to do about the errors that Wintun is known for.
func explain(err error) error {
	fix := ""
	switch {
	case errors.Is(err, windows.ERROR_ALREADY_EXISTS), errors.Is(err, windows.ERROR_OBJECT_ALREADY_EXISTS):
		return fmt.Errorf("%w: %w", ErrExists, err)
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		fix = "run as a service or as administrator"
	case errors.Is(err, windows.ERROR_MOD_NOT_FOUND), errors.Is(err, windows.ERROR_FILE_NOT_FOUND):
		fix = "put wintun.dll beside the program"
	case errors.Is(err, windows.ERROR_BAD_EXE_FORMAT):
		fix = "wintun.dll is for another processor"
	case errors.Is(err, windows.ERROR_SERVICE_DISABLED), errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE):
		fix = "let the service NetSetupSvc run"
	case errors.Is(err, windows.ERROR_TIMEOUT), errors.Is(err, windows.WAIT_TIMEOUT):
		fix = "another installation of a device is not done: try again"
	default:
		return err
	}
	return fmt.Errorf("%w: %w: %s", ErrNoTUN, err, fix)
}
