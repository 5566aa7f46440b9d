package osconf

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settle     = 50 * time.Millisecond  // of quiet, so that no half-written file is read
	settleMost = 500 * time.Millisecond // however busy the writer is

	budgetMost = 10               // times to write ours again
	budgetGain = 10 * time.Minute // for each more: a lease renewed hourly is no fight
)

// budget bounds how often ours is written over another program's.
type budget struct {
	spent int
	since time.Time // when spent was last lowered
}

func (b *budget) spend() bool {
	now := time.Now()
	if b.spent == 0 {
		b.since = now
	}
	for b.spent > 0 && now.Sub(b.since) >= budgetGain {
		b.spent, b.since = b.spent-1, b.since.Add(budgetGain)
	}
	if b.spent >= budgetMost {
		return false
	}
	b.spent++
	return true
}

// watch follows the file by its directory, which sees it replaced, and by
// itself, which sees it written through a mount.
func (m *plain) watch() (stop func(), err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch resolv.conf: %w", err)
	}
	if err := w.Add(filepath.Dir(m.path)); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch resolv.conf: %w", err)
	}
	w.Add(m.path) // not there, or a link to nowhere: the directory tells when it is
	target := m.path
	if m.before.Kind == kindLink {
		target = m.target()
		w.Add(filepath.Dir(target)) // where the file's manager goes on writing
	}
	var wg sync.WaitGroup
	wg.Go(func() { m.follow(w, target) })
	return func() { w.Close(); wg.Wait() }, nil
}

func (m *plain) follow(w *fsnotify.Watcher, target string) {
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	defer settled.Stop()
	var first time.Time
	for {
		select {
		case ev, ok := <-w.Events:
			if !ok {
				return
			}
			if ev.Name != m.path && ev.Name != target || ev.Op == fsnotify.Chmod {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			settled.Reset(min(settle, settleMost-time.Since(first)))
		case _, ok := <-w.Errors: // events were lost: look
			if !ok {
				return
			}
			first = time.Now()
			settled.Reset(settle)
		case <-settled.C:
			if wait := settling(first, m.path, target); wait > 0 {
				settled.Reset(wait)
				continue
			}
			first = time.Time{}
			events := m.check()
			w.Add(m.path) // the file may be another one now
			for _, ev := range events {
				m.cfg.Log.Info("resolv.conf was changed", "kind", ev.Kind, "by", ev.By, "why", ev.Why)
				if m.cfg.Notify != nil {
					m.cfg.Notify(ev)
				}
			}
		}
	}
}

// settling says how long to wait yet for who writes files, since first: there may
// be word on its way of what is written at this moment. A file that is empty was
// likely cut, to be written next.
func settling(first time.Time, files ...string) (wait time.Duration) {
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil && fi.Mode().IsRegular() {
			quiet := settle
			if fi.Size() == 0 {
				quiet = settleMost
			}
			wait = max(wait, quiet-time.Since(fi.ModTime()))
		}
	}
	return min(wait, settle, settleMost-time.Since(first))
}

// watchDirs calls changed after something in dirs has changed and files have
// settled; those dirs that are not there are watched by the ones above them.
func watchDirs(dirs []string, files func() []string, changed func()) (stop func(), err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	add := func() {
		for _, d := range dirs {
			w.Add(d)
		}
	}
	add()
	var wg sync.WaitGroup
	wg.Go(func() {
		settled := time.NewTimer(time.Hour)
		settled.Stop()
		defer settled.Stop()
		var first time.Time
		for {
			select {
			case ev, ok := <-w.Events:
				if !ok {
					return
				}
				if ev.Op == fsnotify.Chmod {
					continue
				}
				if first.IsZero() {
					first = time.Now()
				}
				settled.Reset(min(settle, settleMost-time.Since(first)))
			case _, ok := <-w.Errors:
				if !ok {
					return
				}
				first = time.Now()
				settled.Reset(settle)
			case <-settled.C:
				if wait := settling(first, files()...); wait > 0 {
					settled.Reset(wait)
					continue
				}
				first = time.Time{}
				add()
				changed()
			}
		}
	})
	return func() { w.Close(); wg.Wait() }, nil
}
