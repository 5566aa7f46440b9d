package ui

import (
	"context"
	"sync"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"go.uber.org/goleak"

	"kith.internal/ipc"
)

// slowHelper answers once its caller gives up.
type slowHelper struct {
	*fake
	begun sync.WaitGroup
}

func (h *slowHelper) wait(ctx context.Context) error {
	h.begun.Done()
	<-ctx.Done()
	return ctx.Err()
}

func (h *slowHelper) Ping(ctx context.Context, _ ipc.PingRequest, _ func(ipc.PingReply) error) error {
	return h.wait(ctx)
}

func (h *slowHelper) NearbyJoin(ctx context.Context, _ ipc.NearbyJoinRequest) (ipc.NetworkAnswer, error) {
	return ipc.NetworkAnswer{}, h.wait(ctx)
}

func (h *slowHelper) ExitOff(ctx context.Context, _ string) (ipc.ExitAnswer, error) {
	return ipc.ExitAnswer{}, h.wait(ctx)
}

// TestNothingRunsAfterClose: what was under way ends with the window, and no
// goroutine of it is left.
func TestNothingRunsAfterClose(t *testing.T) {
	b := newBench(t)
	st := sample()
	st.Nearby.Networks = []ipc.NearbyNetwork{{ID: "n1", Name: "work", By: "desk", Until: t0.Add(8 * time.Minute)}}
	b.take(st)
	for _, page := range pageNames {
		b.Open(page)
	}
	before := goleak.IgnoreCurrent()
	h := &slowHelper{fake: b.fake}
	h.begun.Add(3)
	b.env.Helper, b.env.Go = h, func(f func()) { go f() }
	b.env.Do = func(func()) {} // Fyne's goroutine has ended
	b.Open("devices")
	b.devices().list.Select(0)
	b.click("Ping")
	b.Open("exits")
	b.click("Turn off")
	b.copy("nas") // words in the corner, for seconds
	b.Open("networks")
	b.click("Ask to join")
	b.near.device.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	h.begun.Wait()
	b.Close()
	b.near.dlg.Hide()
	goleak.VerifyNone(t, before)
}
