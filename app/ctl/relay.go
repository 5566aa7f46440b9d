package main

import (
	"fmt"
	"strings"

	"kith.internal/ipc"
)

type relayCmd struct {
	On  relayOnCmd  `cmd:"" help:"Be a relay; where others can reach this device from outside."`
	Off relayOffCmd `cmd:"" help:"Be no relay any more."`
}

type relayOnCmd struct {
	Listen    string `help:"Take TCP and UDP here: a port, or IP:PORT; port 443 on all addresses otherwise." placeholder:"ADDR"`
	Advertise string `help:"Where the others find it; this device's own public addresses otherwise." placeholder:"HOST:PORT"`
	Limit     int    `help:"What it passes on a second in all, in Mbit/s; each member has a fair share, a friend's device a quarter of one and 32 at most. No limit otherwise." placeholder:"MBIT"`
}

func (c *relayOnCmd) Run(a *app) error {
	ans, err := a.client.RelayOn(a.ctx, ipc.RelayRequest{Network: a.Network, Listen: c.Listen, Advertise: c.Advertise, Limit: c.Limit})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case ans.Relay.Pending:
		fmt.Fprintln(a.out, "The relay waits for an admin's word: kith device approve, on an admin's device.")
	default:
		fmt.Fprintf(a.out, "This device is a relay at %s%s.\n", clean(strings.Join(ans.Relay.Advertised, ", ")), limitOf(ans.Relay))
	}
	return nil
}

// limitOf is what stands after a relay's addresses.
func limitOf(r ipc.Relay) string {
	if r.Limit == 0 {
		return ""
	}
	return fmt.Sprintf("; at most %d Mbit/s pass in all", r.Limit)
}

type relayOffCmd struct{}

func (c *relayOffCmd) Run(a *app) error {
	ans, err := a.client.RelayOff(a.ctx, a.Network)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintln(a.out, "This device is no relay.")
	return nil
}

type forwardCmd struct {
	On  forwardOnCmd  `cmd:"" help:"Pass them on, within a daily quota. This is the default."`
	Off forwardOffCmd `cmd:"" help:"Do not."`
}

type forwardOnCmd struct {
	Guests *bool `negatable:"" help:"Those between friends and what is shared with them, too, or not; as before otherwise."`
}

func (c *forwardOnCmd) Run(a *app) error { return a.forward(true, c.Guests) }

type forwardOffCmd struct{}

func (c *forwardOffCmd) Run(a *app) error { return a.forward(false, nil) }

func (a *app) forward(on bool, guests *bool) error {
	ans, err := a.client.Forward(a.ctx, ipc.ForwardRequest{Network: a.Network, On: on, Guests: guests})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case ans.Forward.On && ans.Forward.Guests:
		fmt.Fprintln(a.out, "This device passes packets on for members, and for friends' devices, who cannot reach one another.")
	case ans.Forward.On:
		fmt.Fprintln(a.out, "This device passes packets on for members who cannot reach one another.")
	default:
		fmt.Fprintln(a.out, "This device passes no packets on.")
	}
	return nil
}

// whyNots are why a device is not reached directly; what is not here is said
// by its code.
var whyNots = map[ipc.WhyNot]string{
	ipc.WhyTrying:     "trying direct ways",
	ipc.WhySilent:     "no address of it answers",
	ipc.WhyHardNAT:    "the NAT here is symmetric",
	ipc.WhyHardThere:  "its NAT is symmetric",
	ipc.WhyHardBoth:   "the NATs on both sides are symmetric",
	ipc.WhyNoUDP:      "no UDP gets out here",
	ipc.WhyNoUDPThere: "no UDP gets out there",
	ipc.WhyNoFamily:   "no common IP version",
	ipc.WhyNoAddress:  "no address of it is known",
	ipc.WhyIdle:       "idle",
}

// whyNot is "" where there is nothing to explain.
func whyNot(w *ipc.WhyNot) string {
	if w == nil {
		return ""
	}
	return or(whyNots[*w], string(*w))
}
