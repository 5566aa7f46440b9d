package ipc

// PolicyRequest carries a policy to check or to set.
type PolicyRequest struct {
	Network string `json:"network"`
	Text    string `json:"text"`    // JSON with comments; "" is the default: members reach members
	DryRun  bool   `json:"dry_run"` // check it and say what would change, no more
}

// PolicyAnswer is the policy in force, or what one would do.
type PolicyAnswer struct {
	Schema int            `json:"schema"`
	Text   string         `json:"text"`   // in force, "" for the default
	SetBy  string         `json:"set_by"` // device name; "" for the default
	Faults []PolicyFault  `json:"faults"` // why it cannot be set
	Gains  []PolicyChange `json:"gains"`  // who would reach what and does not now
	Loses  []PolicyChange `json:"loses"`
	// Of very many changes the first are listed: how many there are besides.
	MoreGains int `json:"more_gains"`
	MoreLoses int `json:"more_loses"`
	// Partial says that among so many devices not all were compared: there may be
	// changes that are neither listed nor counted.
	Partial bool `json:"partial"`
	Set     bool `json:"set"` // it is in force now
}

// PolicyFault is one thing wrong with a policy.
type PolicyFault struct {
	Line   int    `json:"line"` // from 1; 0 where it is about the whole
	Column int    `json:"column"`
	Code   string `json:"code"` // malformed, unknown-device, unknown-tag, test-failed, locks-out…
	Text   string `json:"text"`
}

// PolicyChange is what one device may send to another.
type PolicyChange struct {
	From  string   `json:"from"` // device name, or a guest's label
	To    string   `json:"to"`
	Ports []string `json:"ports"` // "443/tcp", "1-65535/udp", "icmp", "all"
}

// ReachRequest asks who can reach a device.
type ReachRequest struct {
	Network string `json:"network"`
	Device  string `json:"device"`
}

type ReachAnswer struct {
	Schema int            `json:"schema"`
	Device string         `json:"device"`
	From   []PolicyChange `json:"from"` // who reaches it
	To     []PolicyChange `json:"to"`   // whom it reaches
}
