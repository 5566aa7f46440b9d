package client_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"kith.internal/ipc"
	"kith.internal/ipc/client"
	"kith.internal/ipc/server"
	"kith.internal/ipc/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// allowAll lets everyone do everything.
type allowAll struct{}

func (allowAll) Authorize(transport.Identity, ipc.Verb) error { return nil }
func (allowAll) Rights(transport.Identity) []ipc.Right {
	return []ipc.Right{ipc.RightOperate}
}

// start serves s on a socket of its own and returns a client and a stop.
func start(t *testing.T, path string, s *server.Server) (*client.Client, func()) {
	t.Helper()
	ln, err := transport.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	c := client.New(client.Options{Socket: path})
	stop := func() {
		cancel()
		c.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return c, stop
}

func TestVerbs(t *testing.T) {
	board := server.NewBoard(&ipc.Status{State: ipc.StateRunning})
	s := server.New(server.Config{Version: "1.2.3", Source: board, Authorizer: allowAll{}})
	server.Handle(s, ipc.VerbCreate, func(_ context.Context, _ server.Caller, r ipc.CreateRequest) (ipc.CreateAnswer, error) {
		if r.Name == "taken" {
			return ipc.CreateAnswer{}, ipc.Errorf(ipc.CodeNameTaken, "taken")
		}
		return ipc.CreateAnswer{Network: ipc.Network{Name: r.Name}}, nil
	})
	server.HandleStream(s, ipc.VerbPing, func(_ context.Context, _ server.Caller, r ipc.PingRequest, send func(ipc.PingReply) error) error {
		for i := range r.Count {
			if err := send(ipc.PingReply{Seq: i + 1, Name: r.Host}); err != nil {
				return err
			}
		}
		return ipc.Errorf(ipc.CodeNotConnected, "no answer")
	})
	c, stop := start(t, filepath.Join(t.TempDir(), "k.sock"), s)
	defer stop()

	v, err := c.Version(t.Context())
	if err != nil || v != (ipc.VersionAnswer{Protocol: ipc.Version, Version: "1.2.3"}) {
		t.Errorf("version: %+v, %v", v, err)
	}
	st, err := c.Status(t.Context())
	want := ipc.Status{
		Schema: 1, State: ipc.StateRunning, Networks: []ipc.Network{}, Joining: []ipc.Joining{}, Health: []ipc.Health{},
		Nearby: ipc.Nearby{Open: []ipc.NearbyOpen{}, Networks: []ipc.NearbyNetwork{}, Asking: []ipc.NearbyAsking{}},
		May:    []ipc.Right{ipc.RightOperate},
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, st); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
	if _, err := c.Create(t.Context(), ipc.CreateRequest{Name: "taken"}); ipc.CodeOf(err) != ipc.CodeNameTaken {
		t.Errorf("create of a taken name: %v", err)
	}
	if a, err := c.Create(t.Context(), ipc.CreateRequest{Name: "home"}); err != nil || a.Network.Name != "home" || a.Schema != 1 {
		t.Errorf("create: %+v, %v", a, err)
	}
	var seqs []int
	err = c.Ping(t.Context(), ipc.PingRequest{Host: "nas", Count: 3}, func(r ipc.PingReply) error {
		seqs = append(seqs, r.Seq)
		return nil
	})
	if ipc.CodeOf(err) != ipc.CodeNotConnected || !cmp.Equal(seqs, []int{1, 2, 3}) {
		t.Errorf("ping: %v, %v", seqs, err)
	}
	stopEarly := errors.New("enough")
	err = c.Ping(t.Context(), ipc.PingRequest{Host: "nas", Count: 3}, func(ipc.PingReply) error { return stopEarly })
	if !errors.Is(err, stopEarly) {
		t.Errorf("a ping that its reader ends: %v", err)
	}
	if _, err := c.Diag(t.Context(), ""); ipc.CodeOf(err) != ipc.CodeUsage {
		t.Errorf("a verb that the helper lacks: %v", err)
	}
}

func TestWatchReconnects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.sock")
	board := server.NewBoard(&ipc.Status{State: ipc.StateStarting})
	srv := func() *server.Server {
		return server.New(server.Config{Version: "1", Source: board, Authorizer: allowAll{}})
	}
	c, stop := start(t, path, srv())
	var links []client.Link
	var states []ipc.State
	step := 0
	for u := range c.Watch(t.Context()) {
		links = append(links, u.Link)
		if u.Status != nil {
			states = append(states, u.Status.State)
		}
		step++
		switch step {
		case 2:
			board.Publish(&ipc.Status{State: ipc.StateRunning, Networks: []ipc.Network{{ID: "1", Peers: []ipc.Peer{{Key: "a"}}}}})
		case 3:
			if len(u.Status.Networks) != 1 {
				t.Errorf("the delta brought no network: %+v", u.Status)
			}
			stop()
		case 4:
			if ipc.CodeOf(u.Err) != ipc.CodeUnreachable {
				t.Errorf("down because of %v", u.Err)
			}
			_, stop = start(t, path, srv())
		}
		if step == 5 {
			break
		}
	}
	c.Close()
	stop()
	wantLinks := []client.Link{client.LinkConnecting, client.LinkUp, client.LinkUp, client.LinkDown, client.LinkUp}
	if d := cmp.Diff(wantLinks, links); d != "" {
		t.Errorf("links (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]ipc.State{ipc.StateStarting, ipc.StateRunning, ipc.StateRunning}, states); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
}
