package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

func defaultStateDir() string { return filepath.Join(os.Getenv("ProgramData"), "Kith") }

// serviceArgs is how the service manager starts kithd.
var serviceArgs = []string{"run", "--service"}

// ManagerFlags are what the service manager gives.
type ManagerFlags struct {
	Service bool `help:"Report to the service manager and log to the event log." hidden:""`
}

// unit is for systemd alone.
const unit = ""

// Run serves in the foreground, or as the service manager's: that one ends a
// process which does not report to it.
func (c *runCmd) Run(ctx context.Context) error {
	if !c.Service {
		return c.serve(ctx, os.Stderr)
	}
	events, err := eventlog.Open(serviceName)
	if err != nil {
		return fmt.Errorf("open the event log: %w", err)
	}
	defer events.Close()
	if err := svc.Run(serviceName, &scmHandler{ctx, c, eventWriter{events}}); err != nil {
		return fmt.Errorf("report to the service manager: %w", err)
	}
	return nil
}

// scmHandler serves under the service manager.
type scmHandler struct {
	ctx context.Context
	run *runCmd
	log eventWriter
}

// Execute reports until serving ends. An end that nobody asked for is a crash to
// the service manager, which starts kithd again.
func (m *scmHandler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	status <- svc.Status{State: svc.StartPending}
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- m.run.serve(ctx, m.log) }()
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case err := <-done:
			if err != nil {
				fmt.Fprintf(m.log, "level=ERROR kithd: %v", err)
				if ctx.Err() == nil {
					os.Exit(exitCode(err))
				}
			}
			return false, 0
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending}
				cancel()
			}
		}
	}
}

// eventWriter makes each line of the log an event.
type eventWriter struct{ log *eventlog.Log }

func (w eventWriter) Write(p []byte) (int, error) {
	write := w.log.Info
	switch {
	case bytes.Contains(p, []byte("level=ERROR")):
		write = w.log.Error
	case bytes.Contains(p, []byte("level=WARN")):
		write = w.log.Warning
	}
	if err := write(1, string(bytes.TrimSpace(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
