package ipc

import "time"

// Joining is a request to join that has not been answered yet.
type Joining struct {
	Network string    `json:"network"` // name in the link
	ID      string    `json:"id"`
	Sponsor string    `json:"sponsor"` // device name of the sponsor
	Stage   JoinStage `json:"stage"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
}

// JoinStage is how far a join has come.
type JoinStage string

const (
	JoinSearching JoinStage = "searching" // looking for the sponsor
	JoinAsking    JoinStage = "asking"    // the sponsor answers
	JoinAdmitted  JoinStage = "admitted"  // the roster is here, the tunnel comes up
)

type CreateRequest struct {
	Name   string `json:"name"`
	Device string `json:"device"` // "" is the host's name
	// ShowPhrase asks for the root phrase in the answer; the helper then
	// forgets it. Else it keeps it until it has been shown once.
	ShowPhrase bool `json:"show_phrase"`
}

type CreateAnswer struct {
	Schema  int     `json:"schema"`
	Network Network `json:"network"`
	Phrase  string  `json:"phrase,omitempty"` // 24 words
}

// InviteUses is the most uses that an invite can be counted for.
const InviteUses = 1000

type InviteRequest struct {
	Network string   `json:"network"`
	Uses    int      `json:"uses"` // 1 to InviteUses; 0 is unlimited
	Expires Seconds  `json:"expires"`
	Tags    []string `json:"tags"`
}

type InviteAnswer struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"`
	Link    string    `json:"link"`
	Expires time.Time `json:"expires"`
}

// Preview is what a link says, read without sending a packet.
type Preview struct {
	Schema      int       `json:"schema"`
	Kind        string    `json:"kind"` // "join" or "share"
	Network     string    `json:"network"`
	ID          string    `json:"id"`
	Sponsor     string    `json:"sponsor"`
	Fingerprint []string  `json:"fingerprint"` // four words of the network's ID
	Expires     time.Time `json:"expires"`
	Expired     bool      `json:"expired"`
	Known       bool      `json:"known"` // this device is already in that network
	Reach       []string  `json:"reach"` // what it lets one reach; "" for the whole network

	// Of a share's link.
	More    int        `json:"more"`    // how many more devices
	Ports   []string   `json:"ports"`   // "445/tcp", "all"
	Exit    bool       `json:"exit"`    // it may be used as an exit node
	Both    bool       `json:"both"`    // the owner's devices may open connections too
	Confirm bool       `json:"confirm"` // the owner approves once the words were compared
	Ends    *time.Time `json:"ends"`    // when the share ends, null for never
}

type LinkRequest struct {
	Link string `json:"link"`
}

type JoinRequest struct {
	Link   string  `json:"link"`
	Device string  `json:"device"`
	Wait   Seconds `json:"wait"` // 0 is 30
}
