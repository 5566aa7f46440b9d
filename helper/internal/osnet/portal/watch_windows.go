package portal

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// NL_NETWORK_CONNECTIVITY_LEVEL_HINT (nldef.h).
const (
	levelInternet    = 3
	levelConstrained = 4 // behind a captive portal
)

// hint is NL_NETWORK_CONNECTIVITY_HINT.
type hint struct {
	level, cost                     int32
	approachingLimit, over, roaming byte
	_                               byte
}

var (
	iphlpapi     = windows.NewLazySystemDLL("iphlpapi.dll")
	getHint      = iphlpapi.NewProc("GetNetworkConnectivityHint")
	notifyHint   = iphlpapi.NewProc("NotifyNetworkConnectivityHintChange")
	cancelNotify = iphlpapi.NewProc("CancelMibChangeNotify2")
)

// ncsi follows Windows' Network Connectivity Status Indicator.
type ncsi struct {
	changes chan struct{}
	handle  windows.Handle
}

// The callback is made once: callbacks are never freed. It is told of each change
// while there is a watcher.
var (
	ncsiMu   sync.Mutex
	ncsiAll  = map[*ncsi]bool{}
	ncsiCall = sync.OnceValue(func() uintptr {
		// The hint comes by reference on amd64 and in two registers on arm64; it is
		// asked for again, so neither is looked at.
		return windows.NewCallback(func(context, a, b uintptr) uintptr {
			ncsiMu.Lock()
			defer ncsiMu.Unlock()
			for w := range ncsiAll {
				select {
				case w.changes <- struct{}{}:
				default:
				}
			}
			return 0
		})
	})
)

// Watch follows the system; ErrNone before Windows 10, version 2004.
func Watch() (Watcher, error) {
	if err := getHint.Find(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	w := &ncsi{changes: make(chan struct{}, 1)}
	ncsiMu.Lock()
	ncsiAll[w] = true
	ncsiMu.Unlock()
	if code, _, _ := notifyHint.Call(ncsiCall(), 0, 0, uintptr(unsafe.Pointer(&w.handle))); code != 0 {
		w.forget()
		return nil, fmt.Errorf("watch the connectivity hint: %w", windows.Errno(code))
	}
	return w, nil
}

func (w *ncsi) forget() {
	ncsiMu.Lock()
	defer ncsiMu.Unlock()
	delete(ncsiAll, w)
}

func (w *ncsi) Verdict() (Verdict, string) {
	var h hint
	code, _, _ := getHint.Call(uintptr(unsafe.Pointer(&h)))
	switch {
	case code != 0:
	case h.level == levelConstrained:
		return Captive, "Windows"
	case h.level == levelInternet:
		return Open, "Windows"
	}
	return Unknown, "Windows"
}

func (w *ncsi) Changes() <-chan struct{} { return w.changes }

func (w *ncsi) Close() error {
	cancelNotify.Call(uintptr(w.handle)) // waits for callbacks under way
	w.forget()
	return nil
}
