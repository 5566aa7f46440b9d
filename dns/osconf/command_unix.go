//go:build unix

package osconf

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// commandTimeout is for resolvconf, whose hooks restart other programs.
const commandTimeout = 10 * time.Second

// run starts the program at path, without a shell and with an environment of
// ours, and gives what it said.
func (c Config) run(stdin []byte, path string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if c.system.run != nil {
		return c.system.run(ctx, stdin, path, args...)
	}
	if c.Root != "" {
		return nil, os.ErrNotExist
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second // for what a hook leaves running with our pipe
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return out, err
}

// lastLine is the end of what a program said, fit for a log.
func lastLine(out []byte) string {
	line := string(bytes.TrimSpace(out))
	line = line[strings.LastIndexByte(line, '\n')+1:]
	return strings.ToValidUTF8(line[:min(len(line), 200)], "?")
}
