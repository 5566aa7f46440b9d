package transport

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestDialRefusesAnotherUsersServer needs root to make a server of another
// user's.
func TestDialRefusesAnotherUsersServer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to start a process as another user")
	}
	const nobody = 65534
	dir := openDir(t)
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "k.sock")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childSocket+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the other user's server: %q", line)
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrUntrusted) {
		t.Errorf("dial to another user's server: %v", err)
	}
	if c, err := Dial(t.Context(), path, strconv.Itoa(nobody)); err != nil {
		t.Errorf("dial to a server of a user that we trust: %v", err)
	} else {
		c.Close()
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("listen in another user's directory: %v", err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
