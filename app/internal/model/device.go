package model

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// devices lists the peers of all networks by name, then network; for a menu the
// exit nodes among them, which nobody searches there.
func devices(st ipc.Status, menu bool) []Device {
	var rows []Device
	for _, n := range st.Networks {
		active := n.Active && st.State != ipc.StateOff
		for i := range n.Peers {
			p := n.Peers[i]
			if menu && !p.Exit && (n.Exit.Using == nil || *n.Exit.Using != p.Name) {
				continue
			}
			d := Device{Net: n.ID, NetName: alias(n), Peer: p, Dot: DotOffline}
			switch {
			case n.Self.Role == ipc.RoleRemoved, !active:
				// Nothing is known of a peer of a network that is off.
				d.Dot = DotUnknown
			case p.Online:
				d.Dot = DotOnline
			}
			d.Relayed = p.Path == ipc.PathRelayed || p.Path == ipc.PathForwarded
			d.Fresh = p.Active
			if !menu {
				d.Haystack = haystack(alias(n), p)
			}
			rows = append(rows, d)
		}
	}
	rows = append(rows, shared(st)...)
	slices.SortStableFunc(rows, func(a, b Device) int {
		return cmp.Or(strings.Compare(a.Peer.Name, b.Peer.Name), strings.Compare(a.NetName, b.NetName))
	})
	return rows
}

func haystack(net string, p ipc.Peer) string {
	// Without ".internal", which would match every search for a part of it.
	parts := []string{p.Name + "." + net}
	for _, a := range []*netip.Addr{p.IPv4, p.IPv6} {
		if a != nil {
			parts = append(parts, a.String())
		}
	}
	parts = append(append(parts, p.Tags...), p.AddedBy)
	if p.Role != ipc.RolePlain {
		parts = append(parts, string(p.Role))
	}
	return strings.ToLower(strings.Join(parts, "\n"))
}

// Filter chooses rows of Devices.
type Filter int

const (
	FilterAll Filter = iota
	FilterOnline
	FilterOffline
)

// Search gives the devices that match every word of the query.
func Search(all []Device, query string, f Filter) []Device {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 && f == FilterAll {
		return all
	}
	var found []Device
next:
	for _, d := range all {
		if f == FilterOnline && d.Dot != DotOnline || f == FilterOffline && d.Dot == DotOnline {
			continue
		}
		for _, w := range words {
			if !strings.Contains(d.Haystack, strings.TrimSuffix(w, ".internal")) {
				continue next
			}
		}
		found = append(found, d)
	}
	return found
}

// Path says how a device is reached, or when it was seen last.
func Path(c *text.Catalogue, d Device, now time.Time) string {
	p := d.Peer
	switch {
	case d.Dot == DotUnknown:
		return c.S("row.inactive")
	case d.Dot == DotOffline && p.LastSeen == nil:
		return c.S("row.never")
	case d.Dot == DotOffline:
		return c.S("row.seen", "ago", c.Ago(now.Sub(*p.LastSeen)))
	}
	how := pathKind(c, p)
	if p.LatencyMS == nil || p.Path == ipc.PathNone {
		return how
	}
	return c.S("row.latency", "path", how, "latency", c.Latency(*p.LatencyMS))
}

func pathKind(c *text.Catalogue, p ipc.Peer) string { return PathWords(c, p.Path, p.Via) }

// PathWords says a kind of path and who is in between, nil where unknown.
func PathWords(c *text.Catalogue, kind ipc.PathKind, via *string) string {
	switch kind {
	case ipc.PathLAN:
		return c.S("row.lan")
	case ipc.PathDirect:
		return c.S("row.direct")
	case ipc.PathRelayed:
		if via == nil {
			return c.S("row.relayed.anon")
		}
		return c.S("row.relayed", "via", *via)
	case ipc.PathForwarded:
		if via == nil {
			return c.S("row.forward.anon")
		}
		return c.S("row.forwarded", "via", *via)
	}
	return c.S("row.nopath")
}

// Why explains a device's path in a sentence or two.
func Why(c *text.Catalogue, d Device) string {
	p := d.Peer
	via := "?"
	if p.Via != nil {
		via = *p.Via
	}
	switch {
	case d.Dot == DotUnknown:
		return ""
	case d.Dot == DotOffline:
		return c.S("why.offline")
	case p.Path == ipc.PathNone:
		return reason(c, p, c.S("why.none"))
	}
	var why string
	switch p.Path {
	case ipc.PathLAN:
		why = c.S("why.lan")
	case ipc.PathDirect:
		why = c.S("why.direct")
	case ipc.PathRelayed:
		why = c.S("why.relayed", "via", via)
	case ipc.PathForwarded:
		why = c.S("why.forwarded", "via", via)
	}
	if d.Relayed {
		why = reason(c, p, why)
		if p.Transport != nil && *p.Transport == ipc.TransportTLS {
			why += " " + c.S("why.tls")
		}
	}
	if !p.Active && why != "" {
		why += " " + c.S("why.idle")
	}
	return why
}

// reason puts why there is no direct way behind what is said of the path. A
// reason of a newer helper is left out.
func reason(c *text.Catalogue, p ipc.Peer, said string) string {
	if p.Why == nil || !c.Has(text.Key("whynot."+string(*p.Why))) {
		return said
	}
	return said + " " + c.S(text.Key("whynot."+string(*p.Why)))
}

// Word is the word beside a device's dot.
func Word(c *text.Catalogue, d Dot) string {
	switch d {
	case DotOnline:
		return c.S("word.online")
	case DotOffline:
		return c.S("word.offline")
	}
	return c.S("word.unknown")
}

// RoleWord says a role; a role of a newer helper is said as it came.
func RoleWord(c *text.Catalogue, r ipc.Role) string {
	return c.Say(text.Msg{Key: text.Key("role." + string(r)), Fallback: string(r)})
}

// Facts says a network's second line.
func Facts(c *text.Catalogue, n Net) string {
	m := text.Msg{Key: n.Facts.Key, Args: text.Args{}}
	for k, v := range n.Facts.Args {
		m.Args[k] = v
	}
	m.Args["role"] = RoleWord(c, n.Role)
	return c.Say(m)
}
