package portal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	nmName  = "org.freedesktop.NetworkManager"
	nmPath  = "/org/freedesktop/NetworkManager"
	busName = "org.freedesktop.DBus"
	props   = "org.freedesktop.DBus.Properties"
	busWait = time.Second
)

// NetworkManager's NMConnectivityState
// (https://networkmanager.dev/docs/api/latest/nm-dbus-types.html).
const (
	nmPortal = 2
	nmFull   = 4
)

// networkManager follows NetworkManager, which may come and go.
type networkManager struct {
	conn    *dbus.Conn
	changes chan struct{}
	done    chan struct{}

	mu sync.Mutex
	v  Verdict
}

// Watch follows NetworkManager on the system bus; ErrNone without that bus.
func Watch() (Watcher, error) {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	w, err := watch(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("watch NetworkManager: %w", err)
	}
	return w, nil
}

func watch(conn *dbus.Conn) (*networkManager, error) {
	m := &networkManager{conn: conn, changes: make(chan struct{}, 1), done: make(chan struct{})}
	err := errors.Join(
		conn.AddMatchSignal(dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName),
			dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, nmName)),
		conn.AddMatchSignal(dbus.WithMatchSender(nmName), dbus.WithMatchObjectPath(nmPath),
			dbus.WithMatchInterface(props), dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchArg(0, nmName)),
	)
	if err != nil {
		return nil, err
	}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	m.read()
	go m.follow(signals)
	return m, nil
}

func (m *networkManager) follow(signals <-chan *dbus.Signal) {
	defer close(m.done)
	for s := range signals {
		if s.Name == props+".PropertiesChanged" && !about(s.Body) {
			continue
		}
		m.read()
	}
	m.set(Unknown) // the bus is gone
}

// about tells whether a PropertiesChanged is about what is looked at here: its
// other properties change with each packet counted.
func about(body []any) bool {
	if len(body) < 3 {
		return false
	}
	changed, _ := body[1].(map[string]dbus.Variant)
	_, ok := changed["Connectivity"]
	gone, _ := body[2].([]string)
	for _, name := range gone {
		ok = ok || name == "Connectivity"
	}
	return ok
}

func (m *networkManager) read() {
	ctx, cancel := context.WithTimeout(context.Background(), busWait)
	defer cancel()
	var owned bool
	v := Unknown
	// A plain Get would start a service that the user has stopped.
	if m.conn.BusObject().CallWithContext(ctx, busName+".NameHasOwner", 0, nmName).Store(&owned) == nil && owned {
		var got dbus.Variant
		if m.conn.Object(nmName, nmPath).CallWithContext(ctx, props+".Get", 0, nmName, "Connectivity").Store(&got) == nil {
			v = verdict(got.Value())
		}
	}
	m.set(v)
}

func verdict(connectivity any) Verdict {
	switch connectivity {
	case uint32(nmPortal):
		return Captive
	case uint32(nmFull):
		return Open
	}
	return Unknown
}

func (m *networkManager) set(v Verdict) {
	m.mu.Lock()
	same := m.v == v
	m.v = v
	m.mu.Unlock()
	if same {
		return
	}
	select {
	case m.changes <- struct{}{}:
	default:
	}
}

func (m *networkManager) Verdict() (Verdict, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.v, "NetworkManager"
}

func (m *networkManager) Changes() <-chan struct{} { return m.changes }

func (m *networkManager) Close() error {
	err := m.conn.Close()
	<-m.done
	return err
}
