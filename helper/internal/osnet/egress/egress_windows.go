package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/windows"
	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"

	"kith.internal/helper/internal/osnet/sysctl"
)

// win leads by the IP Helper API, and guards by the Windows Filtering Platform.
type win struct {
	mu      sync.Mutex // guards what follows
	filters *filters   // nil until there is something to set
	guarded wfpGuard
}

// New takes hold of this machine's routing.
func New(sysctl.Journal) (Egress, error) { return newSplit(&win{}), nil }

// Cleanup removes the guard: routes go with the adapter.
func Cleanup(sysctl.Journal) error {
	w := &win{}
	return errors.Join(w.guard(Config{}), w.Close())
}

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

func (w *win) guard(c Config) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.filters == nil {
		f, err := openFilters()
		if errors.Is(err, errWine) && !c.Block {
			return nil // there can be none
		}
		if err != nil {
			return err
		}
		w.filters = f
	}
	return w.guarded.set(w.filters, c)
}

// Close leaves the filters standing.
func (w *win) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.filters == nil {
		return nil
	}
	err := w.filters.Close()
	w.filters = nil
	return err
}
