//go:build bench

package usernat

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/osnet/sysctl"
)

// envDevice makes this program plain wireguard-go on a TUN that can be parted:
// its value is the device's configuration. Words on standard input say how it
// passes on.
const envDevice = "KITH_BENCH_DEVICE"

func TestMain(m *testing.M) {
	config := os.Getenv(envDevice)
	if config == "" {
		os.Exit(m.Run())
	}
	if err := serve(config); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func serve(config string) error {
	t, err := tun.CreateTUN("kith0", 1420)
	if err != nil {
		return err
	}
	parted := Wrap(t)
	d := device.NewDevice(parted, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	if err := d.IpcSet(config); err != nil {
		return err
	}
	if err := d.Up(); err != nil {
		return err
	}
	ifi, err := net.InterfaceByName("kith0")
	if err != nil {
		return err
	}
	kernel, err := nat.New(&sysctl.Memory{})
	if err != nil {
		return err
	}
	offer := nat.Offer{TUN: "kith0", Index: ifi.Index, Sources: prefixes("10.99.0.0/24"), Exit: true, ExitLAN: true}
	user, err := New(Config{MTU: 1420})
	if err != nil {
		return err
	}
	user.Set(offer)
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); fmt.Println("ready") {
		parted.Use(nil, offer.Sources[0])
		kernel.Set(nat.Config{})
		switch in.Text() {
		case "kernel NAT":
			if err := kernel.Set(nat.Config{Offers: []nat.Offer{offer}}); err != nil {
				return err
			}
		case "userspace NAT":
			parted.Use(user, offer.Sources[0])
		case "plain forwarding":
			if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// startDevice runs such a device on a host; the answer tells it how to pass on.
func startDevice(t *testing.T, h *netnstest.Host, config, addr string) func(how string) {
	t.Helper()
	cmd := h.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDevice+"="+config)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	r := bufio.NewReader(out)
	ready := func() {
		t.Helper()
		if line, err := r.ReadString('\n'); strings.TrimSpace(line) != "ready" {
			t.Fatalf("the device says %q: %v", line, err)
		}
	}
	ready()
	h.Run("ip", "addr", "add", addr, "dev", "kith0")
	h.Run("ip", "link", "set", "kith0", "up")
	return func(how string) {
		t.Helper()
		io.WriteString(in, how+"\n")
		ready()
	}
}

// TestBenchNAT runs iperf3 from a member over WireGuard to a public host behind
// an exit that passes on in three ways, in turns.
func TestBenchNAT(t *testing.T) {
	const rounds, seconds = 5, 4
	b := netnstest.New(t)
	wan, pub := b.LAN("wan", netnstest.WireLike), b.LAN("pub", netnstest.WireLike)
	member, exit, public := b.Host("member"), b.Host("exit"), b.Host("public")
	member.Attach(wan, prefixes("203.0.113.1/24")...)
	exit.Attach(wan, prefixes("203.0.113.2/24")...)
	exit.Attach(pub, prefixes("198.51.100.1/24")...)
	public.Attach(pub, prefixes("198.51.100.2/24")...)
	public.Run("ip", "route", "add", "10.99.0.0/24", "via", "198.51.100.1") // for what is not translated

	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	const format = "private_key=%x\nlisten_port=51820\npublic_key=%x\nendpoint=203.0.113.%d:51820\nallowed_ip=%s\n"
	startDevice(t, member, fmt.Sprintf(format, keys[0].Bytes(), keys[1].PublicKey().Bytes(), 2, "0.0.0.0/0"), "10.99.0.1/24")
	pass := startDevice(t, exit, fmt.Sprintf(format, keys[1].Bytes(), keys[0].PublicKey().Bytes(), 1, "10.99.0.1/32"), "10.99.0.2/24")
	member.Run("ip", "route", "add", "198.51.100.0/24", "dev", "kith0")
	server := public.Command("iperf3", "-s")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })

	ways := []string{"plain forwarding", "kernel NAT", "userspace NAT"}
	up, down := map[string][]float64{}, map[string][]float64{}
	for round := range rounds {
		for i := range ways {
			way := ways[(i+round)%len(ways)]
			pass(way)
			up[way] = append(up[way], iperf(t, member, "-t", fmt.Sprint(seconds)))
			down[way] = append(down[way], iperf(t, member, "-t", fmt.Sprint(seconds), "-R"))
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "iperf3, Gbit/s\tup, median\tleast\tmost\tof plain\tdown, median\tleast\tmost\tof plain")
	for _, way := range ways {
		fmt.Fprint(w, way)
		for _, rates := range []map[string][]float64{up, down} {
			r := rates[way]
			fmt.Fprintf(w, "\t%.3f\t%.3f\t%.3f\t%.0f %%", middle(r)/1e9, slices.Min(r)/1e9, slices.Max(r)/1e9, 100*middle(r)/middle(rates[ways[0]]))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}

func middle(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// iperf gives bits a second.
func iperf(t *testing.T, h *netnstest.Host, flags ...string) float64 {
	t.Helper()
	var last string
	for range 5 { // the server is busy for a moment after a client
		out, err := h.Command("iperf3", append([]string{"-J", "-c", "198.51.100.2"}, flags...)...).Output()
		var r struct {
			End struct {
				Received struct {
					Rate float64 `json:"bits_per_second"`
				} `json:"sum_received"`
			} `json:"end"`
		}
		if err == nil && json.Unmarshal(out, &r) == nil && r.End.Received.Rate > 0 {
			return r.End.Received.Rate
		}
		last = string(out)
		<-time.After(300 * time.Millisecond)
	}
	t.Fatalf("iperf3: %s", last)
	return 0
}
