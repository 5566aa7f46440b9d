package main

import (
	"os"

	"github.com/kardianos/service"
)

// sysv is what kardianos/service falls back to where it knows nothing better.
// Its scripts would neither start kithd again nor clean up after it.
const sysv = "unix-systemv"

// managed tells whether a service manager runs that can look after kithd;
// sd_booted(3) for systemd, which may be installed and not run.
func managed() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil || service.Platform() != sysv
}
