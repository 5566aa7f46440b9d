// Package nstest runs a test in a network namespace of its own, which ends
// with the test.
package nstest

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Run runs f on an OS thread in a new, empty network namespace. Children of
// the thread are in it, too; goroutines that f starts are not.
func Run(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Getenv("KITH_NETNS") == "0" {
		t.Skip("KITH_NETNS=0: the netns tier is switched off")
	}
	if os.Geteuid() != 0 {
		t.Fatal("the netns tier needs root: run the tests as root or with KITH_NETNS=0")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("make a network namespace: %v", err)
			return
		}
		f(t)
	}()
	<-done
}

// Sh runs a shell's command line in the namespace of the calling thread and
// gives what it prints. t.Fatal must not be called off the test's goroutine,
// so a failure is an error of the test and ends the calling goroutine.
func Sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
		runtime.Goexit()
	}
	return strings.TrimSpace(string(out))
}
