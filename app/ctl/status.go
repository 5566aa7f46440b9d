package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kith.internal/ipc"
)

type statusCmd struct{}

func (c *statusCmd) Run(a *app) error {
	st, err := a.client.Status(a.ctx)
	if err != nil {
		return err
	}
	if a.Network != "" {
		st.Joining = slices.DeleteFunc(st.Joining, func(j ipc.Joining) bool {
			return j.Network != a.Network && !idPrefix(j.ID, a.Network)
		})
	}
	nets, err := pick(st.Networks, a.Network)
	if err != nil && len(st.Joining) == 0 {
		return err
	}
	st.Networks = nets
	if nets == nil {
		st.Networks = []ipc.Network{} // never null in JSON
	}
	if a.JSON {
		return a.json(st)
	}
	fmt.Fprintln(a.out, headline(st))
	for _, j := range st.Joining {
		fmt.Fprintf(a.out, "Joining %s through %s: %s. The link is good until %s.\n",
			clean(j.Network), clean(j.Sponsor), stage(j.Stage), a.clock(j.Expires))
	}
	for _, n := range st.Networks {
		a.printNetwork(n)
	}
	a.printHealth(st.Health)
	return nil
}

func stage(s ipc.JoinStage) string {
	switch s {
	case ipc.JoinSearching:
		return "looking for that device"
	case ipc.JoinAsking:
		return "waiting to be let in"
	case ipc.JoinAdmitted:
		return "let in, connecting"
	}
	return clean(string(s))
}

// headline says the state as a whole in one line.
func headline(st ipc.Status) string {
	switch st.State {
	case ipc.StateOff:
		return "Kith is off. Turn it on with kith up."
	case ipc.StateStarting:
		return "Kith is starting."
	case ipc.StateStopping:
		return "Kith is stopping."
	case ipc.StateError:
		return "Kith cannot work; the warnings say why."
	case ipc.StateRunning:
	default:
		return "Kith is in a state that this program does not know: " + clean(string(st.State)) + "."
	}
	if len(st.Networks) == 0 && len(st.Joining) == 0 {
		return "This device is in no network. Create one with kith create NAME or join with kith join -"
	}
	on, peers := 0, 0
	for _, n := range st.Networks {
		peers += len(n.Peers)
		for _, p := range n.Peers {
			if p.Online {
				on++
			}
		}
	}
	if peers == 0 {
		return "Kith is running."
	}
	return fmt.Sprintf("Kith is running: %d of %d other devices online.", on, peers)
}

func (a *app) printNetwork(n ipc.Network) {
	fmt.Fprintf(a.out, "\nNetwork %s", clean(n.Alias))
	if n.Alias != n.Name {
		fmt.Fprintf(a.out, " (named %s)", clean(n.Name))
	}
	if !n.Active {
		fmt.Fprint(a.out, ", off")
	}
	fmt.Fprintln(a.out)
	fmt.Fprintf(a.out, "  This device: %s, %s\n", describe(n.Self), clean(string(n.Self.Role)))
	if n.Self.Expires != nil {
		fmt.Fprintf(a.out, "  Membership ends: %s\n", a.clock(*n.Self.Expires))
	}
	if n.Exit.Using != nil {
		fmt.Fprintf(a.out, "  Exit node: %s (%s)\n", clean(*n.Exit.Using), clean(string(n.Exit.State)))
	}
	switch {
	case n.Exit.Offering:
		fmt.Fprintln(a.out, "  Offered as an exit node")
	case n.Exit.Pending:
		fmt.Fprintln(a.out, "  Offered as an exit node: waits for an admin's word")
	}
	for _, r := range n.Routes {
		if r.Own || r.Accepted {
			fmt.Fprintf(a.out, "  Subnet %s through %s: %s\n", r.Prefix, clean(r.Device), clean(routeSays(r)))
		}
	}
	if n.Relay.On {
		fmt.Fprintln(a.out, strings.TrimSuffix("  Relay: "+clean(strings.Join(n.Relay.Advertised, ", ")), ": ")+limitOf(n.Relay))
	}
	if n.Relay.Pending {
		fmt.Fprintln(a.out, "  Relay: waits for an admin's word")
	}
	if n.Shields {
		fmt.Fprintln(a.out, "  "+shieldsUp)
	}
	friends := sharedDevices(n)
	if len(n.Peers) == 0 {
		fmt.Fprintln(a.out, "  No other devices yet. Let one in with kith invite")
		if len(friends) == 0 {
			return
		}
	}
	fmt.Fprintln(a.out)
	t := table{indent: "  "}
	t.row(append([]string{"DEVICE", "STATE", "PATH", "LATENCY", "IPV4", "IPV6"}, whyHead(n.Peers)...)...)
	for _, p := range n.Peers {
		t.row(a.peerCells(p)...)
	}
	for _, d := range friends {
		t.row(a.peerCells(d.peer())...)
	}
	t.print(a.out)
}

// sharedDevice is a friend's device that this one may reach.
type sharedDevice struct {
	Network string `json:"network"` // the friend's, as this device calls it
	ipc.SharedDevice
}

// sharedDevices is those that friends share with this device, each once.
func sharedDevices(n ipc.Network) (out []sharedDevice) {
	for _, s := range n.Shares {
		if s.Direction != "in" || s.State != ipc.ShareActive {
			continue
		}
		for _, d := range s.Devices {
			i := slices.IndexFunc(out, func(o sharedDevice) bool { return o.FQDN == d.FQDN })
			if i < 0 {
				out = append(out, sharedDevice{s.Network, d})
			} else if d.Exit {
				out[i].Exit = true // by one share of several
			}
		}
	}
	return out
}

// called is a friend's device's name with its network's.
func (d sharedDevice) called() string { return d.Name + "." + d.Network }

// peer is the friend's device as one of one's own is shown.
func (d sharedDevice) peer() ipc.Peer {
	return ipc.Peer{Name: d.called(), Online: d.Online, Path: d.Path, Via: d.Via, LatencyMS: d.LatencyMS, IPv4: d.IPv4, IPv6: d.IPv6}
}

const shieldsUp = "Shields are up: nothing comes in here but answers; kith up --shields=off ends that"

func (a *app) peerCells(p ipc.Peer) []string {
	return []string{p.Name, a.presence(p), path(p), latency(p.LatencyMS), text(p.IPv4), text(p.IPv6), whyNot(p.Why)}
}

// whyHead is the head of the last column, where any row has something there.
func whyHead(peers []ipc.Peer) []string {
	if slices.ContainsFunc(peers, func(p ipc.Peer) bool { return whyNot(p.Why) != "" }) {
		return []string{"WHY NOT DIRECT"}
	}
	return nil
}

func (a *app) presence(p ipc.Peer) string {
	switch {
	case p.Online:
		return "online"
	case p.LastSeen != nil:
		return "offline, seen " + ago(a.now().Sub(*p.LastSeen))
	}
	return "offline"
}

func path(p ipc.Peer) string {
	if p.Path == ipc.PathNone || p.Path == "" {
		return "-"
	}
	s := string(p.Path)
	if p.Via != nil {
		s += " via " + *p.Via
	}
	if p.Transport != nil && *p.Transport != ipc.TransportUDP {
		s += " (" + string(*p.Transport) + ")"
	}
	return s
}

func latency(ms *float64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms < 10:
		return fmt.Sprintf("%.1f ms", *ms)
	}
	return fmt.Sprintf("%.0f ms", *ms)
}

// ago is a time span in the largest unit that fits.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

func (a *app) printHealth(hs []ipc.Health) {
	if len(hs) == 0 {
		return
	}
	fmt.Fprintln(a.out)
	t := table{}
	for _, h := range hs {
		where := h.Text
		if h.Network != "" {
			where = h.Network + ": " + h.Text
		}
		t.row(strings.ToUpper(string(h.Severity)), h.Code, where)
	}
	t.print(a.out)
}

type peersCmd struct{}

// peerRow is a peer with the network it is in.
type peerRow struct {
	Network string `json:"network"`
	ipc.Peer
}

func (c *peersCmd) Run(a *app) error {
	nets, err := a.networks()
	if err != nil {
		return err
	}
	rows, friends := []peerRow{}, []sharedDevice{}
	for _, n := range nets {
		for _, p := range n.Peers {
			rows = append(rows, peerRow{n.Alias, p})
		}
		friends = append(friends, sharedDevices(n)...)
	}
	if a.JSON {
		return a.json(struct {
			Schema int            `json:"schema"`
			Peers  []peerRow      `json:"peers"`
			Shared []sharedDevice `json:"shared"`
		}{ipc.Schema, rows, friends})
	}
	for _, d := range friends {
		rows = append(rows, peerRow{d.Network, d.peer()})
	}
	switch {
	case len(nets) == 0:
		a.note("This device is in no network. Create one with kith create NAME or join with kith join -")
		return nil
	case len(rows) == 0:
		a.note("No other devices yet. Let one in with kith invite")
		return nil
	}
	t := table{}
	head := []string{"NETWORK", "DEVICE", "STATE", "PATH", "LATENCY", "IPV4", "IPV6", "ENDPOINT", "RECEIVED", "SENT"}
	if slices.ContainsFunc(rows, func(r peerRow) bool { return whyNot(r.Why) != "" }) {
		head = append(head, "WHY NOT DIRECT")
	}
	t.row(head...)
	for _, r := range rows {
		cells := append([]string{r.Network}, a.peerCells(r.Peer)...)
		why := cells[len(cells)-1]
		t.row(append(cells[:len(cells)-1], text(r.Endpoint), bytesOf(r.RxBytes), bytesOf(r.TxBytes), why)...)
	}
	t.print(a.out)
	return nil
}

// idPrefix tells whether s is enough of an ID's start to mean it.
func idPrefix(id, s string) bool { return len(s) >= 4 && strings.HasPrefix(id, s) }

// pick returns the networks that name means, all for "". As the helper does it
// takes a name, an alias or the start of an ID.
func pick(nets []ipc.Network, name string) ([]ipc.Network, error) {
	if name == "" {
		return nets, nil
	}
	var byID, byName []ipc.Network
	for _, n := range nets {
		switch {
		case n.Alias == name || n.ID == name:
			return []ipc.Network{n}, nil
		case n.Name == name:
			byName = append(byName, n)
		case idPrefix(n.ID, name):
			byID = append(byID, n)
		}
	}
	found := byName
	if len(found) == 0 {
		found = byID
	}
	switch len(found) {
	case 0:
		return nil, ipc.Errorf(ipc.CodeNotFound, "this device is in no network %q", name)
	case 1:
		return found, nil
	}
	return nil, ipc.Errorf(ipc.CodeAmbiguous, "more than one network matches %q", name)
}

// networks is all of them, or the one that was named.
func (a *app) networks() ([]ipc.Network, error) {
	st, err := a.client.Status(a.ctx)
	if err != nil {
		return nil, err
	}
	return pick(st.Networks, a.Network)
}
