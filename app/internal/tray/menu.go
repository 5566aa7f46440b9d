// Package tray turns a View into a menu that is plain data, and shows such a
// menu through one thin adapter to the systray. It must not import Fyne.
package tray

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
)

// MaxRows bounds the first level of the menu, separators not counted.
const MaxRows = 12

// maxNets and maxExits bound the lists in the submenus, maxNames the rows with
// this device's own names.
const (
	maxNets  = 8
	maxExits = 8
	maxNames = 2
)

// Verb is what a row does when clicked.
type Verb int

const (
	Nothing    Verb = iota
	Open            // the window; Arg: page "devices", "networks", "sharing", "exits", "diagnostics", "settings", a dialog "join", "create", "share", or ""
	Copy            // Arg to the clipboard
	Up              // Arg: network ID, "" for all
	Down            // the same
	Act             // on the banner's problem
	Quit            // the app goes, the connection stays
	DownQuit        // both go
	RestartApp      // after an update
	ExitUse         // Arg: the device's key or name, Net: network ID
	ExitOff         // Arg: network ID
	ExitLAN         // as ExitUse; On: the local network stays reachable
)

// Command is a row's verb with its argument.
type Command struct {
	Verb   Verb
	Arg    string
	Net    string
	On     bool
	LANs   []netip.Prefix // with ExitLAN: these alone
	Action model.Action
}

// Row is one row of the menu.
type Row struct {
	Label     string
	Separator bool
	Checkable bool
	Checked   bool
	Disabled  bool
	Command   Command
	Sub       []Row
}

// Menu is the menu for a View.
func Menu(c *text.Catalogue, v model.View, now time.Time) []Row {
	rows := head(c, v, now)
	rows = append(rows, Row{Separator: true})
	rows = append(rows, names(v)...)
	if v.Known {
		rows = append(rows, networks(c, v))
		if len(v.Nets) > 0 {
			rows = append(rows, exits(c, v))
		}
	}
	if !rows[len(rows)-1].Separator {
		rows = append(rows, Row{Separator: true})
	}
	rows = append(rows,
		Row{Label: c.S("tray.devices"), Command: Command{Verb: Open, Arg: "devices"}},
		Row{Label: c.S("tray.share"), Command: Command{Verb: Open, Arg: "share"}},
		Row{Label: c.S("tray.settings"), Command: Command{Verb: Open, Arg: "settings"}},
		Row{Separator: true})
	if v.Versions {
		rows = append(rows, Row{Label: c.S("tray.update"), Command: Command{Verb: RestartApp}})
	}
	rows = append(rows, Row{Label: c.S("tray.quit"), Command: Command{Verb: Quit}})
	if v.Switch == model.SwitchDisconnect {
		rows = append(rows, Row{Label: c.S("tray.downquit"), Command: Command{Verb: DownQuit}})
	}
	return rows
}

// exits is the row with the submenu of exit nodes.
func exits(c *text.Catalogue, v model.View) Row {
	none := c.S("tray.exit.none")
	using := none
	sub := []Row{{Label: none, Checkable: true, Checked: v.Exit.Using == "", Disabled: !v.May, Command: Command{Verb: ExitOff, Arg: v.Exit.Net}}}
	for _, n := range offered(v.Exit.Nodes) {
		name := text.Clean(v.Exit.Name(n))
		if n.Using {
			using = name
		}
		label := name
		if !n.Usable() {
			label = c.S("tray.exit.gone", "name", name)
		}
		sub = append(sub, Row{
			Label: label, Checkable: true, Checked: n.Using, Disabled: !v.May || !n.Usable() && !n.Using,
			Command: Command{Verb: ExitUse, Arg: n.Target(), Net: n.Device.Net},
		})
	}
	if len(v.Exit.Nodes) > maxExits {
		sub = append(sub, Row{Label: c.S("tray.more"), Command: Command{Verb: Open, Arg: "exits"}})
	}
	sub = append(sub, Row{Separator: true})
	lan := Row{Label: c.S("tray.exit.lan"), Checkable: true, Checked: v.Exit.AllowLAN, Disabled: !v.May,
		Command: Command{Verb: ExitLAN, On: !v.Exit.AllowLAN, LANs: v.Exit.Only}}
	return Row{Label: c.S("tray.exit", "name", using), Sub: append(sub, lan)}
}

// offered are the nodes that the menu has room for, those that were never used by
// name: a menu that is open keeps its rows while latencies change.
func offered(nodes []model.ExitNode) []model.ExitNode {
	list := slices.Clone(nodes[:min(len(nodes), maxExits)])
	first := slices.IndexFunc(list, func(n model.ExitNode) bool { return !n.Using && !n.Recent })
	if first >= 0 {
		slices.SortStableFunc(list[first:], func(a, b model.ExitNode) int {
			return cmp.Or(cmp.Compare(b.Device.Dot, a.Device.Dot), strings.Compare(a.Device.Peer.Name, b.Device.Peer.Name))
		})
	}
	return list
}

// head is what is so, what is wrong, and the switch.
func head(c *text.Catalogue, v model.View, now time.Time) []Row {
	title := text.Key("tray.title.off")
	if v.Icon == model.IconOn || v.Icon == model.IconExit {
		title = "tray.title"
	}
	rows := []Row{{Label: c.S(title, "text", c.Say(v.Title)), Command: Command{Verb: Open}}}
	switch {
	case v.NoGL:
		rows = append(rows, Row{Label: c.S("tray.problem", "text", c.S("problem.nogl.row")), Command: Command{Verb: Open}})
	case v.Banner != nil:
		rows = append(rows, Row{
			Label:   c.S("tray.problem", "text", model.Say(c, *v.Banner, now)),
			Command: Command{Verb: Act, Action: v.Banner.Action},
		})
	}
	switch v.Switch {
	case model.SwitchConnect:
		rows = append(rows, Row{Label: c.S("tray.connect"), Command: Command{Verb: Up}})
	case model.SwitchDisconnect:
		rows = append(rows, Row{Label: c.S("tray.disconnect"), Command: Command{Verb: Down}})
	}
	return rows
}

// names are this device's own names; a click copies one.
func names(v model.View) (rows []Row) {
	for _, n := range v.Nets {
		if len(rows) < maxNames && n.SelfFQDN != "" && !n.Removed {
			rows = append(rows, Row{Label: text.Clean(n.SelfFQDN), Command: Command{Verb: Copy, Arg: n.SelfFQDN}})
		}
	}
	return rows
}

// networks is the row with the submenu of networks.
func networks(c *text.Catalogue, v model.View) Row {
	row := Row{Label: c.S("tray.nonetwork")}
	switch len(v.Nets) {
	case 0:
	case 1:
		row.Label = c.S("tray.network", "name", v.Nets[0].Name)
	default:
		row.Label = c.S("tray.networks", "n", text.Number(len(v.Nets)))
	}
	for i, n := range v.Nets {
		if i == maxNets {
			row.Sub = append(row.Sub, Row{Label: c.S("tray.more"), Command: Command{Verb: Open, Arg: "networks"}})
			break
		}
		verb := Up
		if n.Active {
			verb = Down
		}
		row.Sub = append(row.Sub, Row{
			Label: text.Clean(n.Name), Checkable: true, Checked: n.Active && !n.Removed, Disabled: !v.May || n.Removed,
			Command: Command{Verb: verb, Arg: n.ID},
		})
	}
	if len(row.Sub) > 0 {
		row.Sub = append(row.Sub, Row{Separator: true})
	}
	row.Sub = append(row.Sub,
		Row{Label: c.S("tray.join"), Disabled: !v.May, Command: Command{Verb: Open, Arg: "join"}},
		Row{Label: c.S("tray.create"), Disabled: !v.May, Command: Command{Verb: Open, Arg: "create"}})
	return row
}

// Look is all that the tray shows.
type Look struct {
	Rows    []Row
	State   string // the icon's name in assets
	Tooltip string
}

// LookOf is the tray for a View.
func LookOf(c *text.Catalogue, v model.View, now time.Time) Look {
	return Look{Rows: Menu(c, v, now), State: IconName(v.Icon), Tooltip: c.S("tray.tooltip", "text", c.Say(v.Title))}
}

// IconName is the name that assets knows an icon by.
func IconName(i model.Icon) string {
	switch i {
	case model.IconConnecting:
		return "connecting"
	case model.IconOn:
		return "on"
	case model.IconProblem:
		return "problem"
	case model.IconOffline:
		return "offline"
	case model.IconExit:
		return "exit"
	}
	return "off"
}
