package ipc

import (
	"net/netip"
	"time"
)

// Device is one row of "kith device list": members first, then those waiting
// for approval.
type Device struct {
	Name    string      `json:"name"`
	FQDN    string      `json:"fqdn"`
	IPv4    *netip.Addr `json:"ipv4"`
	IPv6    *netip.Addr `json:"ipv6"`
	Role    Role        `json:"role"`
	Tags    []string    `json:"tags"`
	Key     string      `json:"key"`
	Self    bool        `json:"self"`
	Online  bool        `json:"online"`
	Added   *time.Time  `json:"added"`
	AddedBy string      `json:"added_by"` // device name, or "root"
	Expires *time.Time  `json:"expires"`
	Pending *Request    `json:"pending"` // the first of Asks, null for none
	Asks    []Request   `json:"asks"`    // all that it asks an admin for
}

// Request is what a device asks an admin for.
type Request struct {
	Kind  string `json:"kind"`  // "rename", "renew", "relay", "exit", "route"
	Value string `json:"value"` // the new name; where the relay is found; the route
}

type DeviceList struct {
	Schema  int      `json:"schema"`
	Devices []Device `json:"devices"`
}

type DeviceRequest struct {
	Network string `json:"network"`
	Device  string `json:"device"` // name, FQDN or key prefix; "" is this device where that makes sense
	Name    string `json:"name"`   // the new name, for rename
	// Asks is what the person has seen that the device asks for, for approve:
	// that is granted, and nothing that it asks for besides or instead.
	Asks []Request `json:"asks"`

	// For revoke. Since undoes what the device did after a time as well, by when it
	// arrived here; DryRun says what would change, no more. Plan is Removal.Plan as a
	// person has seen it, or "": another removal than that is refused with CodeChanged.
	Since  *time.Time `json:"since"`
	DryRun bool       `json:"dry_run"`
	Plan   string     `json:"plan"`
}

// DeviceAnswer says what became of a change to a device.
type DeviceAnswer struct {
	Schema  int    `json:"schema"`
	Device  string `json:"device"`  // its name now
	Pending bool   `json:"pending"` // asked for; an admin has to approve
	// Dropped names the devices that a revocation took along.
	Dropped []string `json:"dropped"`
	// Removal is what a revocation changes, for one with DryRun, Since or Plan.
	Removal *Removal `json:"removal"`
}

// Removal is what changes with the removal of devices, themselves left out.
type Removal struct {
	Plan    string     `json:"plan"`    // stands for all this
	Since   *time.Time `json:"since"`   // what they did later is undone; null: nothing is
	Undone  int        `json:"undone"`  // records that end
	Early   int        `json:"early"`   // of those, dated before Since, though they arrived here later
	Held    *time.Time `json:"held"`    // this device holds the records since then alone, which is after Since; else null
	Dropped []Dropped  `json:"dropped"` // lose access
	// Names of devices, or short keys.
	Returned   []string `json:"returned"`   // have access again
	Demoted    []string `json:"demoted"`    // have a lesser role
	Repeated   []string `json:"repeated"`   // stay removed: this device says in its own name what those said
	Readmitted []string `json:"readmitted"` // stay: admitted anew by this device
	Invites    int      `json:"invites"`    // that end
	Settings   []string `json:"settings"`   // that change: "policy", "dns/…", "dev/NAME/tags", "share/…"
}

// Dropped is a device that loses access as who admitted it is removed. DeviceReadmit
// takes its key.
type Dropped struct {
	Name  string     `json:"name"`
	Key   string     `json:"key"`
	Added *time.Time `json:"added"` // as its admission is dated
}

// RoleRequest gives a device another role: RoleOwner, RoleAdmin, RoleSponsor or
// RolePlain. To make an owner, or change an owner's role, takes the root phrase.
type RoleRequest struct {
	Network string `json:"network"`
	Device  string `json:"device"` // name, FQDN or key prefix
	Role    Role   `json:"role"`
	Phrase  string `json:"phrase"` // 24 words, or ""
}

type RoleAnswer struct {
	Schema  int      `json:"schema"`
	Device  string   `json:"device"`
	Role    Role     `json:"role"`    // now
	Dropped []string `json:"dropped"` // devices that are no members any more, as it had admitted them
	Demoted []string `json:"demoted"` // devices with a lesser role now, as it had given them theirs
}

// TagRequest adds tags to a device and removes others.
type TagRequest struct {
	Network string   `json:"network"`
	Device  string   `json:"device"` // name, FQDN or key prefix; "" is this device
	Add     []string `json:"add"`
	Remove  []string `json:"remove"`
}

type TagAnswer struct {
	Schema int      `json:"schema"`
	Device string   `json:"device"`
	Tags   []string `json:"tags"` // now, ascending
}
