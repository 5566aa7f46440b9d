package authz_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/helper/internal/authz"
	"kith.internal/ipc"
	"kith.internal/ipc/client"
	"kith.internal/ipc/server"
	"kith.internal/ipc/transport"
)

const (
	childSocket = "KITH_TEST_SOCKET" // makes the test's binary ask there and print what it was told
	nobody      = 65534
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childSocket); path != "" {
		if err := json.NewEncoder(os.Stdout).Encode(ask(path)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// told is what a caller was told.
type told struct {
	UID     int
	Status  ipc.Status
	Watched ipc.Status
	Codes   map[string]ipc.Code
}

func ask(path string) told {
	ctx := context.Background()
	c := client.New(client.Options{Socket: path})
	defer c.Close()
	t := told{UID: os.Getuid(), Codes: map[string]ipc.Code{}}
	var err error
	t.Status, err = c.Status(ctx)
	t.Codes["status"] = ipc.CodeOf(err)
	_, err = c.Down(ctx, "")
	t.Codes["down"] = ipc.CodeOf(err)
	_, err = c.DeviceList(ctx, "")
	t.Codes["device/list"] = ipc.CodeOf(err)
	_, err = c.OperatorAdd(ctx, "nobody")
	t.Codes["operator/add"] = ipc.CodeOf(err)
	_, err = c.Preview(ctx, "kith://join/AAAA")
	t.Codes["preview"] = ipc.CodeOf(err)
	for u := range c.Watch(ctx) {
		if u.Link == client.LinkUp {
			t.Watched = *u.Status
			break
		}
		if u.Err != nil {
			t.Codes["watch"] = ipc.CodeOf(u.Err)
			break
		}
	}
	return t
}

type operators struct{ list atomic.Pointer[[]string] }

func (o *operators) Operators() ([]string, error) {
	if l := o.list.Load(); l != nil {
		return *l, nil
	}
	return nil, nil
}

// TestAnotherUser has a process of another user's ask a helper of root's over a
// real socket.
func TestAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to start a process as another user")
	}
	ep := netip.MustParseAddrPort("203.0.113.7:41641")
	rx := uint64(424242)
	board := server.NewBoard(&ipc.Status{State: ipc.StateRunning, Networks: []ipc.Network{{
		ID: "1", Name: "home", Alias: "home", Shares: []ipc.Share{{ID: "s"}},
		Peers: []ipc.Peer{{Name: "nas", Key: "k", Online: true, Endpoint: &ep, RxBytes: &rx}},
	}}})
	ops := &operators{}
	s := server.New(server.Config{Version: "1", Source: board, Authorizer: authz.New(authz.Config{Operators: ops})})
	server.Handle(s, ipc.VerbDown, func(context.Context, server.Caller, ipc.NetworkRequest) (ipc.Status, error) {
		return ipc.Status{}, nil
	})
	server.Handle(s, ipc.VerbDeviceList, func(context.Context, server.Caller, ipc.NetworkRequest) (ipc.DeviceList, error) {
		return ipc.DeviceList{}, nil
	})
	server.Handle(s, ipc.VerbOperatorAdd, func(context.Context, server.Caller, ipc.OperatorRequest) (ipc.OperatorList, error) {
		return ipc.OperatorList{}, nil
	})
	server.Handle(s, ipc.VerbPreview, func(context.Context, server.Caller, ipc.LinkRequest) (ipc.Preview, error) {
		return ipc.Preview{}, nil
	})
	path := start(t, s)

	const no = ipc.CodePermission
	tests := []struct {
		name  string
		uid   uint32
		ops   []string
		codes map[string]ipc.Code
		may   []ipc.Right
		sees  bool // endpoints, traffic, shares
	}{
		{
			"nobody", nobody, nil,
			map[string]ipc.Code{"status": "", "preview": "", "down": no, "device/list": no, "operator/add": no}, []ipc.Right{}, false,
		},
		{
			"nobody, named", nobody, []string{"65534"},
			map[string]ipc.Code{"status": "", "preview": "", "down": "", "device/list": "", "operator/add": no}, []ipc.Right{ipc.RightOperate}, true,
		},
		{
			"root", 0, nil,
			map[string]ipc.Code{"status": "", "preview": "", "down": "", "device/list": "", "operator/add": ""},
			[]ipc.Right{ipc.RightOperate, ipc.RightMachine}, true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ops.list.Store(&tt.ops)
			got, raw := askAs(t, tt.uid, path)
			if d := cmp.Diff(tt.codes, got.Codes); d != "" {
				t.Errorf("codes (-want +got):\n%s", d)
			}
			for name, st := range map[string]ipc.Status{"status": got.Status, "watch": got.Watched} {
				if d := cmp.Diff(tt.may, st.May); d != "" {
					t.Errorf("%s: rights (-want +got):\n%s", name, d)
				}
				if len(st.Networks) != 1 || len(st.Networks[0].Peers) != 1 || !st.Networks[0].Peers[0].Online {
					t.Fatalf("%s: sees %+v", name, st)
				}
				n := st.Networks[0]
				if n.Peers[0].Endpoint != nil != tt.sees || n.Peers[0].RxBytes != nil != tt.sees || len(n.Shares) > 0 != tt.sees {
					t.Errorf("%s: sees %+v", name, n)
				}
			}
			if strings.Contains(raw, "203.0.113") != tt.sees {
				t.Errorf("told: %s", raw)
			}
		})
	}
}

func start(t *testing.T, s *server.Server) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "run", "k.sock")
	ln, err := transport.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func askAs(t *testing.T, uid uint32, socket string) (told, string) {
	t.Helper()
	var out, msg bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childSocket+"="+socket)
	cmd.Stdout, cmd.Stderr = &out, &msg
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := cmd.Run(); err != nil {
		t.Fatalf("the child: %v, %s", err, msg.String())
	}
	var got told
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.UID != int(uid) {
		t.Fatalf("the child ran as %d", got.UID)
	}
	return got, out.String()
}
