//go:build gui

package main

import (
	"context"
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/text"
)

// TestKeeperLosesNothing: links that are clicked while the window starts, and
// while it ends, are shown.
func TestKeeperLosesNothing(t *testing.T) {
	link := func(l string) desktop.Message { return desktop.Message{Verb: desktop.MsgOpen, Link: l} }
	var started []desktop.Message
	k := &keeper{dir: t.TempDir(), words: text.English(), log: slog.New(slog.DiscardHandler), noGL: make(chan bool, 1)}
	k.start = func(m desktop.Message) error {
		started = append(started, m)
		k.window, k.shown = &exec.Cmd{}, false
		return nil
	}
	got := make(chan desktop.Message, 16)
	in, err := desktop.Claim(k.dir, roleWindow, func(m desktop.Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	take := func(want ...desktop.Message) {
		t.Helper()
		for _, w := range want {
			select {
			case m := <-got:
				if d := cmp.Diff(w, m); d != "" {
					t.Error(d)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("the window is not told of %+v", w)
			}
		}
	}
	page := desktop.Message{Verb: desktop.MsgOpen, Page: "exits"}

	k.open(link("kith://join/a"))
	k.open(link("kith://join/b"))
	k.open(page)
	k.open(desktop.Message{}) // a click on the icon
	k.message(desktop.Message{Verb: desktop.MsgShown})
	take(link("kith://join/b"), page)
	k.message(desktop.Message{Verb: desktop.MsgShown})

	k.open(link("kith://join/c"))
	take(link("kith://join/c")) // and it ends before it has done so
	k.gone(nil, "")
	if d := cmp.Diff([]desktop.Message{link("kith://join/a"), link("kith://join/c")}, started); d != "" {
		t.Error(d)
	}
	k.message(desktop.Message{Verb: desktop.MsgShown})
	k.open(page)
	k.message(desktop.Message{Verb: desktop.MsgShown})
	k.gone(nil, "")
	if len(started) != 2 || k.window != nil {
		t.Errorf("a window that was closed comes back: %+v", started)
	}
}

// TestInTurn: what the window tells comes in the order in which it was told.
func TestInTurn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan int, turns)
	later, done := inTurn(ctx)
	for i := range turns {
		later(func() { got <- i })
	}
	for i := range turns {
		if at := <-got; at != i {
			t.Fatalf("%d came at the place of %d", at, i)
		}
	}
	cancel()
	<-done
}
