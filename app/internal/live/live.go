// Package live keeps a View up to date: it follows the helper and the clock
// and shows each View that differs from the last. It holds no words and no
// toolkit.
package live

import (
	"context"
	"iter"
	"time"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

// Watcher is the part of the ipc client that live needs.
type Watcher interface {
	Watch(ctx context.Context) iter.Seq[client.Update]
}

// Config says what to follow and whom to show.
type Config struct {
	Watcher Watcher
	App     string // this build's version
	Menu    bool   // the Views are for a menu: without devices but exit nodes
	// Show is called with each View that differs, from one goroutine.
	Show func(model.View)
	// Again shows the same View again that often, for texts such as "3 min
	// ago"; 0: never.
	Again time.Duration
	// Pause is how long after a View the next may come: a helper that floods
	// its clients with events costs no more than so many Views. 0: none.
	Pause time.Duration
	// NoGL tells that the window failed for want of OpenGL, or no longer.
	NoGL <-chan bool
}

// Run follows the helper until ctx ends.
func Run(ctx context.Context, cfg Config) {
	updates := make(chan client.Update)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		for u := range cfg.Watcher.Watch(ctx) {
			select {
			case updates <- u:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { cancel(); <-done }()

	var again <-chan time.Time
	if cfg.Again > 0 {
		t := time.NewTicker(cfg.Again)
		defer t.Stop()
		again = t.C
	}
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	s := model.New(cfg.App)
	if cfg.Menu {
		s = s.ForMenu()
	}
	var shown *model.View
	var made time.Time // when the last View was
	for {
		force := false
		select {
		case u := <-updates:
			s = take(s, u)
		case no := <-cfg.NoGL:
			s = s.SetNoGL(no)
		case <-alarm.C:
		case <-again:
			force = true
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if soon := cfg.Pause - now.Sub(made); soon > 0 && !force && shown != nil {
			alarm.Reset(soon)
			continue
		}
		made = now
		v := s.View(now)
		if !v.Next.IsZero() {
			alarm.Reset(v.Next.Sub(now))
		} else {
			alarm.Stop()
		}
		if shown == nil || force || !v.Equal(*shown) {
			shown = &v
			cfg.Show(v)
		}
	}
}

// take turns a client's update into the model's terms.
func take(s model.State, u client.Update) model.State {
	now := time.Now()
	switch u.Link {
	case client.LinkUp:
		return s.SetLink(model.LinkUp, u.Helper, now).Take(*u.Status)
	case client.LinkVersion:
		return s.SetLink(model.LinkVersions, u.Helper, now)
	case client.LinkDown:
		if ipc.CodeOf(u.Err) == ipc.CodePermission {
			return s.SetLink(model.LinkRefused, u.Helper, now)
		}
		return s.SetLink(model.LinkAbsent, u.Helper, now)
	}
	return s.SetLink(model.LinkReaching, u.Helper, now)
}
