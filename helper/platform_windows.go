package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows/svc"
)

func defaultStateDir() string { return filepath.Join(os.Getenv("ProgramData"), "Kith") }

// unit is for systemd alone.
const unit = ""

// Run serves in the foreground, or as the service manager's: that one ends a
// process which does not report to it.
func (c *runCmd) Run(ctx context.Context) error {
	managed, err := svc.IsWindowsService()
	if err != nil {
		return fmt.Errorf("ask whether this is a service: %w", err)
	}
	if !managed {
		return c.serve(ctx)
	}
	s, err := newService(&program{run: c})
	if err != nil {
		return err
	}
	return s.Run()
}
