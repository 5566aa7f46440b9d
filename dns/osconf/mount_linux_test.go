package osconf

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"kith.internal/dns/plan"
)

// TestNetnsMountTakenAway: a resolv.conf that was a mount of its own, as `ip
// netns exec` makes one, loses the mount when the file below is replaced from
// another mount namespace. What is below is another's and stays as it is.
func TestNetnsMountTakenAway(t *testing.T) {
	if os.Getenv("KITH_NETNS") == "0" {
		t.Skip("KITH_NETNS=0: mounting needs root")
	}
	h := newHost(t)
	h.write("etc/resolv.conf", "nameserver 192.0.2.1\n")
	h.write("own", "nameserver 192.0.2.2\n")
	if err := unix.Mount(filepath.Join(h.cfg.Root, "own"), h.path, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("bind mount, which needs root: %v", err)
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			unix.Unmount(h.path, unix.MNT_DETACH)
		}
	})
	m, err := New(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set(ours); err != nil {
		t.Fatal(err)
	}
	if !isOurs([]byte(h.read())) {
		t.Fatalf("not applied: %q", h.read())
	}
	if err := unix.Unmount(h.path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	mounted = false
	const others = marker + "\nnameserver 192.0.2.3\n"
	h.write("etc/new", others)
	if err := os.Rename(filepath.Join(h.cfg.Root, "etc/new"), h.path); err != nil {
		t.Fatal(err)
	}
	ev := <-h.events
	var why *UnsupportedError
	if ev.Kind != GaveUp || !errors.As(ev.Why, &why) {
		t.Errorf("event %+v", ev)
	}
	if mode, _ := m.Mode(); mode != ModeUnsupported {
		t.Errorf("mode %v", mode)
	}
	if err := m.Set(plan.OSConfig{Nameservers: ours.Nameservers}); !errors.As(err, &why) {
		t.Errorf("set: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if got := h.read(); got != others {
		t.Errorf("the other's file is %q", got)
	}
	if h.open != 0 {
		t.Errorf("%d journal entries are left", h.open)
	}
	if left, _ := os.ReadDir(h.cfg.StateDir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
