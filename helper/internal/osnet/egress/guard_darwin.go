package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// macOS's own rules look into every anchor below com.apple, in the order of their
// names: no file of the system's has to change.
const (
	pfctl    = "/sbin/pfctl"
	pfAnchor = "com.apple/000.kith"
	pfHook   = `anchor "com.apple/*"`
)

var pfToken = regexp.MustCompile(`Token : ([0-9]+)`)

// runPF runs pfctl and returns all that it prints.
func runPF(rules string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, pfctl, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C"}
	cmd.Stdin = strings.NewReader(rules)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %.300s", pfctl, args[0], err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

func loadPF(rules string) error {
	_, err := runPF(rules, "-a", pfAnchor, "-f", "-")
	return err
}

// guard loads pf's rules. They outlive this process, as pf itself does: a
// reference to it that a killed process held falls at the next boot.
func (d *darwin) guard(c Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	rules := c.pf()
	if d.loaded != nil && *d.loaded == rules {
		return nil
	}
	was := d.loaded != nil && *d.loaded != ""
	d.loaded = nil
	if err := loadPF(rules); err != nil {
		return err
	}
	if rules == "" {
		if d.token != "" {
			if _, err := runPF("", "-X", d.token); err != nil {
				return err
			}
			d.token = ""
		}
		d.loaded = &rules
		return nil
	}
	if d.token == "" {
		out, err := runPF("", "-E")
		if err != nil {
			return err
		}
		if m := pfToken.FindStringSubmatch(out); m != nil {
			d.token = m[1]
		}
	}
	main, err := runPF("", "-s", "rules")
	if err != nil {
		return err
	}
	if !strings.Contains(main, pfHook) {
		return errors.New("the rules of pf on this Mac leave out what stands below com.apple")
	}
	if !was { // connections that other rules let pass earlier
		if _, err := runPF("", "-F", "states"); err != nil {
			return err
		}
	}
	d.loaded = &rules
	return nil
}
