package main

import (
	"fmt"
	"os"
	"strings"

	"kith.internal/ipc"
)

type createCmd struct {
	Name       string `arg:"" help:"The network's name: one lower-case DNS label."`
	Device     string `help:"This device's name; the host's otherwise." placeholder:"NAME"`
	PhraseFile string `help:"Write the root phrase to this new file (mode 0600)." placeholder:"FILE"`
}

func (c *createCmd) Run(a *app) error {
	file, err := newPhraseFile(c.PhraseFile)
	if err != nil {
		return err
	}
	defer file.discard()
	ans, err := a.client.Create(a.ctx, ipc.CreateRequest{
		Name: c.Name, Device: c.Device, ShowPhrase: file != nil || a.errTTY,
	})
	if err != nil {
		return err
	}
	shown := a.showPhrase(ans.Phrase, file)
	ans.Phrase = "" // on standard output it would end up in a script's log
	if a.JSON {
		a.json(ans)
	} else {
		fmt.Fprintf(a.out, "Created the network %s. This device is %s.\n", clean(ans.Network.Name), describe(ans.Network.Self))
	}
	switch {
	case shown != nil:
		return shown
	case file == nil && !a.errTTY:
		a.note("The root phrase was not shown; the helper keeps it until you run: kith recover --show")
	}
	return nil
}

// describe names a device with its addresses.
func describe(s ipc.Self) string {
	out := clean(s.FQDN)
	var addrs []string
	if s.IPv4 != nil {
		addrs = append(addrs, s.IPv4.String())
	}
	if s.IPv6 != nil {
		addrs = append(addrs, s.IPv6.String())
	}
	if len(addrs) > 0 {
		out += " (" + strings.Join(addrs, ", ") + ")"
	}
	return out
}

type inviteCmd struct {
	Uses    uses     `default:"1" help:"How many devices may join with it: a number, or unlimited." placeholder:"N"`
	Expires duration `default:"24h" help:"How long it is good for, such as 30m, 24h or 7d." placeholder:"D"`
	Tag     []string `help:"A tag for the devices that join with it; may be given again." placeholder:"TAG"`
}

func (c *inviteCmd) Run(a *app) error {
	tags := c.Tag
	if tags == nil {
		tags = []string{}
	}
	ans, err := a.client.Invite(a.ctx, ipc.InviteRequest{
		Network: a.Network, Uses: int(c.Uses), Expires: c.Expires.seconds(), Tags: tags,
	})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	fmt.Fprintln(a.out, clean(ans.Link))
	who := "Whoever has this link can join"
	switch {
	case c.Uses == 1:
		who += " once"
	case c.Uses > 1:
		who += fmt.Sprintf(" (%d devices)", int(c.Uses))
	}
	a.note("%s until %s. Treat it like a password.", who, a.clock(ans.Expires))
	return nil
}

type joinCmd struct {
	Link   string   `arg:"" help:"${links}"`
	Wait   duration `default:"30s" help:"How long to wait to be let in." placeholder:"D"`
	Device string   `help:"This device's name; the host's otherwise." placeholder:"NAME"`
}

func (c *joinCmd) Run(a *app) error {
	link, err := a.argument(c.Link, "Paste the link: ")
	if err != nil {
		return err
	}
	ans, err := a.client.Join(a.ctx, ipc.JoinRequest{Link: link, Device: c.Device, Wait: c.Wait.seconds()})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "Joined the network %s. This device is %s.\n", clean(ans.Network.Name), describe(ans.Network.Self))
	if ans.Network.Alias != ans.Network.Name {
		a.note("You are in another network of that name, so on this device it goes by %s.", clean(ans.Network.Alias))
	}
	return nil
}

type leaveCmd struct {
	confirmed
}

func (c *leaveCmd) Run(a *app) error {
	st, err := a.client.Status(a.ctx)
	if err != nil {
		return err
	}
	// A join under way is given up without a word: nothing is lost by it.
	if nets, err := pick(st.Networks, a.Network); err == nil && len(nets) > 0 && !c.Yes {
		q := fmt.Sprintf("Leave %s? This device's keys for it are erased; to come back it needs a new link.", clean(nets[0].Alias))
		if err := a.confirm(q); err != nil {
			return err
		}
	}
	ans, err := a.client.Leave(a.ctx, a.Network)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "Left the network %s.\n", clean(ans.Network.Name))
	return nil
}

type upCmd struct {
	Shields onOff `help:"Let nothing in but answers to what this device opens; --shields=off ends that."`
}

func (c *upCmd) Run(a *app) error {
	st, err := a.client.Up(a.ctx, ipc.UpRequest{Network: a.Network, Shields: c.Shields.on})
	return a.afterSwitch(st, err)
}

type downCmd struct{}

func (c *downCmd) Run(a *app) error {
	st, err := a.client.Down(a.ctx, a.Network)
	return a.afterSwitch(st, err)
}

func (a *app) afterSwitch(st ipc.Status, err error) error {
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(st)
	}
	fmt.Fprintln(a.out, headline(st))
	for _, n := range st.Networks {
		if n.Active && n.Shields {
			fmt.Fprintf(a.out, "%s: %s.\n", clean(n.Alias), shieldsUp)
		}
	}
	a.printHealth(st.Health)
	return nil
}

// newPhraseFile makes the file before the network, so that a bad path costs
// nothing. It is nil for "".
func newPhraseFile(path string) (*phraseFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, ipc.Errorf(ipc.CodeUsage, "the phrase's file cannot be made: %w", err)
	}
	return &phraseFile{f: f}, nil
}
