// Command kith is the helper's command line. It holds no state and needs no
// privilege: the helper decides. Data goes to standard output, messages to
// standard error, secrets never through arguments. It must not import Fyne.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], system())
	stop()
	os.Exit(code)
}

// env is what the program sees of the world.
type env struct {
	in       io.Reader
	out, err io.Writer
	inTTY    bool // a person can be asked
	errTTY   bool // a person reads the messages
	secret   func(ctx context.Context) (string, error)
	now      func() time.Time
	login    func() string // the caller's login name, for advice
}

// app is one call of the program.
type app struct {
	env
	*cli
	ctx    context.Context
	client *client.Client
	kong   *kong.Kong
}

// exited carries an exit code out of kong, which ends the program for --help.
type exited int

func run(ctx context.Context, args []string, e env) (code int) {
	var c cli
	defer func() {
		if p := recover(); p != nil {
			x, ok := p.(exited)
			if !ok {
				panic(p)
			}
			code = int(x)
		}
	}()
	k, err := kong.New(&c,
		kong.Name("kith"),
		kong.Description("Kith connects your devices and your friends' without a server that anyone has to trust."),
		kong.Writers(e.out, e.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"links": linkHelp, "shares": shareHelp},
	)
	if err != nil {
		panic(err) // the grammar is wrong: a mistake of the program
	}
	a := &app{env: e, cli: &c, ctx: ctx, kong: k}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := k.Parse(tagsLast(args))
	if err != nil {
		return a.report(usage(err))
	}
	a.client = client.New(client.Options{Socket: c.Socket})
	defer a.client.Close()
	return a.report(kctx.Run(a))
}

func usage(err error) error {
	return ipc.Errorf(ipc.CodeUsage, "%w", err)
}

// report tells what went wrong and what to do, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return ipc.ExitOK
	}
	var quiet silent
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	if errors.Is(err, context.Canceled) {
		a.note("kith: interrupted")
		return ipc.ExitFailed
	}
	a.complain(err)
	return ipc.ExitCode(err)
}

// silent is an exit code whose reason was told already.
type silent int

func (silent) Error() string { return "" }
