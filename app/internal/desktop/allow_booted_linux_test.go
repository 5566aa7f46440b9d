//go:build booted

package desktop

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// TestAllowHere does what [Allow me…] does on a machine with polkit of its own.
// KITH_WANT is what has to become of it. KITH_AGENT=cancel has the test be the
// one that polkit asks, and a person there click Cancel; otherwise whoever
// started it has seen to an agent.
func TestAllowHere(t *testing.T) {
	agent := &cancelling{}
	if os.Getenv("KITH_AGENT") == "cancel" {
		agent.register(t)
	}
	err := Allow(t.Context())
	want := map[string]error{"allowed": nil, "declined": ErrDeclined, "refused": ErrRefused, "nobody to ask": ErrNoAsking}
	if w, ok := want[os.Getenv("KITH_WANT")]; !ok || !errors.Is(err, w) {
		t.Errorf("%v, want %q", err, os.Getenv("KITH_WANT"))
	}
	if os.Getenv("KITH_AGENT") != "cancel" {
		return
	}
	if agent.action != AllowAction || !strings.Contains(agent.message, "let this account change the VPN") {
		t.Errorf("polkit asked for %q: %q", agent.action, agent.message)
	}
}

// cancelling is an authentication agent.
type cancelling struct{ action, message string }

// BeginAuthentication is called by polkitd where a person is to be asked.
func (a *cancelling) BeginAuthentication(action, message, _ string, _ map[string]string, _ string, _ []identity) *dbus.Error {
	a.action, a.message = action, message
	return dbus.NewError("org.freedesktop.PolicyKit1.Error.Cancelled", nil)
}

// CancelAuthentication is called where whoever asked has gone.
func (a *cancelling) CancelAuthentication(string) *dbus.Error { return nil }

// identity is a kind of identity or subject and what tells which one it is.
type identity struct {
	Kind    string
	Details map[string]dbus.Variant
}

// register makes it the agent of this process.
func (a *cancelling) register(t *testing.T) {
	t.Helper()
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.Export(a, "/agent", "org.freedesktop.PolicyKit1.AuthenticationAgent"); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	start, err := strconv.ParseUint(strings.Fields(rest)[19], 10, 64) // proc(5): field 22
	if err != nil {
		t.Fatal(err)
	}
	self := identity{"unix-process", map[string]dbus.Variant{
		"pid": dbus.MakeVariant(uint32(os.Getpid())), "start-time": dbus.MakeVariant(start), "uid": dbus.MakeVariant(int32(os.Getuid())),
	}}
	authority := conn.Object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority")
	if err := authority.Call("org.freedesktop.PolicyKit1.Authority.RegisterAuthenticationAgent", 0, self, "C.UTF-8", "/agent").Err; err != nil {
		t.Fatal(err)
	}
}
