package tun

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/netnstest"
)

func TestNetnsCreate(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		for i, want := range []string{"kith0", "kith1", "kith2"} {
			dev, name, index, err := Create([]string{"", AnyName, "kith2"}[i], []int{0, 1280, 9000}[i])
			if err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			if name != want || index == 0 {
				t.Errorf("got %q with index %d, want %q", name, index, want)
			}
			if mtu, err := dev.MTU(); err != nil || mtu != []int{DefaultMTU, 1280, 9000}[i] {
				t.Errorf("%s: MTU %d, %v", name, mtu, err)
			}
			if _, native := dev.(*tun.NativeTun); !native || dev.BatchSize() != 128 {
				t.Errorf("%s: a %T with batches of %d: the offloads are lost", name, dev, dev.BatchSize())
			}
		}
		if _, _, _, err := Create("kith1", 0); !errors.Is(err, ErrExists) {
			t.Errorf("got %v, want %v", err, ErrExists)
		}
		netnstest.Sh(t, "ip link add bridge7 type bridge")
		if _, _, _, err := Create("bridge7", 0); !errors.Is(err, ErrExists) {
			t.Errorf("got %v, want %v", err, ErrExists)
		}
	})
}

func TestNetnsCloseRemoves(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		dev, name, _, err := Create("", 0)
		if err != nil {
			t.Fatal(err)
		}
		netnstest.Sh(t, "ip address add 100.80.0.1/16 dev "+name+" && ip link set up dev "+name)
		read := make(chan error)
		go func() {
			bufs := make([][]byte, dev.BatchSize())
			for i := range bufs {
				bufs[i] = make([]byte, 65535)
			}
			for {
				if _, err := dev.Read(bufs, make([]int, len(bufs)), 16); err != nil {
					read <- err
					return
				}
			}
		}()
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		if err := <-read; !errors.Is(err, os.ErrClosed) {
			t.Errorf("reading ended with %v", err)
		}
		if _, open := <-dev.Events(); open {
			t.Error("the events are not closed")
		}
		if out := netnstest.Sh(t, "ip -o link; ip route"); strings.Contains(out, name) {
			t.Errorf("something is left:\n%s", out)
		}
	})
}

func TestNetnsRemove(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		dev, _, _, err := Create("kith0", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		netnstest.Sh(t, "ip link add kith1 type bridge; ip tuntap add dev kith2 mode tap; ip tuntap add dev kith3 mode tun; ip address add 100.80.0.1/16 dev kith3; ip link set kith3 up")
		for name, want := range map[string]error{
			"kith0": ErrInUse, "kith1": ErrNotTUN, "kith2": ErrNotTUN, "kith3": nil, "kith4": nil, "": ErrName,
		} {
			if err := Remove(name); !errors.Is(err, want) {
				t.Errorf("remove %q: got %v, want %v", name, err, want)
			}
		}
		out := netnstest.Sh(t, "ip -o link")
		for _, name := range []string{"kith0", "kith1", "kith2"} {
			if !strings.Contains(out, name) {
				t.Errorf("%s was removed", name)
			}
		}
		if strings.Contains(out, "kith3") {
			t.Error("the leftover is still there")
		}
	})
}

// TestNetnsCrash kills a process that holds a configured TUN: nothing is left.
func TestNetnsCrash(t *testing.T) {
	if os.Getenv("KITH_TEST_HOLD") != "" {
		if _, _, _, err := Create("kith0", 0); err != nil {
			t.Fatal(err)
		}
		netnstest.Sh(t, "ip address add 100.80.0.1/32 dev kith0; ip link set kith0 up; ip route add 100.80.0.0/16 dev kith0; ip -6 route add fd12::/48 dev kith0")
		os.Stdout.WriteString("ready\n")
		select {}
	}
	netnstest.Run(t, func(t *testing.T) {
		before := netnstest.Sh(t, "ip -o link; ip route show table all; ip rule")
		c := exec.Command(os.Args[0], "-test.run=^TestNetnsCrash$")
		c.Env = append(os.Environ(), "KITH_TEST_HOLD=1")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Errorf("the child did not start: %v", err)
		}
		c.Process.Kill()
		c.Wait()
		if after := netnstest.Sh(t, "ip -o link; ip route show table all; ip rule"); after != before {
			t.Errorf("something is left:\n%s\nbecame\n%s", before, after)
		}
	})
}

// TestNetnsNoTUN takes the device away, in a mount namespace, and then the
// rights, on the thread alone.
func TestNetnsNoTUN(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(unix.Unshare(unix.CLONE_NEWNS))
		must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		must(unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""))
		node := func(mode uint32, minor uint32) func() {
			return func() {
				os.Remove(cloneDevice)
				must(unix.Mknod(cloneDevice, unix.S_IFCHR|mode, int(unix.Mkdev(10, minor))))
				must(unix.Chmod(cloneDevice, mode))
			}
		}
		for _, c := range []struct {
			name string
			do   func()
			want error
		}{
			{"no device", func() {}, ErrNoTUN},
			{"no driver", node(0o600, 999), ErrNoTUN},
			{"all is well", node(0o600, 200), nil},
			{"no capability", func() {
				node(0o666, 200)()
				// Of the thread alone, which ends with the test.
				if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
					t.Fatal(errno)
				}
			}, ErrNoTUN},
		} {
			c.do()
			dev, _, _, err := Create("", 0)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
			if err == nil {
				dev.Close()
			}
		}
	})
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"kith0": true, "kith%d": true, "a.b-c_d": true, "utun7": true,
		".": false, "..": false, "a/b": false, "a b": false, "a%d%d": false, "%s": false, "a:1": false, "é": false, "abcdefghijklmnop": false,
	} {
		if _, _, err := prepare(name, 0); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
