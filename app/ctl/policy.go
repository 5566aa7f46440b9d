package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"kith.internal/ipc"
)

type policyCmd struct {
	Show  policyShowCmd  `cmd:"" help:"Print the policy in force."`
	Set   policySetCmd   `cmd:"" help:"Check a policy and put it in force on all devices."`
	Check policyCheckCmd `cmd:"" help:"Check a policy and say who would gain and lose what."`
	Reach policyReachCmd `cmd:"" help:"Say who can reach a device, and what it can reach."`
}

func (c *policyCmd) Help() string {
	return `Without a policy members reach one another, and the routes and exit nodes that are approved; guests reach what is shared with them. A policy is JSON with comments:

    {
      "allow": [
        {"from": ["*"], "to": ["*"], "ports": ["icmp"]},
        {"from": ["laptop", "tag:admin"], "to": ["*"]},
        {"from": ["tag:phone"], "to": ["tag:server"], "ports": ["443/tcp", "60000-61000/udp"]},
        {"from": ["tag:phone"], "to": ["internet", "192.168.7.0/24"]},
        {"from": ["guests"], "to": ["nas"]},
      ],
      "approve": {"exits": ["tag:server"], "routes": {"192.168.0.0/16": ["tag:router"]}},
      "tests": [{"from": "phone", "to": "nas", "allow": ["443/tcp"], "deny": ["22/tcp"]}],
    }

What no rule allows is denied; without "allow" the default holds. "from" and "to" name devices, "tag:NAME", "share:ID" (the start of one), "guests", address ranges and, for "to", "internet": every address outside the network that is not private. "*" is everyone; as "to", also routes and the internet. "ports" are "443/tcp", "1000-2000/udp", "icmp" and "all", which is the default. Guests never reach more than their share names. Who reaches the internet may ask exit nodes for names. "approve" makes offers of exit nodes and routes good without an admin's word. A policy whose "tests" fail, that names unknown devices or tags, or that leaves no admin able to reach any device is refused.`
}

type policyShowCmd struct{}

func (c *policyShowCmd) Run(a *app) error {
	ans, err := a.client.PolicyShow(a.ctx, a.Network)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case ans.Text == "":
		a.note("There is no policy: members reach one another, guests what is shared with them.")
	default:
		// As it was written, less what could drive a terminal.
		for line := range strings.Lines(ans.Text) {
			fmt.Fprintln(a.out, clean(strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")))
		}
		a.note("Set by %s.", clean(ans.SetBy))
		a.printFaults(ans.Faults)
	}
	return nil
}

type policySetCmd struct {
	File   string `arg:"" help:"The policy's file, or - for standard input; an empty one is the default."`
	DryRun bool   `help:"Check it and say what would change, no more."`
}

func (c *policySetCmd) Run(a *app) error { return a.policy(c.File, c.DryRun) }

type policyCheckCmd struct {
	File string `arg:"" help:"The policy's file, or - for standard input."`
}

func (c *policyCheckCmd) Run(a *app) error { return a.policy(c.File, true) }

// policyMost is more than a policy may have.
const policyMost = 128 << 10

func (a *app) policy(file string, dry bool) error {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return ipc.Errorf(ipc.CodeUsage, "%w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, policyMost))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	ans, err := a.client.PolicySet(a.ctx, ipc.PolicyRequest{Network: a.Network, Text: string(text), DryRun: dry})
	if err != nil {
		return err
	}
	if a.JSON {
		if err := a.json(ans); err != nil {
			return err
		}
	} else {
		a.printPolicy(ans)
	}
	if len(ans.Faults) > 0 {
		return ipc.Errorf(ipc.CodePolicy, "the policy was refused")
	}
	return nil
}

func (a *app) printPolicy(ans ipc.PolicyAnswer) {
	a.printFaults(ans.Faults)
	a.printChanges("loses", ans.Loses, ans.MoreLoses)
	a.printChanges("gains", ans.Gains, ans.MoreGains)
	switch {
	case len(ans.Faults) > 0:
	case ans.Partial:
		a.note("Among so many devices not all were compared: there may be more that is lost or gained.")
	case len(ans.Gains)+len(ans.Loses) == 0:
		fmt.Fprintln(a.out, "Nobody gains or loses anything.")
	}
	if ans.Set {
		fmt.Fprintln(a.out, "The policy is in force.")
	}
}

func (a *app) printFaults(faults []ipc.PolicyFault) {
	for _, f := range faults {
		at := ""
		if f.Line > 0 {
			at = fmt.Sprintf("line %d, column %d: ", f.Line, f.Column)
		}
		fmt.Fprintf(a.err, "%s%s (%s)\n", at, clean(f.Text), clean(f.Code))
	}
}

func (a *app) printChanges(what string, list []ipc.PolicyChange, more int) {
	for _, c := range list {
		fmt.Fprintf(a.out, "%s %s %s: %s\n", clean(c.From), what, clean(c.To), clean(strings.Join(c.Ports, ", ")))
	}
	if more > 0 {
		fmt.Fprintf(a.out, "… and %d more such pairs\n", more)
	}
}

type policyReachCmd struct {
	Device string `arg:"" optional:"" help:"The device; this one otherwise."`
}

func (c *policyReachCmd) Run(a *app) error {
	ans, err := a.client.PolicyReach(a.ctx, ipc.ReachRequest{Network: a.Network, Device: c.Device})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	a.printChanges("reaches", ans.From, 0)
	a.printChanges("reaches", ans.To, 0)
	if len(ans.From) == 0 {
		fmt.Fprintf(a.out, "Nobody reaches %s.\n", clean(ans.Device))
	}
	return nil
}

// onOff is a flag that is on by itself and may be said to be off: --shields,
// --shields=off.
type onOff struct{ on *bool }

func (o *onOff) IsBool() bool { return true }

func (o *onOff) Decode(ctx *kong.DecodeContext) error {
	on := true
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		switch v := fmt.Sprint(ctx.Scan.Pop().Value); strings.ToLower(v) {
		case "on", "true", "yes", "1":
		case "off", "false", "no", "0":
			on = false
		default:
			return fmt.Errorf("%.20q is neither on nor off", v)
		}
	}
	o.on = &on
	return nil
}
