package osconf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// busTimeout is for each call: a service that hangs must not hold us.
const busTimeout = time.Second

// bus is the system bus, as far as it is used here.
type bus interface {
	// call stores the reply's values in out, if it is not nil.
	call(dest, path, method string, out []any, args ...any) error
	// signals has a value for each of NameOwnerChanged and PropertiesChanged of
	// resolved and NetworkManager; it is closed when the connection ends.
	signals() <-chan *dbus.Signal
	close()
}

var errNoBus = errors.New("no system bus")

const (
	systemdName  = "org.freedesktop.systemd1"
	systemdPath  = "/org/freedesktop/systemd1"
	busName      = "org.freedesktop.DBus"
	busPath      = "/org/freedesktop/DBus"
	properties   = "org.freedesktop.DBus.Properties"
	ownerChanged = busName + ".NameOwnerChanged"
	propsChanged = properties + ".PropertiesChanged"
)

type systemBus struct {
	conn *dbus.Conn
	ch   chan *dbus.Signal
}

// dialBus connects to the system bus, for at most busTimeout.
func dialBus() (bus, error) {
	type result struct {
		b   *systemBus
		err error
	}
	done := make(chan result, 1)
	gone := make(chan struct{})
	go func() {
		b, err := connectBus()
		select {
		case done <- result{b, err}:
		case <-gone:
			if b != nil {
				b.close()
			}
		}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("%w: %w", errNoBus, r.err)
		}
		return r.b, nil
	case <-time.After(busTimeout):
		close(gone)
		return nil, fmt.Errorf("%w: it does not answer", errNoBus)
	}
}

func connectBus() (*systemBus, error) {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, err
	}
	b := &systemBus{conn: conn, ch: make(chan *dbus.Signal, 64)}
	conn.Signal(b.ch)
	for _, name := range []string{resolvedName, nmName} {
		err = errors.Join(err, conn.AddMatchSignal(dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName),
			dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name)))
	}
	for name, path := range map[string]dbus.ObjectPath{resolvedName: resolvedPath, nmName: nmDNSPath} {
		err = errors.Join(err, conn.AddMatchSignal(dbus.WithMatchSender(name), dbus.WithMatchObjectPath(path),
			dbus.WithMatchInterface(properties), dbus.WithMatchMember("PropertiesChanged")))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return b, nil
}

func (b *systemBus) call(dest, path, method string, out []any, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), busTimeout)
	defer cancel()
	c := b.conn.Object(dest, dbus.ObjectPath(path)).CallWithContext(ctx, method, 0, args...)
	if c.Err != nil {
		return fmt.Errorf("%s: %w", method, c.Err)
	}
	if out == nil {
		return nil
	}
	if err := c.Store(out...); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

func (b *systemBus) signals() <-chan *dbus.Signal { return b.ch }
func (b *systemBus) close()                       { b.conn.Close() }

// busGet reads a property into out, a pointer.
func busGet(b bus, dest, path, iface, name string, out any) error {
	var v dbus.Variant
	if err := b.call(dest, path, properties+".Get", []any{&v}, iface, name); err != nil {
		return fmt.Errorf("%s.%s: %w", iface, name, err)
	}
	if err := v.Store(out); err != nil {
		return fmt.Errorf("%s.%s: %w", iface, name, err)
	}
	return nil
}

// busOwned reports whether somebody has the name; nobody is woken.
func busOwned(b bus, name string) bool {
	var has bool
	return b.call(busName, busPath, busName+".NameHasOwner", []any{&has}, name) == nil && has
}

// busError is the name of the error that a service answered, "" for another.
func busError(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	var p *dbus.Error
	if errors.As(err, &p) {
		return p.Name
	}
	return ""
}
