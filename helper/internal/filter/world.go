package filter

import (
	"net/netip"

	"kith.internal/helper/internal/key"
)

// World is what the rules of one device are made for.
type World struct {
	Networks []netip.Prefix // overlay prefixes: every other address is outside
	Self     key.Public
	Devices  []Device // members, self among them
	Guests   []Guest  // who may come to this device, or be reached from it
	Shares   []string // IDs of all shares of the network, for Check
	// What this device passes on now for others, beyond the overlay.
	Exit   bool
	LAN    bool // with Exit: to private networks, too
	Routes []netip.Prefix
	Links  []netip.Prefix // this device's own networks beside the overlay: never a guest's
	Host   []netip.Addr   // what it takes for itself there: who reaches that reaches this device
	Apart  []netip.Prefix // its other overlays: nothing is passed on there
	// Subnets that this device accepts from other members. A sender outside the
	// overlay speaks from these alone: the exit node in use may have any source.
	Accepted []netip.Prefix
}

// Device is a member.
type Device struct {
	Key    key.Public
	Name   string
	Tags   []string
	Addrs  []netip.Addr
	Admin  bool           // it may change the roster
	Exit   bool           // an approved exit node: who reaches the internet may ask it for names
	Routes []netip.Prefix // approved
}

// Guest is a friend's device that comes by one share; by two, it is listed twice.
// Where this device is the guest itself, it is what is shared with it.
type Guest struct {
	Addrs []netip.Addr
	Label string
	Share string   // the share's ID
	To    []string // names of the devices that it reaches; for Reach alone
	Ports Ports    // what the share opens
	In    bool     // on this device
	Out   bool     // there, by this device
	Exit  bool     // it may go on to the internet
	Names bool     // it is asked for names, as this device's exit node
}

// subject is who sends or gets a packet, as a policy sees it.
type subject struct {
	name  string // of a device
	tags  []string
	share string // of a guest
	addrs []netip.Addr
	out   bool // an address outside the overlay
}

func (d *Device) subject() subject { return subject{name: d.Name, tags: d.Tags, addrs: d.Addrs} }
func (g *Guest) subject() subject {
	return subject{share: g.Share, addrs: g.Addrs}
}
func outside(a netip.Addr) subject { return subject{out: true, addrs: []netip.Addr{a}} }

func (w *World) self() *Device {
	for i := range w.Devices {
		if w.Devices[i].Key == w.Self {
			return &w.Devices[i]
		}
	}
	return nil
}

func (w *World) overlay(a netip.Addr) bool { return within(w.Networks, a) }

func within(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
