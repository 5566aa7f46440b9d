package main

import (
	"context"
	"os"
)

func defaultStateDir() string { return "/Library/Application Support/Kith" }

// serviceArgs is how the service manager starts kithd.
var serviceArgs = []string{"run"}

// ManagerFlags has nothing: launchd takes a program as it is.
type ManagerFlags struct{}

// unit is for systemd alone.
const unit = ""

// Run serves in the foreground, which is all that launchd wants of a service.
func (c *runCmd) Run(ctx context.Context) error { return c.serve(ctx, os.Stderr) }
