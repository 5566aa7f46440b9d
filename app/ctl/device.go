package main

import (
	"fmt"
	"strings"

	"kith.internal/ipc"
)

type deviceCmd struct {
	List    deviceListCmd    `cmd:"" help:"List devices and what they ask for."`
	Rename  deviceRenameCmd  `cmd:"" help:"Give a device another name."`
	Revoke  deviceRevokeCmd  `cmd:"" help:"Remove a device from the network."`
	Renew   deviceRenewCmd   `cmd:"" help:"Give a device new WireGuard and control keys."`
	Approve deviceApproveCmd `cmd:"" help:"Grant what a device asks for."`
}

type deviceListCmd struct{}

func (c *deviceListCmd) Run(a *app) error {
	ans, err := a.client.DeviceList(a.ctx, a.Network)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	t := table{}
	t.row("DEVICE", "STATE", "ROLE", "IPV4", "IPV6", "TAGS", "ADDED", "EXPIRES", "ASKS FOR")
	for _, d := range ans.Devices {
		state := "offline"
		switch {
		case d.Self:
			state = "this device"
		case d.Online:
			state = "online"
		}
		added := "by " + or(d.AddedBy, "-")
		if d.Added != nil {
			added = a.clock(*d.Added) + " " + added
		}
		t.row(d.Name, state, string(d.Role), text(d.IPv4), text(d.IPv6), or(strings.Join(d.Tags, ","), "-"),
			added, a.clockOr(d.Expires, "-"), asks(d.Pending))
	}
	t.print(a.out)
	return nil
}

func asks(r *ipc.Request) string {
	switch {
	case r == nil:
		return "-"
	case r.Value == "":
		return r.Kind
	}
	return r.Kind + " " + r.Value
}

type deviceRenameCmd struct {
	Device string `arg:"" help:"The device; leave it out for this one."`
	Name   string `arg:"" optional:"" help:"Its new name."`
}

func (c *deviceRenameCmd) Run(a *app) error {
	device, name := c.Device, c.Name
	if name == "" {
		device, name = "", c.Device
	}
	ans, err := a.client.DeviceRename(a.ctx, ipc.DeviceRequest{Network: a.Network, Device: device, Name: name})
	return a.afterChange(ans, err, "The device is %s now.", "The new name of %s waits for an admin's word.")
}

type deviceRevokeCmd struct {
	confirmed
	Device string `arg:"" help:"The device: its name, full name or the start of its key."`
}

func (c *deviceRevokeCmd) Run(a *app) error {
	if !c.Yes {
		q := fmt.Sprintf("Remove %s from the network? It can come back only with a new link.", clean(c.Device))
		if err := a.confirm(q); err != nil {
			return err
		}
	}
	ans, err := a.client.DeviceRevoke(a.ctx, ipc.DeviceRequest{Network: a.Network, Device: c.Device})
	return a.afterChange(ans, err, "Removed %s.", "The removal of %s waits for an admin's word.")
}

type deviceRenewCmd struct {
	Device string `arg:"" optional:"" help:"The device; this one otherwise."`
}

func (c *deviceRenewCmd) Run(a *app) error {
	ans, err := a.client.DeviceRenew(a.ctx, ipc.DeviceRequest{Network: a.Network, Device: c.Device})
	return a.afterChange(ans, err, "%s has new keys.", "The new keys of %s wait for an admin's word.")
}

type deviceApproveCmd struct {
	Device string `arg:"" help:"The device that asks."`
}

func (c *deviceApproveCmd) Run(a *app) error {
	ans, err := a.client.DeviceApprove(a.ctx, ipc.DeviceRequest{Network: a.Network, Device: c.Device})
	return a.afterChange(ans, err, "Granted what %s asked for.", "What %s asks for waits for another admin's word.")
}

func (a *app) afterChange(ans ipc.DeviceAnswer, err error, done, pending string) error {
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case ans.Pending:
		done = pending
	}
	fmt.Fprintf(a.out, done+"\n", clean(ans.Device))
	a.printDropped(ans.Dropped)
	return nil
}

func (a *app) printDropped(names []string) {
	if len(names) > 0 {
		fmt.Fprintf(a.out, "Removed along with it: %s.\n", clean(strings.Join(names, ", ")))
	}
}
