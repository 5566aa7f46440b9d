package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/firewall"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"kith.internal/helper/internal/osnet/sysctl"
)

// win leads by the IP Helper API, and guards by the filters of WireGuard's own
// client (Windows Filtering Platform). These are of a dynamic session: they end
// with the process.
type win struct {
	mu   sync.Mutex // guards what follows
	luid uint64     // that the guard lets pass; 0: there is no guard
}

// New takes hold of this machine's routing.
func New(sysctl.Journal) (Egress, error) { return newSplit(&win{}), nil }

// Cleanup finds nothing to undo: routes go with the adapter, filters with the
// process.
func Cleanup(sysctl.Journal) error { return nil }

func (w *win) lead(p netip.Prefix, index, before int) error {
	if index != 0 {
		luid, err := winipcfg.LUIDFromIndex(uint32(index))
		if err != nil {
			return fmt.Errorf("find the adapter: %w", err)
		}
		if err := luid.AddRoute(p, unspecified(p), 0); err != nil && !errors.Is(err, windows.ERROR_OBJECT_ALREADY_EXISTS) {
			return err
		}
	}
	// Nowhere is the guard's work: Windows has no such routes.
	if before > 0 {
		return w.remove(p, before)
	}
	return nil
}

func (w *win) remove(p netip.Prefix, index int) error {
	if index == 0 {
		return nil
	}
	luid, err := winipcfg.LUIDFromIndex(uint32(index))
	if err != nil {
		return nil // it is gone, and its routes with it
	}
	err = luid.DeleteRoute(p, unspecified(p))
	if errors.Is(err, windows.ERROR_NOT_FOUND) || errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return nil
	}
	return err
}

func unspecified(p netip.Prefix) netip.Addr {
	if p.Addr().Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

var errOneWay = errors.New("on Windows the guard cannot make exceptions for the LAN or for signing in")

// guard lets one adapter pass: the exit's, or, while there is none, that of any
// network of ours.
func (w *win) guard(c Config) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	off := func() {
		if w.luid != 0 {
			firewall.DisableFirewall()
			w.luid = 0
		}
	}
	if !c.Block {
		off()
		return nil
	}
	if len(c.AllowLAN) > 0 || c.Portal {
		off()
		return errOneWay
	}
	index := c.Index
	if c.TUN == "" && len(c.Own) > 0 {
		index = c.Own[0].Index
	}
	if index == 0 {
		return errors.New("no adapter of ours is up")
	}
	luid, err := winipcfg.LUIDFromIndex(uint32(index))
	if err != nil {
		return fmt.Errorf("find the adapter: %w", err)
	}
	if w.luid == uint64(luid) {
		return nil
	}
	off()
	if err := firewall.EnableFirewall(uint64(luid), false, nil); err != nil {
		return err
	}
	w.luid = uint64(luid)
	return nil
}

func (*win) Close() error { return nil }
