package server

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

// logChan is a log whose messages a test can wait for.
type logChan chan string

func (l logChan) Enabled(context.Context, slog.Level) bool { return true }
func (l logChan) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l logChan) WithGroup(string) slog.Handler            { return l }
func (l logChan) Handle(_ context.Context, r slog.Record) error {
	select {
	case l <- r.Message:
	default:
	}
	return nil
}

func (l logChan) wait(t *testing.T, msg string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case got := <-l:
			if got == msg {
				return
			}
		case <-late:
			t.Fatalf("never logged: %s", msg)
		}
	}
}

func TestCounter(t *testing.T) {
	root := transport.Identity{UID: "0", Root: true}
	a, b, c := transport.Identity{UID: "1"}, transport.Identity{UID: "2"}, transport.Identity{UID: "3"}
	n := counter{max: 3, userMax: 2}
	steps := []struct {
		id   transport.Identity
		want bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}, {c, false}, {root, true}, {root, true}, {root, false}}
	for i, s := range steps {
		if got := n.take(s.id); got != s.want {
			t.Fatalf("step %d: %v for %s", i, got, s.id.UID)
		}
	}
	n.give(a)
	if !n.take(c) {
		t.Error("a place that was given back is gone")
	}
	for _, id := range []transport.Identity{a, b, c, root, root} {
		n.give(id)
	}
	if n.total != 0 || len(n.users) != 0 {
		t.Errorf("not even at the end: %d, %v", n.total, n.users)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := New(Config{Source: NewBoard(&ipc.Status{}), Authorizer: policy{}, Limits: Limits{UserConns: 2}})
	path := serve(t, s)
	req := request("GET /v1/status", "Host: kith\r\n", "")
	first := dialRaw(t, path)
	second := dialRaw(t, path)
	one := make([]byte, 1)
	for _, c := range []io.ReadWriter{first, second} { // both are accepted by now
		io.WriteString(c, req)
		if _, err := c.Read(one); err != nil {
			t.Fatal(err)
		}
	}
	third := dialRaw(t, path)
	time.Sleep(10 * time.Millisecond) // refused before it asks, it can still ask
	if _, err := io.WriteString(third, req); err != nil {
		t.Errorf("the third could not ask: %v", err)
	}
	if status, code := outcome(third); status != 503 || code != "busy" {
		t.Errorf("the third got %d %s", status, code)
	}
	first.Close()
	// The server sees the end in its own time.
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(time.Millisecond) {
		if status, code := raw(t, path, req); status == 200 {
			return
		} else if code != "busy" {
			t.Fatalf("got %d %s", status, code)
		}
	}
	t.Error("a place that was given back is gone")
}

func TestWatchersAreBounded(t *testing.T) {
	logged := make(logChan, 64)
	s := New(Config{Source: NewBoard(&ipc.Status{}), Authorizer: policy{}, Log: slog.New(logged), Limits: Limits{UserWatchers: 1}})
	path := serve(t, s)
	req := request("GET /v1/watch", "Host: kith\r\nKith-Protocol: 1\r\n", "")
	first := dialRaw(t, path)
	io.WriteString(first, req)
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if status, code := raw(t, path, req); status != 503 || code != "busy" {
		t.Errorf("the second got %d %s", status, code)
	}
	first.Close()
	logged.wait(t, "a watcher left")
}

func TestSlowReaderIsDisconnected(t *testing.T) {
	logged := make(logChan, 64)
	big := func(state ipc.State) *ipc.Status {
		h := make([]ipc.Health, 2000)
		for i := range h {
			h[i].Text = strings.Repeat("x", 1000) + string(state)
		}
		return &ipc.Status{State: state, Health: h}
	}
	b := NewBoard(big(ipc.StateRunning))
	s := New(Config{
		Source: b, Authorizer: policy{}, Log: slog.New(logged),
		Limits: Limits{Write: 50 * time.Millisecond, Gap: time.Millisecond},
	})
	path := serve(t, s)
	c := dialRaw(t, path)
	io.WriteString(c, request("GET /v1/watch", "Host: kith\r\nKith-Protocol: 1\r\n", ""))
	b.Publish(big(ipc.StateOff)) // more than a socket's buffer holds
	logged.wait(t, "a watcher left")
	rest, _ := io.ReadAll(c)
	if strings.HasSuffix(string(rest), "0\r\n\r\n") {
		t.Error("the stream looks as if it had ended well")
	}
}
