package desktop

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// HasDisplay tells whether there is a display to draw on.
func HasDisplay() bool { return os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "" }

// HasTray tells whether this desktop shows tray icons: a StatusNotifierWatcher
// with a host.
func HasTray() bool {
	conn, err := session()
	if err != nil {
		return false
	}
	var owned bool
	if conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.kde.StatusNotifierWatcher").Store(&owned) != nil || !owned {
		return false
	}
	host, err := conn.Object("org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher").GetProperty("org.kde.StatusNotifierWatcher.IsStatusNotifierHostRegistered")
	if err != nil {
		return true // older watchers have no such property
	}
	has, ok := host.Value().(bool)
	return !ok || has
}

// session is the shared connection to the session bus. It never starts a bus.
func session() (*dbus.Conn, error) {
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		if _, err := os.Stat(fmt.Sprintf("/run/user/%d/bus", os.Getuid())); err != nil {
			return nil, errors.New("there is no session bus")
		}
	}
	return dbus.SessionBus()
}

// Notifier shows notifications, each in the place of the last.
type Notifier struct {
	mu   sync.Mutex
	last uint32
}

// Notify shows one.
func (n *Notifier) Notify(title, body string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	conn, err := session()
	if err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// Bodies may hold markup, and names come from others.
	call := conn.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications").CallWithContext(ctx,
		"org.freedesktop.Notifications.Notify", 0, "Kith", n.last, "kith", title, html.EscapeString(body),
		[]string{}, map[string]dbus.Variant{"desktop-entry": dbus.MakeVariant("kith")}, int32(-1))
	if err := call.Store(&n.last); err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	return nil
}

// StartService asks systemd to start the helper; polkit asks the person.
func StartService(ctx context.Context) error {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("starting the service: no system bus: %w", err)
	}
	defer conn.Close()
	call := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").CallWithContext(ctx,
		"org.freedesktop.systemd1.Manager.StartUnit", dbus.FlagAllowInteractiveAuthorization, ServiceName+".service", "replace")
	var de dbus.Error
	switch {
	case call.Err == nil:
		return nil
	case errors.As(call.Err, &de) && de.Name == "org.freedesktop.systemd1.NoSuchUnit":
		return ErrNoService
	}
	return fmt.Errorf("starting the service: %w", call.Err)
}
