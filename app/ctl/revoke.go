package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"kith.internal/ipc"
)

// undoing is what takes a removal back to a time.
type undoing struct {
	Since  since `help:"Undo what it did since, too: 3h or 2d ago, or a time such as 2026-03-01T14:30." placeholder:"WHEN"`
	DryRun bool  `help:"Say what would change, no more."`
}

// since is how long ago, or when.
type since struct {
	ago duration
	at  string
}

func (s *since) UnmarshalText(b []byte) error {
	if s.ago.UnmarshalText(b) != nil {
		s.at = string(b)
	}
	return nil
}

// read is the time that is meant, nil for none. Without a zone it is local.
func (s since) read(now time.Time) (*time.Time, error) {
	var t time.Time
	switch {
	case s.ago > 0:
		t = now.Add(-time.Duration(s.ago))
		return &t, nil
	case s.at == "":
		return nil, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		t, err := time.ParseInLocation(layout, strings.ToUpper(s.at), now.Location())
		switch {
		case err != nil:
			continue
		case t.After(now):
			return nil, fmt.Errorf("%.40q is in the future", s.at)
		}
		return &t, nil
	}
	return nil, fmt.Errorf("%.40q is neither a time such as 3h, 2d, 2026-03-01 or 2026-03-01T14:30, nor one with a zone", s.at)
}

// sinceWhen is the time that is meant, by this terminal's clock.
func (a *app) sinceWhen(s since) (*time.Time, error) {
	t, err := s.read(a.now())
	if err != nil {
		return nil, ipc.Errorf(ipc.CodeUsage, "--since: %w", err)
	}
	return t, nil
}

const undoingHelp = `With --since it undoes what a stolen key did: what reached this device from it later falls, even where it is dated before. What it did before stays, and what it removed before stays removed. A device that goes with it comes back with kith device readmit.`

type deviceRevokeCmd struct {
	confirmed
	undoing
	Device string `arg:"" help:"The device: its name, full name or the start of its key."`
}

func (c *deviceRevokeCmd) Help() string { return undoingHelp }

func (c *deviceRevokeCmd) Run(a *app) error {
	at, err := a.sinceWhen(c.Since)
	if err != nil {
		return err
	}
	req := ipc.DeviceRequest{Network: a.Network, Device: c.Device, Since: at, DryRun: c.DryRun}
	if !c.Yes && !c.DryRun {
		if at != nil && a.person() {
			dry := req
			dry.DryRun = true
			ans, err := a.client.DeviceRevoke(a.ctx, dry)
			if err != nil {
				return err
			}
			req.Plan = a.showPlan(ans.Removal)
		}
		q := fmt.Sprintf("Remove %s from the network? It can come back only with a new link.", clean(c.Device))
		if err := a.confirm(q); err != nil {
			return err
		}
	}
	ans, err := a.client.DeviceRevoke(a.ctx, req)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case c.DryRun:
		fmt.Fprintf(a.out, "%s would be removed.\n", clean(ans.Device))
		a.printRemoval(a.out, ans.Removal, true)
		return nil
	}
	fmt.Fprintf(a.out, "Removed %s.\n", clean(ans.Device))
	a.printRemoved(ans.Dropped, ans.Removal)
	return nil
}

// showPlan shows what a removal would do before it is agreed to, and returns what
// names that; "" for nothing.
func (a *app) showPlan(r *ipc.Removal) string {
	a.printRemoval(a.err, r, true)
	if r == nil {
		return ""
	}
	return r.Plan
}

type deviceReadmitCmd struct {
	Device string `arg:"" help:"The device: its name or the start of its key."`
}

func (c *deviceReadmitCmd) Help() string {
	return "It keeps its keys. Tags and a role that who was removed gave it are not given again."
}

func (c *deviceReadmitCmd) Run(a *app) error {
	ans, err := a.client.DeviceReadmit(a.ctx, ipc.DeviceRequest{Network: a.Network, Device: c.Device})
	return a.afterChange(ans, err, "%s is in the network again.", "%s waits for an admin's word.")
}

func (a *app) printDropped(names []string) {
	if len(names) > 0 {
		fmt.Fprintf(a.out, "Removed along with it: %s.\n", clean(strings.Join(names, ", ")))
	}
}

// printRemoved says what has changed with a removal.
func (a *app) printRemoved(dropped []string, r *ipc.Removal) {
	if r == nil {
		a.printDropped(dropped)
		return
	}
	a.printRemoval(a.out, r, false)
	if len(r.Dropped) > 0 {
		a.note("To let one of them in again: kith device readmit NAME")
	}
}

// printRemoval says what changes with a removal, or would.
func (a *app) printRemoval(w io.Writer, r *ipc.Removal, would bool) {
	if r == nil {
		return
	}
	say := func(label string, names []string) {
		if len(names) > 0 {
			fmt.Fprintf(w, "  %s: %s\n", label, clean(strings.Join(names, ", ")))
		}
	}
	if r.Since != nil {
		did := "Undone is"
		if would {
			did = "Undone would be"
		}
		fmt.Fprintf(w, "%s what reached this device from it after %s, %s:\n", did, a.clock(*r.Since), count(r.Undone, "record"))
	}
	var dropped []string
	for _, d := range r.Dropped {
		dropped = append(dropped, fmt.Sprintf("%s (added %s)", d.Name, a.clockOr(d.Added, "-")))
	}
	say("lose access", dropped)
	say("have access again", r.Returned)
	say("have a lesser role", r.Demoted)
	say("settings that change", r.Settings)
	if r.Invites > 0 {
		fmt.Fprintf(w, "  invites that end: %d\n", r.Invites)
	}
	say("stay removed, in this device's name", r.Repeated)
	say("stay, admitted anew by this device", r.Readmitted)
	if r.Early > 0 {
		fmt.Fprintf(w, "  dated before that, though they came here later: %s; if the dates are true, honest work falls, too\n", count(r.Early, "record"))
	}
	if r.Held != nil {
		fmt.Fprintf(w, "  This device has held the records since %s alone: it cannot tell what is older, and all of it falls.\n", a.clock(*r.Held))
	}
}
