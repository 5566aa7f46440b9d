package main

import (
	"fmt"
	"net/netip"
	"slices"

	"kith.internal/ipc"
)

type routeCmd struct {
	Add     routeAddCmd     `cmd:"" help:"Let the others reach a subnet through this device; an admin has to approve."`
	Remove  routeRemoveCmd  `cmd:"" help:"Take that back."`
	Approve routeApproveCmd `cmd:"" help:"Let a device be the way to a subnet that it offers."`
	Accept  routeAcceptCmd  `cmd:"" help:"Use a subnet behind another device from here."`
	List    routeListCmd    `cmd:"" help:"List the subnets behind devices."`
}

type routeAddCmd struct {
	Prefix netip.Prefix `arg:"" help:"The subnet, such as 192.168.7.0/24."`
	NoSNAT bool         `name:"no-snat" help:"Hosts there see the devices' own addresses; they need a route back through this device."`
}

func (c *routeAddCmd) Run(a *app) error {
	ans, err := a.client.RouteAdd(a.ctx, ipc.RouteRequest{Network: a.Network, Prefix: c.Prefix, NoSNAT: c.NoSNAT})
	if err == nil && ans.Pending && !a.JSON {
		fmt.Fprintf(a.out, "The route waits for an admin's word: kith route approve %s, on an admin's device.\n", c.Prefix)
		return nil
	}
	return a.printRoutes(ans, err)
}

type routeRemoveCmd struct {
	Prefix netip.Prefix `arg:"" help:"The subnet."`
}

func (c *routeRemoveCmd) Run(a *app) error {
	return a.printRoutes(a.client.RouteRemove(a.ctx, ipc.RouteRequest{Network: a.Network, Prefix: c.Prefix}))
}

type routeApproveCmd struct {
	Prefix netip.Prefix `arg:"" help:"The subnet."`
	Device string       `help:"Whose, where several offer it." placeholder:"NAME"`
}

func (c *routeApproveCmd) Run(a *app) error {
	ans, err := a.client.RouteApprove(a.ctx, ipc.RouteRequest{Network: a.Network, Prefix: c.Prefix, Device: c.Device})
	if err == nil && len(ans.Routes) == 0 && !a.JSON {
		fmt.Fprintf(a.out, "%s is approved; its device is away.\n", c.Prefix)
		return nil
	}
	return a.printRoutes(ans, err)
}

type routeAcceptCmd struct {
	Prefix netip.Prefix `arg:"" help:"The subnet."`
	Off    bool         `help:"Not any more."`
}

func (c *routeAcceptCmd) Run(a *app) error {
	ans, err := a.client.RouteAccept(a.ctx, ipc.RouteRequest{Network: a.Network, Prefix: c.Prefix, Off: c.Off})
	listed := slices.ContainsFunc(ans.Routes, func(r ipc.Route) bool { return r.Prefix == c.Prefix && r.Accepted })
	if err == nil && !c.Off && !listed && !a.JSON {
		fmt.Fprintf(a.out, "%s is accepted, and in use once its device is back.\n", c.Prefix)
		return nil
	}
	return a.printRoutes(ans, err)
}

type routeListCmd struct{}

func (c *routeListCmd) Run(a *app) error {
	nets, err := a.networks()
	if err != nil {
		return err
	}
	ans := ipc.RouteAnswer{Schema: ipc.Schema, Routes: []ipc.Route{}}
	for _, n := range nets {
		ans.Routes = append(ans.Routes, n.Routes...)
	}
	return a.printRoutes(ans, nil)
}

func (a *app) printRoutes(ans ipc.RouteAnswer, err error) error {
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case len(ans.Routes) == 0:
		fmt.Fprintln(a.out, "No device offers a subnet: there, kith route add PREFIX.")
		return nil
	}
	t := table{}
	t.row("SUBNET", "THROUGH", "STATE")
	for _, r := range ans.Routes {
		t.row(r.Prefix.String(), r.Device, routeSays(r))
	}
	t.print(a.out)
	return nil
}

// routeSays is what holds for a route here.
func routeSays(r ipc.Route) string {
	switch {
	case !r.Approved:
		return "waits for an admin's word"
	case r.Own && r.SNAT:
		return "offered by this device"
	case r.Own:
		return "offered by this device, without address translation"
	case r.Conflict != nil && r.Accepted:
		return "not in use: also the network on " + *r.Conflict + " here"
	case r.Active:
		return "in use"
	case r.Accepted:
		return "accepted"
	}
	return "not accepted here"
}
