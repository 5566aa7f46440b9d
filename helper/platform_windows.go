package main

import (
	"os"
	"path/filepath"
)

func defaultStateDir() string { return filepath.Join(os.Getenv("ProgramData"), "Kith") }

// unit is for systemd alone.
const unit = ""
