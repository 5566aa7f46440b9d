package model

import (
	"slices"
	"strings"
	"time"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// Share is one share with its network.
type Share struct {
	Net string // network ID
	ipc.Share
}

// shares lists those of all networks: what waits for a word first, then what
// is in use, then what is over.
func shares(st ipc.Status) (rows []Share) {
	for _, n := range st.Networks {
		for _, s := range n.Shares {
			rows = append(rows, Share{n.ID, s})
		}
	}
	order := []ipc.ShareState{ipc.ShareConfirm, ipc.ShareAsking, ipc.ShareActive, ipc.SharePending, ipc.ShareExpired, ipc.ShareRevoked}
	slices.SortStableFunc(rows, func(a, b Share) int {
		if d := slices.Index(order, a.State) - slices.Index(order, b.State); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return rows
}

// Over tells whether a share is no more than a memory.
func (s Share) Over() bool { return s.State == ipc.ShareExpired || s.State == ipc.ShareRevoked }

// shared lists the devices that friends share, as rows of Devices.
func shared(st ipc.Status) (rows []Device) {
	for _, n := range st.Networks {
		for _, s := range n.Shares {
			if s.Direction != "in" || s.State != ipc.ShareActive {
				continue
			}
			for _, t := range s.Devices {
				d := Device{Net: n.ID, NetName: s.Network, Shared: s.ID, SharedBy: s.Label, Dot: DotOffline}
				d.Peer = ipc.Peer{
					Name: t.Name, FQDN: t.FQDN, IPv4: t.IPv4, IPv6: t.IPv6, Online: t.Online, Active: t.Online,
					Path: t.Path, Via: t.Via, LatencyMS: t.LatencyMS, Exit: t.Exit,
				}
				switch {
				case !n.Active || st.State == ipc.StateOff:
					d.Dot = DotUnknown
				case t.Online:
					d.Dot = DotOnline
				}
				d.Relayed = t.Path == ipc.PathRelayed || t.Path == ipc.PathForwarded
				d.Haystack = haystack(s.Network, d.Peer) + "\n" + strings.ToLower(s.Label)
				rows = append(rows, d)
			}
		}
	}
	return rows
}

// PortNames are the services that people know by name.
var PortNames = []struct {
	Key   text.Key
	Ports []string
}{
	{"ports.all", []string{"all"}},
	{"ports.files", []string{"445/tcp"}},
	{"ports.web", []string{"80/tcp", "443/tcp"}},
	{"ports.ssh", []string{"22/tcp"}},
	{"ports.desktop", []string{"3389/tcp", "3389/udp"}},
}

// PortWords says ports, by name where they have one.
func PortWords(c *text.Catalogue, ports []string) string {
	if slices.Equal(ports, []string{"none"}) {
		return c.S("ports.none")
	}
	left := slices.Clone(ports)
	var words []string
	for _, n := range PortNames {
		has := func(p string) bool { return slices.Contains(left, p) }
		if !slices.ContainsFunc(n.Ports, func(p string) bool { return !has(p) }) {
			words = append(words, c.S(n.Key))
			left = slices.DeleteFunc(left, func(p string) bool { return slices.Contains(n.Ports, p) })
		}
	}
	for _, p := range left {
		words = append(words, text.Clean(p))
	}
	return strings.Join(words, ", ")
}

// ShareWords says how far a share has come.
func ShareWords(c *text.Catalogue, s Share) string {
	state := s.State
	if s.Direction == "in" && state == ipc.ShareConfirm {
		state = ipc.ShareAsking // for the owner's word
	}
	return c.Say(text.Msg{Key: text.Key("share.state." + string(state)), Fallback: string(state)})
}

// ShareWhy says why a share does not work, "" where it does.
func ShareWhy(c *text.Catalogue, s Share) string {
	if s.Why == nil {
		return ""
	}
	key := text.Key("share.why." + string(*s.Why))
	if s.Direction == "out" {
		key = text.Key("share.why.own." + string(*s.Why))
	}
	if c.Has(key) {
		return c.Say(text.Msg{Key: key, Args: s.WhyArgs})
	}
	return c.Error(string(*s.Why), string(*s.Why), s.WhyArgs)
}

// RefusalWords says who was not let in by a share, and why.
func RefusalWords(c *text.Catalogue, r ipc.Refusal, now time.Time) string {
	m := text.M("share.refused", "ago", c.Ago(now.Sub(r.At)))
	switch {
	case r.Link && r.Label != "":
		m.Key = "share.refused.link"
	case r.Link:
		m.Key = "share.refused.link.anon"
	case r.Label == "":
		m.Key = "share.refused.anon"
	}
	m.Args["label"], m.Args["device"], m.Args["why"] = r.Label, r.Device, refusedWhy(c, r)
	if r.Count > 1 {
		return c.Say(text.M("share.refused.times", "words", c.Say(m), "n", text.Number(r.Count)))
	}
	return c.Say(m)
}

// refusedWhy says why, as the owner is told.
func refusedWhy(c *text.Catalogue, r ipc.Refusal) string {
	return c.Say(text.Msg{Key: text.Key("refused." + string(r.Code)), Fallback: r.Text})
}

// worthRefusing lists why somebody was refused that the owner hears of with no
// window open: somebody else has the link, or a pass that is not the friend's.
var worthRefusing = map[ipc.Code]text.Key{
	ipc.CodeLinkUsed: "notice.refused.link-used", ipc.CodePassInvalid: "notice.refused.pass-invalid", ipc.CodeLimit: "notice.refused.limit",
}

// ShareName is the name by which a received share is found.
func ShareName(s ipc.Share) string {
	if len(s.Devices) > 0 {
		return s.Devices[0].FQDN
	}
	return s.Name
}
