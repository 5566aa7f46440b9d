package desktop

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// AllowAction is the one thing that polkit is asked for: adding the caller to
// the operators.
const AllowAction = "internal.kith.allow"

// policyDirs are where polkit reads its actions.
var policyDirs = []string{"/usr/share/polkit-1/actions", "/usr/local/share/polkit-1/actions"}

// allowProgram is the program that the installed polkit action names. pkexec
// runs that one, with that one argument, and no other.
func allowProgram() (string, error) {
	for _, dir := range policyDirs {
		b, err := os.ReadFile(filepath.Join(dir, AllowAction+".policy"))
		if err != nil {
			continue
		}
		var p struct {
			Action []struct {
				ID       string `xml:"id,attr"`
				Annotate []struct {
					Key   string `xml:"key,attr"`
					Value string `xml:",chardata"`
				} `xml:"annotate"`
			} `xml:"action"`
		}
		if err := xml.Unmarshal(b, &p); err != nil {
			return "", fmt.Errorf("the polkit action: %w", err)
		}
		for _, a := range p.Action {
			for _, n := range a.Annotate {
				if a.ID == AllowAction && n.Key == "org.freedesktop.policykit.exec.path" {
					return strings.TrimSpace(n.Value), nil
				}
			}
		}
	}
	return "", ErrNoAsking
}

// Allow makes this account an operator; polkit asks for an administrator.
func Allow(ctx context.Context) error {
	program, err := allowProgram()
	if err != nil {
		return err
	}
	pkexec, err := exec.LookPath("pkexec")
	if err != nil {
		return ErrNoAsking
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, pkexec, "--disable-internal-agent", program, "allow-me")
	cmd.Stderr = &errs
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 126: // pkexec(1): dismissed
		return ErrDeclined
	case errors.As(err, &exit) && exit.ExitCode() == 127: // not authorised, or nobody there to ask
		if strings.Contains(errs.String(), "agent") {
			return ErrNoAsking
		}
		return ErrRefused
	}
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
}
