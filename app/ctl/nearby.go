package main

import (
	"context"
	"fmt"
	"time"

	"kith.internal/ipc"
)

type nearbyCmd struct {
	Open    nearbyOpenCmd    `cmd:"" help:"Let devices on this LAN ask to join, for ten minutes."`
	List    nearbyListCmd    `cmd:"" help:"List what is open on this LAN, and who asks to join here."`
	Join    nearbyJoinCmd    `cmd:"" help:"Ask to join a network that is open on this LAN."`
	Approve nearbyApproveCmd `cmd:"" help:"Let a device in whose six digits are the same there."`
}

type nearbyOpenCmd struct {
	Close bool `help:"Close it again."`
}

func (c *nearbyOpenCmd) Run(a *app) error {
	ans, err := a.client.NearbyOpen(a.ctx, ipc.NearbyOpenRequest{Network: a.Network, Close: c.Close})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case c.Close:
		fmt.Fprintln(a.out, "Closed: nobody can ask to join any more.")
		return nil
	}
	for _, o := range ans.Open {
		fmt.Fprintf(a.out, "%s is open to this LAN until %s. There: kith nearby join; then here: kith nearby list.\n", clean(o.Network), a.clock(o.Until))
	}
	return nil
}

type nearbyListCmd struct{}

func (c *nearbyListCmd) Run(a *app) error {
	ans, err := a.client.NearbyList(a.ctx, a.Network)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	for _, o := range ans.Open {
		fmt.Fprintf(a.out, "Open here: %s, until %s, closed after %d more failures\n", clean(o.Network), a.clock(o.Until), o.Left)
	}
	if len(ans.Asking) > 0 {
		t := table{}
		t.row("ID", "ASKS TO JOIN", "DEVICE", "SYSTEM", "DIGITS")
		for _, q := range ans.Asking {
			t.row(q.ID, q.Network, q.Name, or(q.OS, "-"), q.Digits)
		}
		t.print(a.out)
		fmt.Fprintln(a.out, "Compare the digits with what that device shows; the same: kith nearby approve, else with --refuse.")
	}
	if len(ans.Networks) > 0 {
		t := table{}
		t.row("ID", "NETWORK", "OPENED BY", "UNTIL", "DIGITS", "")
		for _, n := range ans.Networks {
			digits, code := "-", ""
			if n.Digits != nil {
				digits = *n.Digits
			}
			if n.Code != nil {
				code = string(*n.Code)
			}
			t.row(n.ID, n.Name, n.By, a.clock(n.Until), digits, code)
		}
		t.print(a.out)
	}
	if len(ans.Open)+len(ans.Asking)+len(ans.Networks) == 0 {
		fmt.Fprintln(a.out, "No network is open on this LAN: on an admin's device, kith nearby open.")
	}
	return nil
}

type nearbyJoinCmd struct {
	Name   string   `arg:"" optional:"" help:"The network, or its ID in kith nearby list; the only one otherwise."`
	Device string   `help:"The name of this device there; the host's otherwise." placeholder:"NAME"`
	Wait   duration `help:"How long to wait for an admin; until the network closes otherwise." placeholder:"DURATION"`

	Confirm bool `help:"Join only once kith nearby approve ID has been said on this device too."`
}

func (c *nearbyJoinCmd) Run(a *app) error {
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	told := make(chan struct{})
	go func() {
		defer close(told)
		a.tellDigits(ctx, c.Confirm)
	}()
	ans, err := a.client.NearbyJoin(a.ctx, ipc.NearbyJoinRequest{ID: c.Name, Device: c.Device, Wait: c.Wait.seconds(), Confirm: c.Confirm})
	cancel()
	<-told
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "Joined the network %s. This device is %s.\n", clean(ans.Network.Name), describe(ans.Network.Self))
	return nil
}

// tellDigits says the digits to compare, once there are any.
func (a *app) tellDigits(ctx context.Context, confirm bool) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		ans, err := a.client.NearbyList(ctx, "")
		if err != nil {
			return
		}
		for _, n := range ans.Networks {
			if n.Digits != nil {
				a.note("%s shows these digits on %s if all is well: %s. Its admin approves with kith nearby approve.", clean(n.Name), clean(n.By), *n.Digits)
				if confirm {
					a.note("Say the same here: kith nearby approve %s, or with --refuse if they differ.", clean(n.ID))
				}
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

type nearbyApproveCmd struct {
	Name   string `arg:"" optional:"" help:"The device, or its ID in kith nearby list; the only one that asks otherwise."`
	Refuse bool   `help:"The digits differ, or it is not wanted."`
	confirmed
}

func (c *nearbyApproveCmd) Run(a *app) error {
	if !c.Refuse && !c.Yes && a.inTTY && a.errTTY {
		list, err := a.client.NearbyList(a.ctx, a.Network)
		if err != nil {
			return err
		}
		for _, q := range list.Asking {
			if c.Name == "" || q.ID == c.Name || q.Name == c.Name {
				if err := a.confirm(fmt.Sprintf("Does %s show %s?", clean(q.Name), q.Digits)); err != nil {
					return err
				}
			}
		}
	}
	ans, err := a.client.NearbyApprove(a.ctx, ipc.NearbyApproveRequest{ID: c.Name, Refuse: c.Refuse})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case c.Refuse:
		fmt.Fprintln(a.out, "Refused.")
	default:
		fmt.Fprintln(a.out, "Approved: it is a member now.")
	}
	return nil
}
