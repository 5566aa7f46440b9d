package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kith.internal/ipc"
)

type deviceCmd struct {
	List    deviceListCmd    `cmd:"" help:"List devices and what they ask for."`
	Rename  deviceRenameCmd  `cmd:"" help:"Give a device another name."`
	Revoke  deviceRevokeCmd  `cmd:"" help:"Remove a device from the network."`
	Readmit deviceReadmitCmd `cmd:"" help:"Let a device in again that the removal of another took along."`
	Renew   deviceRenewCmd   `cmd:"" help:"Give a device new WireGuard and control keys."`
	Approve deviceApproveCmd `cmd:"" help:"Grant what a device asks for."`
	Role    deviceRoleCmd    `cmd:"" help:"Say what a device may do: owner, admin, sponsor or plain."`
	Tag     deviceTagCmd     `cmd:"" help:"Add tags to a device, or remove them."`
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
			added, a.clockOr(d.Expires, "-"), or(asks(d.Asks), "-"))
	}
	t.print(a.out)
	return nil
}

func asks(list []ipc.Request) string {
	var out []string
	for _, r := range list {
		out = append(out, strings.TrimSuffix(r.Kind+" "+r.Value, " "))
	}
	return strings.Join(out, "; ")
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

type deviceRenewCmd struct {
	Device string `arg:"" optional:"" help:"The device; this one otherwise."`
}

func (c *deviceRenewCmd) Run(a *app) error {
	ans, err := a.client.DeviceRenew(a.ctx, ipc.DeviceRequest{Network: a.Network, Device: c.Device})
	return a.afterChange(ans, err, "%s has new keys.", "The new keys of %s wait for an admin's word.")
}

type deviceApproveCmd struct {
	confirmed
	Device string `arg:"" help:"The device that asks."`
}

func (c *deviceApproveCmd) Help() string {
	return "What it asks for is in kith device list, and is granted whole: on a terminal, after a question that names it. What it asks for meanwhile is not."
}

func (c *deviceApproveCmd) Run(a *app) error {
	list, err := a.client.DeviceList(a.ctx, a.Network)
	if err != nil {
		return err
	}
	req := ipc.DeviceRequest{Network: a.Network, Device: c.Device}
	if d := named(list.Devices, c.Device); d != nil {
		req.Device, req.Asks = d.Key, d.Asks
	}
	what := clean(asks(req.Asks))
	if what != "" && !c.Yes && a.person() {
		if err := a.confirm(fmt.Sprintf("Grant %s what it asks for: %s?", clean(c.Device), what)); err != nil {
			return err
		}
	}
	ans, err := a.client.DeviceApprove(a.ctx, req)
	return a.afterChange(ans, err, "Granted what %s asked for: "+strings.ReplaceAll(what, "%", "%%")+".", "What %s asks for waits for another admin's word.")
}

// named finds a device as the helper does; nil where the helper is to say why not.
func named(devices []ipc.Device, name string) (found *ipc.Device) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	addr, _ := netip.ParseAddr(name)
	for i, d := range devices {
		switch {
		case d.Name == name, d.FQDN == name, d.IPv4 != nil && *d.IPv4 == addr, d.IPv6 != nil && *d.IPv6 == addr:
			return &devices[i]
		case len(name) < 6 || !strings.HasPrefix(d.Key, name):
		case found != nil:
			return nil
		default:
			found = &devices[i]
		}
	}
	return found
}

type deviceRoleCmd struct {
	Device string `arg:"" help:"The device: its name, full name or the start of its key."`
	Role   string `arg:"" enum:"owner,admin,sponsor,plain,member" help:"Its role from now on."`
	Phrase bool   `help:"Use the root phrase: asked for, or read from standard input."`
}

func (c *deviceRoleCmd) Help() string {
	return `owner: may do everything. The root phrase makes one, and takes it back.
admin: admits, removes, gives roles, and sets names, tags, policy, routes and shares.
sponsor: lets devices in that have an invite, for a relay that is always on.
plain, or member: none of that.

What a device did under a role before stands. Only who is above a device can lower its role.`
}

func (c *deviceRoleCmd) Run(a *app) (err error) {
	req := ipc.RoleRequest{Network: a.Network, Device: c.Device, Role: ipc.Role(c.Role)}
	if c.Role == "member" {
		req.Role = ipc.RolePlain
	}
	if c.Phrase || req.Role == ipc.RoleOwner {
		if req.Phrase, err = a.readPhrase(); err != nil {
			return err
		}
	}
	ans, err := a.client.DeviceRole(a.ctx, req)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "The role of %s is %s now.\n", clean(ans.Device), ans.Role)
	a.printDropped(ans.Dropped)
	if len(ans.Demoted) > 0 {
		fmt.Fprintf(a.out, "These have a lesser role now, too: %s.\n", clean(strings.Join(ans.Demoted, ", ")))
	}
	return nil
}

type deviceTagCmd struct {
	Device string   `arg:"" help:"The device: its name, full name or the start of its key."`
	Tags   []string `arg:"" help:"+TAG adds one, -TAG removes one."`
}

// tagsLast moves the +TAG and -TAG of "device tag" to the end, where none is read
// as a flag.
func tagsLast(args []string) []string {
	at := slices.Index(args, "tag")
	if at < 1 || args[at-1] != "device" {
		return args
	}
	rest := args[at+1:]
	device := slices.IndexFunc(rest, func(s string) bool { return !strings.HasPrefix(s, "-") })
	for device > 0 && slices.Contains([]string{"-n", "--network", "--socket"}, rest[device-1]) { // it is the flag's
		next := slices.IndexFunc(rest[device+1:], func(s string) bool { return !strings.HasPrefix(s, "-") })
		if next < 0 {
			return args
		}
		device += 1 + next
	}
	if device < 0 {
		return args
	}
	tag := func(s string) bool { return len(s) > 1 && (s[0] == '+' || s[0] == '-' && s[1] != '-') }
	flags := slices.DeleteFunc(slices.Clone(rest[device+1:]), tag)
	tags := slices.DeleteFunc(slices.Clone(rest[device+1:]), func(s string) bool { return !tag(s) })
	if len(tags) == 0 {
		return args
	}
	return slices.Concat(args[:at+1], rest[:device+1], flags, []string{"--"}, tags)
}

func (c *deviceTagCmd) Run(a *app) error {
	req := ipc.TagRequest{Network: a.Network, Device: c.Device, Add: []string{}, Remove: []string{}}
	for _, t := range c.Tags {
		switch {
		case strings.HasPrefix(t, "+"):
			req.Add = append(req.Add, t[1:])
		case strings.HasPrefix(t, "-"):
			req.Remove = append(req.Remove, t[1:])
		default:
			return ipc.Errorf(ipc.CodeUsage, "%.70q is neither +TAG nor -TAG", t)
		}
	}
	ans, err := a.client.DeviceTag(a.ctx, req)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case len(ans.Tags) == 0:
		fmt.Fprintf(a.out, "%s has no tags now.\n", clean(ans.Device))
	default:
		fmt.Fprintf(a.out, "The tags of %s are %s now.\n", clean(ans.Device), clean(strings.Join(ans.Tags, ", ")))
	}
	return nil
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
