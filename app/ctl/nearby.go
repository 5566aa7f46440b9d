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

	Confirm bool `help:"Join only once kith nearby approve ID has been said on this device too; on a terminal, it asks."`
}

func (c *nearbyJoinCmd) Run(a *app) error {
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	asks := a.person() // a forged network would admit anyone: the person here has a say
	told := make(chan struct{})
	go func() {
		defer close(told)
		a.tellDigits(ctx, c.Confirm || asks)
	}()
	ans, err := a.client.NearbyJoin(a.ctx, ipc.NearbyJoinRequest{ID: c.Name, Device: c.Device, Wait: c.Wait.seconds(), Confirm: c.Confirm || asks})
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
				switch {
				case confirm && a.person():
					go a.askDigits(ctx, n) // for as long as the person takes: the join may end before
				case confirm:
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

// askDigits asks the joiner whether the digits are the same, and says so.
func (a *app) askDigits(ctx context.Context, n ipc.NearbyNetwork) {
	no := a.confirm(fmt.Sprintf("Does %s show %s?", clean(n.By), *n.Digits)) != nil
	if ctx.Err() != nil {
		return
	}
	if _, err := a.client.NearbyApprove(ctx, ipc.NearbyApproveRequest{ID: n.ID, Refuse: no}); err != nil && ctx.Err() == nil {
		a.note("Your answer did not count: %v", err)
	}
}

type nearbyApproveCmd struct {
	Name   string `arg:"" optional:"" help:"Its ID in kith nearby list; on a terminal also the device's name, or nothing where only one asks."`
	Refuse bool   `help:"The digits differ, or it is not wanted."`
	confirmed
}

func (c *nearbyApproveCmd) Run(a *app) error {
	list, err := a.client.NearbyList(a.ctx, a.Network)
	if err != nil {
		return err
	}
	id, question, err := c.which(list.Nearby)
	if err != nil {
		return err
	}
	// Whoever asks by then is not who was looked at: the ID alone binds the two.
	switch {
	case c.Refuse || c.Yes:
	case a.person():
		if err := a.confirm(question); err != nil {
			return err
		}
	case id != c.Name:
		return ipc.Errorf(ipc.CodeUsage, "say which by its ID, as kith nearby list shows it beside the digits")
	}
	ans, err := a.client.NearbyApprove(a.ctx, ipc.NearbyApproveRequest{ID: id, Refuse: c.Refuse})
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

// which finds the device that asks here, or the network that this device asks
// to be let into, and what to ask the person about it.
func (c *nearbyApproveCmd) which(list ipc.Nearby) (id, question string, err error) {
	found := 0
	take := func(i, shows, digits string) {
		id, question = i, fmt.Sprintf("Does %s show %s?", clean(shows), digits)
		found++
	}
	for _, q := range list.Asking {
		if c.Name == "" || q.ID == c.Name || q.Name == c.Name {
			take(q.ID, q.Name, q.Digits)
		}
	}
	for _, n := range list.Networks {
		if n.Digits != nil && (n.ID == c.Name || c.Name == "" && len(list.Asking) == 0) {
			take(n.ID, n.By, *n.Digits)
		}
	}
	switch found {
	case 0:
		return "", "", ipc.Errorf(ipc.CodeNotFound, "no device nearby asks to join")
	case 1:
		return id, question, nil
	}
	return "", "", ipc.Errorf(ipc.CodeAmbiguous, "%d devices ask: say which one by its ID, as kith nearby list shows it", found)
}
