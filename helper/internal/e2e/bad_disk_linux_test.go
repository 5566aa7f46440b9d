package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// small puts the node's state on a disk of its own.
func (n *node) small() {
	n.t.Helper()
	if err := os.Mkdir(n.state(), 0o700); err != nil {
		n.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "kith", n.state()).CombinedOutput(); err != nil {
		n.t.Fatalf("mount: %v: %s", err, out)
	}
	n.t.Cleanup(func() {
		n.kill()
		if out, err := exec.Command("umount", "-l", n.state()).CombinedOutput(); err != nil {
			n.t.Errorf("unmount: %v: %s", err, out)
		}
	})
}

// fill leaves no space on the node's disk; the answer frees it.
func (n *node) fill() func() {
	n.t.Helper()
	path := filepath.Join(n.state(), "ballast")
	f, err := os.Create(path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for b := make([]byte, size); err == nil; {
			_, err = f.Write(b)
		}
		err = nil
	}
	return func() {
		if err := os.Remove(path); err != nil {
			n.t.Fatal(err)
		}
	}
}

func TestNetnsDiskFull(t *testing.T) {
	b := newBed(t)
	a, c, d := b.node("laptop"), b.node("nas"), b.node("tv")
	a.small()
	c.small()
	for _, n := range []*node{a, c, d} {
		n.start()
	}
	a.create("home")
	text := a.invite()

	// The joiner's disk: refused before anything is asked.
	free := c.fill()
	c.refuse(c.tryIn(text, "join", "--device", "nas", "-"), ipc.ExitFailed, "disk is full", "Free some space")
	c.refuse(c.try("create", "work", "--phrase-file", filepath.Join(c.dir, "p")), ipc.ExitFailed, "disk is full", "Free some space")
	if words := c.warning(ipc.HealthDiskFull); strings.Count(words, "isk is full") != 1 {
		t.Errorf("the warning is not clear: %s", words)
	}
	if st := c.status(); len(st.Networks)+len(st.Joining) > 0 {
		t.Errorf("half a network is left: %+v", st)
	}
	free()
	c.joinBy(text)
	c.reach("laptop.home.internal", patience)
	c.await("no warning", func(st ipc.Status) bool { return fine(st) })

	// The sponsor's: what runs goes on.
	text = a.invite()
	free = a.fill()
	x := a.try("invite")
	for i := 0; x.code == 0 && i < 1000; i++ { // until the file has no free pages
		x = a.try("invite")
	}
	a.refuse(x, ipc.ExitFailed, "disk is full", "Free some space")
	d.refuse(d.tryIn(text, "join", "--device", "tv", "--wait", "1s", "-"), ipc.ExitTimeout, "laptop", "disk is full", "goes on")
	c.reach("laptop.home.internal", patience)
	a.reach("nas.home.internal", patience)
	a.warning(ipc.HealthDiskFull)
	free()
	d.await("the network", func(st ipc.Status) bool { return len(st.Networks) == 1 && len(st.Joining) == 0 })
	d.reach("nas.home.internal", patience)

	// A start with a full disk, and space while it runs.
	free = a.fill()
	a.kill()
	a.start()
	if st := a.status(); len(st.Networks) != 1 {
		t.Fatalf("the network is lost: %+v", st)
	}
	free()
	a.await("the network", func(st ipc.Status) bool { return st.Networks[0].Active && fine(st) })
	c.reach("laptop.home.internal", patience)
	a.reach("tv", patience)
}

func TestNetnsStateDamaged(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"state.db": func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b },
		"keys":     func(b []byte) []byte { return b[:len(b)-3] },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			a, c := b.pair()
			a.term()
			path := filepath.Join(a.state(), name)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := damage(bytes.Clone(good))
			if name == "state.db" { // wherever pages are in use
				for i := 0; i < len(bad); i += 512 {
					bad[i] ^= 0x55
				}
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				code := a.refuses()
				for _, w := range []string{"damaged", name, a.state(), "Nothing was changed", "backup", "join your networks again"} {
					if !strings.Contains(a.said(), w) {
						t.Errorf("the message does not say %q: %s", w, a.said())
					}
				}
				if code != 1 {
					t.Errorf("exit %d", code)
				}
			}
			x := a.exec("", program(b.t, "kithd"), "cleanup", "--state-dir", a.state())
			if x.code != 1 || !strings.Contains(x.err, "damaged") {
				t.Errorf("cleanup: %v", x)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
				t.Errorf("the damaged file was changed (%v)", err)
			}
			// With the backup all is as it was.
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
			a.start()
			a.reach("nas.home.internal", patience)
			c.reach("laptop.home.internal", patience)
		})
	}
}

// A state directory that others could write, or that is a link, is refused.
func TestNetnsStateUnsafe(t *testing.T) {
	b := newBed(t)
	a := b.node("laptop")
	if err := os.Mkdir(a.state(), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(a.state(), 0o777); err != nil {
		t.Fatal(err)
	}
	if code := a.refuses(); code != 1 || !strings.Contains(a.said(), "not safe") || !strings.Contains(a.said(), a.state()) {
		t.Errorf("exit %d: %s", code, a.said())
	}
	if err := os.Chmod(a.state(), 0o700); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.create("home")
}
