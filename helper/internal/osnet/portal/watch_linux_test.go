package portal

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bus starts a message bus of its own; it skips where there is no program for it.
func bus(t *testing.T) (address string) {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("no dbus-daemon (package dbus-daemon)")
	}
	cmd := exec.Command(program, "--session", "--nofork", "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func connect(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	c, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestNetworkManager follows one that comes, changes its mind and goes.
func TestNetworkManager(t *testing.T) {
	address := bus(t)
	w, err := watch(connect(t, address))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	expect := func(what string, v Verdict) {
		t.Helper()
		deadline := time.After(time.Minute)
		for {
			if got, _ := w.Verdict(); got == v {
				return
			}
			select {
			case <-w.Changes():
			case <-deadline:
				got, _ := w.Verdict()
				t.Fatalf("%s: verdict %d, want %d", what, got, v)
			}
		}
	}
	expect("without it", Unknown)
	nm, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	props, err := prop.Export(nm, nmPath, prop.Map{nmName: {
		"Connectivity": {Value: uint32(nmPortal), Emit: prop.EmitTrue},
		"Metered":      {Value: uint32(0), Emit: prop.EmitTrue},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nm.RequestName(nmName, 0); err != nil {
		t.Fatal(err)
	}
	expect("it came", Captive)
	props.SetMust(nmName, "Metered", uint32(1))
	props.SetMust(nmName, "Connectivity", uint32(nmFull))
	expect("signed in", Open)
	props.SetMust(nmName, "Connectivity", uint32(3)) // limited
	expect("limited", Unknown)
	props.SetMust(nmName, "Connectivity", uint32(nmPortal))
	expect("again", Captive)
	nm.Close()
	expect("it went", Unknown)
}
