package netnstest

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Run runs f on an OS thread in a new, empty network namespace. Children of
// the thread are in it, too; goroutines that f starts are not. f may end the
// test: Run's caller has nothing left to do but to return.
func Run[T testing.TB](t T, f func(t T)) {
	t.Helper()
	needsRoot(t)
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
// gives what it prints. A command that fails ends the test.
func Sh(t testing.TB, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}
