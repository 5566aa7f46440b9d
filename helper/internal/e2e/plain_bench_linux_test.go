//go:build bench

package e2e

import (
	"bufio"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

var runFlags []string

// plainVariable makes this program plain wireguard-go: its value is the
// configuration of the device.
const plainVariable = "KITH_E2E_PLAIN_WIREGUARD"

const plainName, plainMTU = "plain0", 1420

// plainWireGuard runs a plain wireguard-go device on its standard bind until its
// standard input ends, where this process was started for that.
func plainWireGuard() bool {
	config := os.Getenv(plainVariable)
	if config == "" {
		return false
	}
	if err := servePlain(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func servePlain(config string) error {
	t, err := tun.CreateTUN(plainName, plainMTU)
	if err != nil {
		return err
	}
	d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, "plain: "))
	defer d.Close()
	if err := d.IpcSet(config); err != nil {
		return err
	}
	if err := d.Up(); err != nil {
		return err
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	return nil
}

// startPlain connects the hosts of a and b by plain wireguard-go, a process on
// each, whose ids it returns: 10.99.0.1 and 10.99.0.2.
func startPlain(t *testing.T, a, b *node) (pidA, pidB int) {
	t.Helper()
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		must(t, err)
		keys[i] = k
	}
	self, err := os.Executable()
	must(t, err)
	var pids [2]int
	for i, n := range []*node{a, b} {
		config := fmt.Sprintf("private_key=%x\nlisten_port=51820\npublic_key=%x\nendpoint=192.168.77.%d:51820\nallowed_ip=10.99.0.%d/32\n",
			keys[i].Bytes(), keys[1-i].PublicKey().Bytes(), 2-i, 2-i)
		cmd := n.host.Command(self)
		cmd.Env = append(os.Environ(), plainVariable+"="+config)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		pids[i] = cmd.Process.Pid
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		if line, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "ready" {
			t.Fatalf("plain wireguard-go: %q: %v", line, err)
		}
		n.host.Run("ip", "addr", "add", fmt.Sprintf("10.99.0.%d/24", i+1), "dev", plainName)
		n.host.Run("ip", "link", "set", plainName, "up")
	}
	return pids[0], pids[1]
}
