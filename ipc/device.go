package ipc

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
