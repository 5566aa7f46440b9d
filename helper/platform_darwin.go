package main

import "context"

func defaultStateDir() string { return "/Library/Application Support/Kith" }

// unit is for systemd alone.
const unit = ""

// Run serves in the foreground, which is all that launchd wants of a service.
func (c *runCmd) Run(ctx context.Context) error { return c.serve(ctx) }
