package live

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a Watcher that yields what it is sent.
type script chan client.Update

func (s script) Watch(ctx context.Context) iter.Seq[client.Update] {
	return func(yield func(client.Update) bool) {
		for {
			select {
			case u := <-s:
				if !yield(u) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func up(health ...ipc.Health) client.Update {
	return client.Update{Link: client.LinkUp, Helper: "1", Status: &ipc.Status{
		Schema: 1, Version: "1", State: ipc.StateRunning, Health: health, May: []ipc.Right{ipc.RightOperate},
		Networks: []ipc.Network{{Name: "home", Alias: "home", ID: "x", Active: true, Self: ipc.Self{Role: ipc.RoleOwner}}},
	}}
}

func down(code ipc.Code) client.Update {
	return client.Update{Link: client.LinkDown, Err: ipc.Errorf(code, "no")}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src, gl := make(script), make(chan bool)
		var mu sync.Mutex
		var said []string
		var last model.View
		c := text.English()
		go Run(ctx, Config{Watcher: src, App: "1", NoGL: gl, Show: func(v model.View) {
			mu.Lock()
			defer mu.Unlock()
			last = v
			said = append(said, c.Say(v.Title))
		}})
		want := func(titles ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(said, titles) {
				t.Errorf("shown %q, want %q", said, titles)
			}
			said = nil
		}
		want("Reaching the background service…")
		src <- client.Update{Link: client.LinkConnecting}
		want()
		src <- down(ipc.CodeUnreachable)
		want("Service not running")
		src <- up()
		want("Connected — no other devices yet")
		src <- up() // the same again
		want()
		src <- up(ipc.Health{Code: ipc.HealthNoNetwork, Severity: ipc.SeverityWarning})
		want("No network")
		src <- down(ipc.CodeUnreachable)
		want("Reaching the background service…")
		time.Sleep(model.Settle)
		want("Service not running")
		src <- down(ipc.CodePermission)
		want("Service does not answer this account")
		src <- client.Update{Link: client.LinkVersion, Helper: "2", Err: errors.New("x")}
		want("Update not finished")
		gl <- true
		want("Update not finished")
		if !last.NoGL {
			t.Error("missing OpenGL is not shown")
		}
		time.Sleep(24 * time.Hour) // nothing by itself
		want()
		cancel()
		synctest.Wait()
	})
}

func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		go Run(ctx, Config{Watcher: make(script), Again: time.Minute, Show: func(model.View) { n++ }})
		time.Sleep(10*time.Minute + time.Second)
		cancel()
		synctest.Wait()
		if n != 11 {
			t.Errorf("shown %d times", n)
		}
	})
}

// TestFlood: a flood of events costs a View a pause, and what is shown in the end
// is what is so.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src := make(script)
		n, last := 0, ""
		go Run(ctx, Config{Watcher: src, Pause: 100 * time.Millisecond, Show: func(v model.View) {
			if n++; v.Known {
				last = v.Nets[0].Name
			}
		}})
		for i := range 1000 {
			u := up()
			u.Status.Networks[0].Alias = fmt.Sprint("n", i)
			src <- u
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		cancel()
		synctest.Wait()
		if n < 5 || n > 12 || last != "n999" {
			t.Errorf("%d Views, the last of %s", n, last)
		}
	})
}
