package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kith.internal/ipc"
)

type exitCmd struct {
	Use     exitUseCmd     `cmd:"" help:"Send all internet traffic through a device; nothing leaves around it."`
	Off     exitOffCmd     `cmd:"" help:"Let internet traffic go as ever, also where it is blocked."`
	LAN     exitLANCmd     `cmd:"" name:"lan" help:"Say whether local networks stay reachable beside an exit node, the one in use or the next."`
	List    exitListCmd    `cmd:"" help:"List the exit nodes, the last used first."`
	Offer   exitOfferCmd   `cmd:"" help:"Let the others' internet traffic out here."`
	Approve exitApproveCmd `cmd:"" help:"Let a device be an exit node."`
}

type exitUseCmd struct {
	Host     string         `arg:"" help:"The device: its name, address or key; a friend's: HOST.NETWORK."`
	AllowLAN *bool          `name:"allow-lan" negatable:"" help:"Keep the networks that this device is connected to reachable, or not; as before otherwise."`
	LAN      []netip.Prefix `name:"lan" help:"Of those, these alone; may be given again." placeholder:"PREFIX"`
}

func (c *exitUseCmd) Run(a *app) error {
	req := ipc.ExitUseRequest{Network: a.Network, Device: c.Host, AllowLAN: c.AllowLAN, LANs: c.LAN}
	if c.AllowLAN == nil && len(c.LAN) > 0 {
		req.AllowLAN = new(true)
	}
	ans, err := a.client.ExitUse(a.ctx, req)
	return a.exit(ans, err, exitSays)
}

// exit prints an answer about exit nodes, in a line of its own or as it is.
func (a *app) exit(ans ipc.ExitAnswer, err error, says func(ipc.Exit) string) error {
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintln(a.out, says(ans.Exit))
	return nil
}

// exitSays is what becomes of internet traffic, in a line.
func exitSays(x ipc.Exit) string {
	name := ""
	if x.Using != nil {
		name = clean(*x.Using)
	}
	lan := ""
	if len(x.AllowLAN) > 0 {
		lan = "; " + prefixes(x.AllowLAN) + " stays reachable"
	}
	switch x.State {
	case ipc.ExitOn:
		return "Internet traffic goes through " + name + lan + "."
	case ipc.ExitConnecting:
		return "Internet traffic goes through " + name + " as soon as it is reached; until then it is blocked" + lan + "."
	case ipc.ExitBlocked:
		return "Exit node " + name + " cannot be used: internet traffic is blocked" + lan + "; kith exit off lets it go as ever."
	}
	return "Internet traffic goes as ever."
}

func prefixes(list []netip.Prefix) string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

type exitOffCmd struct{}

func (c *exitOffCmd) Run(a *app) error {
	ans, err := a.client.ExitOff(a.ctx, a.Network)
	return a.exit(ans, err, exitSays)
}

type exitLANCmd struct {
	On  exitLANOnCmd  `cmd:"" help:"The networks that this device is connected to stay reachable."`
	Off exitLANOffCmd `cmd:"" help:"They do not."`
}

type exitLANOnCmd struct {
	LANs []netip.Prefix `arg:"" optional:"" name:"prefix" help:"Of those, these alone."`
}

func (c *exitLANOnCmd) Run(a *app) error { return a.allowLAN(true, c.LANs) }

type exitLANOffCmd struct{}

func (c *exitLANOffCmd) Run(a *app) error { return a.allowLAN(false, nil) }

func (a *app) allowLAN(on bool, only []netip.Prefix) error {
	ans, err := a.client.ExitUse(a.ctx, ipc.ExitUseRequest{Network: a.Network, AllowLAN: &on, LANs: only})
	return a.exit(ans, err, func(x ipc.Exit) string {
		switch {
		case !x.LANAllowed:
			return "Beside an exit node no local network stays reachable."
		case len(x.LANs) > 0:
			return "Beside an exit node " + prefixes(x.LANs) + " stays reachable where it is a local network."
		}
		return "Beside an exit node local networks stay reachable."
	})
}

type exitListCmd struct{}

// exitRow is one exit node of "kith exit list --json".
type exitRow struct {
	Network   string       `json:"network"`
	Device    string       `json:"device"`
	FQDN      string       `json:"fqdn"`
	Online    bool         `json:"online"`
	Using     bool         `json:"using"`
	Path      ipc.PathKind `json:"path"`
	LatencyMS *float64     `json:"latency_ms"`
}

func (c *exitListCmd) Run(a *app) error {
	nets, err := a.networks()
	if err != nil {
		return err
	}
	rows := []exitRow{}
	for _, n := range nets {
		var here []exitRow
		for _, p := range n.Peers {
			if p.Exit {
				here = append(here, exitRow{n.Alias, p.Name, p.FQDN, p.Online, n.Exit.Using != nil && *n.Exit.Using == p.Name, p.Path, p.LatencyMS})
			}
		}
		here = append(here, sharedExits(n)...)
		place := func(r exitRow) int {
			if i := slices.Index(n.Exit.Recent, r.Device); i >= 0 {
				return i
			}
			return len(n.Exit.Recent)
		}
		slices.SortStableFunc(here, func(a, b exitRow) int { return place(a) - place(b) })
		rows = append(rows, here...)
	}
	if a.JSON {
		return a.json(struct {
			Schema int       `json:"schema"`
			Exits  []exitRow `json:"exits"`
		}{ipc.Schema, rows})
	}
	if len(rows) == 0 {
		fmt.Fprintln(a.out, "No device offers to be an exit node: there, kith exit offer on.")
		return nil
	}
	t := table{}
	t.row("NETWORK", "DEVICE", "STATE", "PATH", "LATENCY", "")
	for _, r := range rows {
		state, using := "offline", ""
		if r.Online {
			state = "online"
		}
		if r.Using {
			using = "in use"
		}
		t.row(r.Network, r.Device, state, string(r.Path), latency(r.LatencyMS), using)
	}
	t.print(a.out)
	return nil
}

// sharedExits is the exit nodes that friends share with this device.
func sharedExits(n ipc.Network) (out []exitRow) {
	for _, d := range sharedDevices(n) {
		if d.Exit {
			out = append(out, exitRow{d.Network, d.called(), d.FQDN, d.Online, d.Using, d.Path, d.LatencyMS})
		}
	}
	return out
}

type exitOfferCmd struct {
	On  exitOfferOnCmd  `cmd:"" help:"Offer it; an admin has to approve."`
	Off exitOfferOffCmd `cmd:"" help:"Do not."`
}

type exitOfferOnCmd struct {
	LAN bool `name:"lan" help:"This device's own local networks can be reached through it too."`
}

func (c *exitOfferOnCmd) Run(a *app) error { return a.offer(true, c.LAN) }

type exitOfferOffCmd struct{}

func (c *exitOfferOffCmd) Run(a *app) error { return a.offer(false, false) }

func (a *app) offer(on, lan bool) error {
	ans, err := a.client.ExitOffer(a.ctx, ipc.ExitOfferRequest{Network: a.Network, On: on, LAN: lan})
	return a.exit(ans, err, func(x ipc.Exit) string {
		switch {
		case x.Pending:
			return "The offer waits for an admin's word: kith exit approve, on an admin's device."
		case x.Offering && x.OfferLAN:
			return "This device is an exit node, and its local networks can be reached through it."
		case x.Offering:
			return "This device is an exit node."
		}
		return "This device is no exit node."
	})
}

type exitApproveCmd struct {
	Host string `arg:"" help:"The device."`
}

func (c *exitApproveCmd) Run(a *app) error {
	ans, err := a.client.ExitApprove(a.ctx, ipc.DeviceRequest{Network: a.Network, Device: c.Host})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "%s may be an exit node.\n", clean(ans.Device))
	return nil
}
