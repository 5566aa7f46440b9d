package tuntest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/curve25519"
	"golang.zx2c4.com/wireguard/conn/bindtest"
	"golang.zx2c4.com/wireguard/device"
	wgtest "golang.zx2c4.com/wireguard/tun/tuntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func buffers(n int) ([][]byte, []int) {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, 2000)
	}
	return bufs, make([]int, n)
}

func TestBatches(t *testing.T) {
	u := New("kith0", 1420)
	for i := range 200 {
		u.Inject <- bytes.Repeat([]byte{byte(i)}, i+1)
	}
	u.Inject <- make([]byte, 1421)
	u.Inject <- make([]byte, 1420)
	bufs, sizes := buffers(u.BatchSize())
	for _, want := range []int{128, 73} {
		n, err := u.Read(bufs, sizes, 16)
		if err != nil || n != want {
			t.Fatalf("read %d packets, %v, want %d", n, err, want)
		}
	}
	if sizes[71] != 200 || bufs[71][16] != 199 || sizes[72] != 1420 || u.TooLarge() != 1 {
		t.Errorf("sizes %v, %d too large", sizes[70:73], u.TooLarge())
	}
	if n, err := u.Write(bufs[:3], 16); n != 3 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if p := <-u.Outbound; len(p) != 2000-16 {
		t.Errorf("got %d bytes", len(p))
	}
	if _, err := u.Write([][]byte{{1, 2}}, 16); err == nil {
		t.Error("wrote from beyond a buffer")
	}
}

func TestFullHostLosesPackets(t *testing.T) {
	u := New("kith0", 1420)
	bufs, _ := buffers(queue + 7)
	if n, err := u.Write(bufs, 0); n != len(bufs) || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	if u.Lost() != 7 || len(u.Outbound) != queue {
		t.Errorf("lost %d, kept %d", u.Lost(), len(u.Outbound))
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := New("kith0", 1420)
		ended := make(chan error)
		go func() {
			bufs, sizes := buffers(1)
			_, err := u.Read(bufs, sizes, 0)
			ended <- err
		}()
		synctest.Wait()
		for range 2 {
			if err := u.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("reading ended with %v", err)
		}
		if _, err := u.Write([][]byte{{1}}, 0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("writing ended with %v", err)
		}
		if _, open := <-u.Events(); open {
			t.Error("the events are not closed")
		}
		<-u.Closed()
	})
}

// TestWireGuardInBubble has two real devices exchange packets under a fake clock.
func TestWireGuardInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		binds := bindtest.NewChannelBinds()
		var tuns [2]*TUN
		var devices [2]*device.Device
		addrs := [2]netip.Addr{netip.MustParseAddr("100.80.0.1"), netip.MustParseAddr("100.80.0.2")}
		for i := range tuns {
			tuns[i] = New(fmt.Sprintf("kith%d", i), 1420)
			devices[i] = device.NewDevice(tuns[i], binds[i], device.NewLogger(device.LogLevelSilent, ""))
			defer devices[i].Close()
		}
		for i, d := range devices {
			private, peer := [32]byte{0: 8, 31: byte(64 + i)}, [32]byte{0: 8, 31: byte(65 - i)}
			public, err := curve25519.X25519(peer[:], curve25519.Basepoint)
			if err != nil {
				t.Fatal(err)
			}
			config := fmt.Sprintf("private_key=%s\nlisten_port=0\npublic_key=%s\nallowed_ip=%s/32\nendpoint=127.0.0.1:%d\n",
				hex.EncodeToString(private[:]), hex.EncodeToString(public), addrs[1-i], 1)
			if err := d.IpcSetOperation(strings.NewReader(config)); err != nil {
				t.Fatal(err)
			}
			if err := d.Up(); err != nil {
				t.Fatal(err)
			}
		}
		ping := wgtest.Ping(addrs[1], addrs[0])
		tuns[0].Inject <- ping
		select {
		case got := <-tuns[1].Outbound:
			if !bytes.Equal(got, ping) {
				t.Errorf("got %x, want %x", got, ping)
			}
		case <-time.After(10 * time.Second):
			t.Error("the packet did not arrive")
		}
	})
}
