// Command kith-app is the tray and, started on demand, the window. This
// package wires the app's packages together and is the only one that makes a
// Fyne app.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/text"
)

// version is set when a release is built.
var version = "dev"

// roles that a process of the app can have; one process a user each.
const (
	roleTray   = "tray"
	roleWindow = "window"
)

func main() { os.Exit(run(os.Args[1:])) }

// run picks what this process is: the window, or the tray, or one that hands
// its link to the tray that runs already.
func run(args []string) int {
	words := text.For(desktop.Locale())
	var window, background bool
	msg := desktop.Message{Verb: desktop.MsgOpen}
	for _, a := range args {
		switch {
		case a == "--window":
			window = true
		case a == "--background":
			background = true
		case a == "--version":
			fmt.Println("kith-app", version)
			return 0
		case strings.HasPrefix(a, "kith:") && msg.Link == "" && len(a) <= desktop.MaxLink:
			msg.Link = a
		default:
			fmt.Fprintln(os.Stderr, words.S("main.usage"))
			return 2
		}
	}
	if !desktop.HasDisplay() {
		fmt.Fprintln(os.Stderr, words.S("main.nodisplay"))
		return 1
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	dir, err := desktop.Dir()
	if err != nil {
		log.Error("cannot start", "err", err)
		return 1
	}
	if window {
		// The tray hands over by standard input: links are secrets and stay
		// out of argument lists.
		if m, err := desktop.ReadMessage(os.Stdin); err == nil {
			msg = m
		}
		return runWindow(dir, msg, words, log)
	}
	code := 0
	err = desktop.Reach(dir, roleTray, msg, func() (err error) {
		code, err = runTray(dir, msg, background, words, log)
		if errors.Is(err, desktop.ErrTaken) {
			code = 0
			if background {
				err = nil // nothing to hand over
			}
		}
		return err
	})
	if err != nil {
		log.Error("cannot start", "err", err)
		return 1
	}
	return code
}

// executable is this program's path, also after an update replaced it.
func executable() (string, error) {
	path, err := os.Executable()
	return strings.TrimSuffix(path, " (deleted)"), err
}
