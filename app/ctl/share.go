package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"kith.internal/ipc"
)

type shareCmd struct {
	Create  shareCreateCmd  `cmd:"" help:"Print a link that lets a friend's devices reach some of yours."`
	Accept  shareAcceptCmd  `cmd:"" help:"Accept a friend's link for all devices of your network."`
	List    shareListCmd    `cmd:"" help:"List what is shared and what friends share."`
	Approve shareApproveCmd `cmd:"" help:"Say that a friend has read the same words out."`
	Limit   shareLimitCmd   `cmd:"" help:"Change how many of a friend's devices may come: those that came first stay."`
	Revoke  shareRevokeCmd  `cmd:"" help:"Take a share back at once."`
	Remove  shareRemoveCmd  `cmd:"" help:"Give a friend's share up, on all devices of your network."`
}

type shareCreateCmd struct {
	Devices  []string `arg:"" name:"device" help:"The devices to share, or tag:NAME for all with a tag."`
	Port     []string `required:"" help:"What the friend may reach there, such as 445/tcp,80/tcp or 60000-61000/udp; all for everything, none for an exit node alone." placeholder:"PORTS"`
	Exit     bool     `help:"They may be used as exit nodes, too; their own networks stay closed."`
	Both     bool     `help:"They may open connections to the friend's devices, too."`
	Confirm  bool     `help:"It counts once you have compared words with the friend: kith share approve."`
	AcceptBy duration `default:"24h" help:"How long the link can be accepted." placeholder:"D"`
	Expires  forever  `default:"never" help:"When the share ends, such as 7d, or never." placeholder:"D"`
	Guests   int      `default:"16" help:"How many of the friend's devices may come. Which they are is the word of the friend's admins: no more than this many get in on it." placeholder:"N"`
}

// forever is a duration, or 0 for "never".
type forever duration

func (f *forever) UnmarshalText(b []byte) error {
	if string(b) == "never" {
		*f = 0
		return nil
	}
	return (*duration)(f).UnmarshalText(b)
}

// Validate refuses what would stand for the default.
func (c *shareCreateCmd) Validate() error {
	if c.Guests == 0 {
		return errors.New("--guests is from 1 to 64")
	}
	return nil
}

func (c *shareCreateCmd) Run(a *app) error {
	ans, err := a.client.ShareCreate(a.ctx, ipc.ShareRequest{
		Network: a.Network, Devices: c.Devices, Ports: c.Port, Exit: c.Exit, Both: c.Both, Confirm: c.Confirm,
		AcceptBy: c.AcceptBy.seconds(), Expires: duration(c.Expires).seconds(), Guests: c.Guests,
	})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	fmt.Fprintln(a.out, clean(ans.Link))
	a.note("One friend can accept this link until %s, and %s. Treat it like a password.",
		a.clockOr(ans.Share.AcceptBy, "its end"), offers(ans.Share))
	if ans.Share.Why != nil {
		a.note("But it does not work now: %s.", clean(shareWhy(ans.Share)))
	}
	return nil
}

// shared names what is shared.
func shared(s ipc.Share) string {
	var names []string
	for _, d := range s.Devices {
		names = append(names, d.Name)
	}
	return or(strings.Join(names, ", "), s.Name)
}

// offers says what a share lets a friend do.
func offers(s ipc.Share) string {
	if s.Exit && len(s.Ports) == 1 && s.Ports[0] == "none" {
		return "use " + clean(shared(s)) + " as an exit node"
	}
	return "reach " + clean(shared(s)) + " at " + ports(s)
}

func ports(s ipc.Share) string {
	out := strings.Join(s.Ports, ", ")
	switch {
	case out == "all":
		out = "all ports"
	case out == "none" && s.Exit:
		out = ""
	case out == "none":
		out = "no ports"
	}
	if s.Exit {
		out = strings.TrimPrefix(out+", as an exit node", ", ")
	}
	if s.Both {
		out += ", both ways"
	}
	return clean(out)
}

type shareAcceptCmd struct {
	Link  string   `arg:"" help:"${links}"`
	Label string   `help:"What the friend sees as your name; this device's otherwise." placeholder:"NAME"`
	Wait  duration `default:"30s" help:"How long to wait for the friend's side." placeholder:"D"`
}

func (c *shareAcceptCmd) Run(a *app) error {
	link, err := a.argument(c.Link, "Paste the link: ")
	if err != nil {
		return err
	}
	ans, err := a.client.ShareAccept(a.ctx, ipc.ShareAcceptRequest{Link: link, Network: a.Network, Label: c.Label, Wait: c.Wait.seconds()})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.json(ans)
	}
	s := ans.Share
	if s.State == ipc.ShareConfirm {
		fmt.Fprintf(a.out, "Read these words to your friend, who has to approve: %s\n", clean(strings.Join(s.Words, " ")))
		a.note("Then the share appears by itself; kith share list shows it.")
		return nil
	}
	for _, d := range s.Devices {
		at := d.FQDN
		if a := addresses(d); a != "" {
			at += " (" + a + ")"
		}
		fmt.Fprintf(a.out, "%s: %s\n", clean(at), ports(s))
	}
	a.note("All devices of your network may use it; it appears on each by itself.")
	return nil
}

// addresses is by which a shared device is reached.
func addresses(d ipc.SharedDevice) string {
	var out []string
	for _, a := range []*netip.Addr{d.IPv6, d.IPv4} {
		if a != nil {
			out = append(out, a.String())
		}
	}
	return strings.Join(out, ", ")
}

type shareListCmd struct{}

func (c *shareListCmd) Run(a *app) error {
	ans, err := a.client.ShareList(a.ctx, a.Network)
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case len(ans.Shares) == 0:
		fmt.Fprintln(a.out, "Nothing is shared.")
		return nil
	}
	t := table{}
	t.row("ID", "SHARED", "WITH", "STATE", "PORTS", "UNTIL", "LAST USED")
	for _, s := range ans.Shares {
		t.row(s.ID[:min(8, len(s.ID))], whatOf(s), withOf(s), string(s.State), ports(s), a.untilOf(s), a.clockOr(s.LastUsed, "-"))
	}
	t.print(a.out)
	for _, s := range ans.Shares {
		if names := guestNames(s); names != "" {
			a.note("%s: used by %s", s.ID[:min(8, len(s.ID))], clean(names))
		}
		if len(s.Words) > 0 {
			a.note("%s: the words to compare are: %s", s.ID[:min(8, len(s.ID))], clean(strings.Join(s.Words, " ")))
		}
		for _, r := range s.Refused {
			a.note("%s: %s", s.ID[:min(8, len(s.ID))], clean(a.refusal(r)))
		}
		if s.Why != nil {
			a.note("%s: %s", s.ID[:min(8, len(s.ID))], clean(shareWhy(s)))
		}
	}
	return nil
}

// shareWhys is why a friend's share does not work, one a code.
var shareWhys = map[ipc.Code]string{
	ipc.CodeShareRevoked: "the owner has taken it back",
	ipc.CodeShareExpired: "it has ended",
	ipc.CodePassExpired:  "this device's pass has run out, and no admin's device of {network} has renewed it",
	ipc.CodeClock:        "a clock is wrong, this device's or the friend's: set both by a time server",
	ipc.CodeTimeout:      "no device of the friend's has answered for a week; it works again once one does",
	ipc.CodePassInvalid:  "the friend's device does not take this one for yours",
	ipc.CodeGuestDenied:  "this device was taken off it",
	ipc.CodeLimit:        "as many devices use it as the owner allows",
	ipc.CodeNotShared:    "what was shared has left the owner's network",
	ipc.CodeExists:       "this device is in that network itself, or reaches it through another of its own",
	ipc.CodeLinkForeign:  "the friend's side does not know it, or its addresses are those of a network here",
	ipc.CodeNotConnected: "{network} is not connected",
	ipc.CodeBusy:         "the friend's device is busy",
	ipc.CodeUpgrade:      "the friend's side has a later version of Kith",
	ipc.CodeInternal:     "its addresses could not be set here; kith diag and the helper's log say more",
	ipc.CodePolicy:       "the owner's policy lets nothing of it through",
}

// givenWhys is why a share of one's own does not work.
var givenWhys = map[ipc.Code]string{
	ipc.CodePolicy: "the policy of {network} lets nothing of it through (kith policy show)",
}

func shareWhy(s ipc.Share) string {
	whys := shareWhys
	if s.Direction == "out" {
		whys = givenWhys
	}
	text, ok := whys[*s.Why]
	if !ok {
		return "it does not work now (" + string(*s.Why) + ")"
	}
	return strings.ReplaceAll(text, "{network}", s.WhyArgs["network"])
}

// refusal says who was not let in, and why.
func (a *app) refusal(r ipc.Refusal) string {
	who, times := or(r.Label, "somebody"), ""
	if r.Key != "" {
		who += " (key " + r.Key + ")"
	}
	did := "came to"
	if r.Link {
		did = "tried to accept it at"
	}
	if r.Count > 1 {
		times = fmt.Sprintf(", %d times", r.Count)
	}
	return fmt.Sprintf("%s %s %s%s, last %s; refused: %s", who, did, r.Device, times, a.clock(r.At), r.Text)
}

// whatOf names what is shared; of a friend's by the names that lead there.
func whatOf(s ipc.Share) string {
	if s.Direction != "in" || len(s.Devices) == 0 {
		return shared(s)
	}
	var names []string
	for _, d := range s.Devices {
		names = append(names, d.FQDN)
	}
	return strings.Join(names, ", ")
}

// guestNames is the friend's devices that come, with what tells them apart.
func guestNames(s ipc.Share) string {
	var out []string
	for _, g := range s.Guests {
		name := g.Label
		if g.IPv6 != nil {
			name += " (" + g.IPv6.String() + ")"
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

func withOf(s ipc.Share) string {
	if s.Direction == "in" {
		return "you"
	}
	out := or(s.Label, "-")
	if n := len(s.Guests); n == 1 {
		out += " (1 device)"
	} else if n > 1 {
		out += fmt.Sprintf(" (%d devices)", n)
	}
	return out
}

func (a *app) untilOf(s ipc.Share) string {
	if s.State == ipc.SharePending || s.State == ipc.ShareAsking {
		return "accept by " + a.clockOr(s.AcceptBy, "-")
	}
	return a.clockOr(s.Expires, "never")
}

const shareHelp = "The share: the start of its ID, or a name in kith share list."

type shareApproveCmd struct {
	Share string `arg:"" help:"${shares}"`
}

func (c *shareApproveCmd) Run(a *app) error {
	ans, err := a.client.ShareApprove(a.ctx, ipc.ShareIDRequest{Network: a.Network, Share: c.Share})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "%s may use %s now.\n", clean(or(ans.Share.Label, "The friend")), clean(shared(ans.Share)))
	return nil
}

type shareLimitCmd struct {
	Share  string `arg:"" help:"${shares}"`
	Guests int    `arg:"" help:"How many, from 1 to 64. Which devices come is the word of the friend's admins: no more than this many get in on it."`
}

func (c *shareLimitCmd) Run(a *app) error {
	ans, err := a.client.ShareLimit(a.ctx, ipc.ShareIDRequest{Network: a.Network, Share: c.Share, Guests: c.Guests})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "At most %d of the devices of %s reach %s now.\n", ans.Share.MaxGuests, clean(or(ans.Share.Label, "whoever accepts")), clean(shared(ans.Share)))
	return nil
}

type shareRevokeCmd struct {
	confirmed
	Share string `arg:"" help:"${shares}"`
	Guest string `help:"This one of the friend's devices alone: its name or address in kith share list. Where you do not trust the friend's admins to tell their devices apart, lower their number with kith share limit, or take the whole share back." placeholder:"DEVICE"`
}

func (c *shareRevokeCmd) Run(a *app) error {
	if !c.Yes {
		ask := fmt.Sprintf("Take the share %s back? What runs over it ends at once.", clean(c.Share))
		if c.Guest != "" {
			ask = fmt.Sprintf("Take %s off the share %s? It stays off, with new keys too, as long as the friend's admins tell its devices apart honestly; to be sure, take the whole share back, or lower the number with kith share limit.", clean(c.Guest), clean(c.Share))
		}
		if err := a.confirm(ask); err != nil {
			return err
		}
	}
	ans, err := a.client.ShareRevoke(a.ctx, ipc.ShareIDRequest{Network: a.Network, Share: c.Share, Guest: c.Guest})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	case c.Guest != "":
		fmt.Fprintf(a.out, "%s reaches %s no more.\n", clean(c.Guest), clean(shared(ans.Share)))
		return nil
	}
	fmt.Fprintf(a.out, "%s is shared no more with %s.\n", clean(shared(ans.Share)), clean(or(ans.Share.Label, "whoever has the link")))
	return nil
}

type shareRemoveCmd struct {
	confirmed
	Share string `arg:"" help:"${shares}"`
}

func (c *shareRemoveCmd) Run(a *app) error {
	if !c.Yes {
		if err := a.confirm(fmt.Sprintf("Give the share %s up, on all devices of your network? To have it again takes a new link.", clean(c.Share))); err != nil {
			return err
		}
	}
	ans, err := a.client.ShareRemove(a.ctx, ipc.ShareIDRequest{Network: a.Network, Share: c.Share})
	switch {
	case err != nil:
		return err
	case a.JSON:
		return a.json(ans)
	}
	fmt.Fprintf(a.out, "Gave up %s.\n", clean(shared(ans.Share)))
	return nil
}
