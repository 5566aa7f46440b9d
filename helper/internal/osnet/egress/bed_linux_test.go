package egress

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/osnet/bypass"
	"kith.internal/helper/internal/osnet/sysctl"
	"kith.internal/helper/internal/osnet/tun"
)

// envHelper has this test program be a helper: it makes the TUNs kith0 and kith1
// and sets the configurations that it reads, one a line.
const envHelper = "KITH_TEST_EGRESS"

func TestMain(m *testing.M) {
	if os.Getenv(envHelper) == "" {
		os.Exit(m.Run())
	}
	if err := help(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func help() error {
	for _, addr := range []string{"100.80.0.1/32", "100.81.0.1/32"} {
		dev, name, _, err := tun.Create("", 0)
		if err != nil {
			return err
		}
		v6 := strings.Replace(strings.Replace(addr, "100.", "fd12::", 1), ".0.1/32", "/128", 1)
		line := fmt.Sprintf("ip addr add %s dev %s; ip addr add %s dev %[2]s nodad; ip link set %[2]s up", addr, name, v6)
		if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		go func() { // what goes in is sealed and gone
			bufs, sizes := [][]byte{make([]byte, 1<<16)}, []int{0}
			for {
				if _, err := dev.Read(bufs, sizes, 10); err != nil {
					return
				}
			}
		}()
	}
	e, err := New(journal{path: os.Getenv(envHelper)})
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		var c Config
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return err
		}
		fmt.Println("set:", e.Set(c))
	}
	return nil
}

// journal is a sysctl.Journal that outlives its process.
type journal struct{ path string }

func (j journal) load() *sysctl.Memory {
	m := &sysctl.Memory{}
	b, _ := os.ReadFile(j.path)
	var list []sysctl.Entry
	json.Unmarshal(b, &list)
	for _, e := range list {
		m.Begin(e)
	}
	return m
}

func (j journal) save(m *sysctl.Memory) error {
	list, _ := m.Entries()
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return os.WriteFile(j.path, b, 0o600)
}

func (j journal) Begin(e sysctl.Entry) error {
	m := j.load()
	m.Begin(e)
	return j.save(m)
}

func (j journal) Done(key string) error {
	m := j.load()
	m.Done(key)
	return j.save(m)
}

func (j journal) Entries() ([]sysctl.Entry, error) { return j.load().Entries() }

// helper is such a process.
type helper struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func (w *world) start() *helper {
	t := w.t
	t.Helper()
	cmd := w.client.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envHelper+"="+w.journal.path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &helper{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(p.kill)
	p.expect("ready")
	return p
}

func (p *helper) expect(want string) {
	p.t.Helper()
	if !p.out.Scan() || p.out.Text() != want {
		p.t.Fatalf("the helper says %q, not %q", p.out.Text(), want)
	}
}

func (p *helper) set(c Config) {
	p.t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		p.t.Fatal(err)
	}
	p.expect("set: <nil>")
}

// kill is SIGKILL: `ip netns exec` became the helper.
func (p *helper) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// world is a client whose uplink leads over a router to a public host.
type world struct {
	t                      *testing.T
	bed                    *netnstest.Bed
	client, router, public *netnstest.Host
	lan                    *netnstest.LAN
	tap                    tap
	journal                journal
}

const (
	public4, public6 = "198.51.100.2", "2001:db8:2::2"
	router4, router6 = "192.168.1.1", "2001:db8:1::1"
	ownPort          = 40000 // of our own sockets, on the public host
)

func newWorld(t *testing.T) *world {
	b := netnstest.New(t)
	w := &world{t: t, bed: b, client: b.Host("client"), router: b.Host("router"), public: b.Host("public"), lan: b.LAN("lan"), journal: journal{filepath.Join(t.TempDir(), "journal")}}
	pub := b.LAN("pub")
	prefix := netip.MustParsePrefix
	w.client.Attach(w.lan, prefix("192.168.1.10/24"), prefix("2001:db8:1::10/64"))
	w.router.Attach(w.lan, prefix(router4+"/24"), prefix(router6+"/64"))
	w.router.Attach(pub, prefix("198.51.100.1/24"), prefix("2001:db8:2::1/64"))
	w.public.Attach(pub, prefix(public4+"/24"), prefix(public6+"/64"))
	w.router.Run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	w.sh(w.client, "ip route add default via "+router4+"; ip -6 route add default via "+router6)
	w.sh(w.public, "ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:2::1")
	w.tap = tap{w.router.Tap("lan")}
	return w
}

func (w *world) sh(h *netnstest.Host, line string) string {
	w.t.Helper()
	return h.Run("sh", "-ec", line)
}

func (w *world) exit() Config {
	prefix := netip.MustParsePrefix
	own := []Interface{
		{"kith0", w.index("kith0"), []netip.Prefix{prefix("100.80.0.0/16"), prefix("fd12::/48")}},
		{"kith1", w.index("kith1"), []netip.Prefix{prefix("100.81.0.0/16")}},
	}
	return Config{Own: own, Exit: true, TUN: "kith0", Index: own[0].Index, V4: true, V6: true, Block: true}
}

func (w *world) index(name string) int {
	for _, i := range w.client.Interfaces() {
		if i.Name == name {
			return i.Index
		}
	}
	w.t.Fatalf("no interface %s", name)
	return 0
}

// storm is all that programs send to the internet, to resolvers and to the LAN:
// plain, from a socket bound to the uplink, and bound to its address.
func (w *world) storm() {
	var fds []int
	w.client.Do(func() {
		for _, dst := range []string{public4, public6, router4, router6, "192.168.1.77", "192.168.1.255", "255.255.255.255", "224.0.0.251", "239.1.2.3", "ff02::fb", "ff0e::1234", "100.80.9.9", "fd12::99"} {
			for _, port := range []int{53, 853, 80, 443, 9999} {
				for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_STREAM} {
					for _, device := range []string{"", "lan"} {
						fds = append(fds, send(kind, netip.MustParseAddr(dst), port, device, netip.Addr{}))
					}
				}
			}
		}
		fds = append(fds, send(unix.SOCK_DGRAM, netip.MustParseAddr(public4), 9999, "", netip.MustParseAddr("192.168.1.10")),
			send(unix.SOCK_DGRAM, netip.MustParseAddr(public6), 9999, "", netip.MustParseAddr("2001:db8:1::10")))
	})
	w.sh(w.client, "ping -c1 -W1 "+public4+" & ping -c1 -W1 -I lan "+public4+" & ping -6 -c1 -W1 -I lan "+public6+" & wait || true")
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// send sends a little, whatever comes of it; connections are merely begun.
func send(kind int, dst netip.Addr, port int, device string, from netip.Addr) int {
	family, bare := unix.AF_INET, unix.Sockaddr(nil)
	sockaddr := func(a netip.Addr, port int) unix.Sockaddr {
		if a.Is4() {
			return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
		}
		return &unix.SockaddrInet6{Port: port, Addr: a.As16()}
	}
	if dst.Is6() {
		family = unix.AF_INET6
	}
	bare = sockaddr(dst, port)
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
	if device != "" {
		unix.BindToDevice(fd, device)
	}
	if from.IsValid() {
		unix.Bind(fd, sockaddr(from, 0))
	}
	unix.Connect(fd, bare)
	if kind == unix.SOCK_DGRAM {
		unix.Write(fd, []byte("in clear"))
	}
	return fd
}

// own tells whether our own sockets reach the public host and back.
func (w *world) own(network string) bool {
	addr := net.JoinHostPort(public4, fmt.Sprint(ownPort))
	if network == "udp6" {
		addr = net.JoinHostPort(public6, fmt.Sprint(ownPort))
	}
	ok := false
	w.client.Do(func() {
		d := net.Dialer{Control: bypass.Control}
		c, err := d.Dial(network, addr)
		if err != nil {
			w.t.Log(err)
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		c.Write([]byte("sealed"))
		_, err = c.Read(make([]byte, 10))
		ok = err == nil
	})
	return ok
}

// echo answers our own sockets at the public host.
func (w *world) echo() {
	for _, addr := range []string{public4, public6} {
		var c net.PacketConn
		var err error
		w.public.Do(func() { c, err = net.ListenPacket("udp", net.JoinHostPort(addr, fmt.Sprint(ownPort))) })
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 100)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				c.WriteTo(buf[:n], from)
			}
		}()
	}
}
