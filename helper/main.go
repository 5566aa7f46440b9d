// Command kithd is the helper service: it owns the network interfaces, the
// tunnels and the names, and does what it is asked over local IPC. Here is
// wiring only.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"kith.internal/ipc"
)

type cli struct {
	Run       runCmd       `cmd:"" help:"Run in the foreground; logs go to stderr."`
	Install   installCmd   `cmd:"" help:"Install as a system service."`
	Uninstall uninstallCmd `cmd:"" help:"Remove the system service and what it changed on this host; the networks' state stays."`
	Start     startCmd     `cmd:"" help:"Start the service."`
	Stop      stopCmd      `cmd:"" help:"Stop the service."`
	Status    statusCmd    `cmd:"" help:"Say whether the service runs."`
	Cleanup   cleanupCmd   `cmd:"" help:"Undo on this host what a crash left behind."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	parser, err := kong.New(&c, kong.Name("kithd"), kong.Description("Kith's helper service."),
		kong.Vars{"stateDir": defaultStateDir()})
	if err != nil {
		panic(err) // the grammar is wrong: a mistake of the program
	}
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "kithd: %v\nSee kithd --help.\n", err)
		os.Exit(ipc.ExitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "kithd:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	var e *ipc.Error
	if errors.As(err, &e) {
		return ipc.ExitCode(err)
	}
	return ipc.ExitFailed
}

type versionCmd struct{}

func (versionCmd) Run() error {
	fmt.Println("kithd", ipc.Build())
	return nil
}

func logger(to io.Writer, debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level}))
}
