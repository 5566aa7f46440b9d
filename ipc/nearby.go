package ipc

import "time"

// Nearby is what can be joined on this LAN, and who asks to join here.
type Nearby struct {
	Open     []NearbyOpen    `json:"open"`     // networks of this device that are open now
	Networks []NearbyNetwork `json:"networks"` // open networks heard on the LAN
	Asking   []NearbyAsking  `json:"asking"`   // devices that ask to join one of ours
}

type NearbyList struct {
	Schema int `json:"schema"`
	Nearby
}

// NearbyOpen is a network that this device holds open.
type NearbyOpen struct {
	Network string    `json:"network"` // alias
	Until   time.Time `json:"until"`
	Left    int       `json:"left"` // failures until it closes
}

// NearbyNetwork is one that can be asked for.
type NearbyNetwork struct {
	ID     string    `json:"id"` // of this opening; for join
	Name   string    `json:"name"`
	By     string    `json:"by"` // the admin's device
	Until  time.Time `json:"until"`
	Digits *string   `json:"digits"` // six, to compare; null until it has been asked
	Code   *Code     `json:"code"`   // why the last try failed
}

// NearbyAsking is a device that asks.
type NearbyAsking struct {
	ID      string `json:"id"` // for approve
	Network string `json:"network"`
	Name    string `json:"name"` // unverified
	OS      string `json:"os"`
	Digits  string `json:"digits"`
}

// NearbyOpenRequest opens a network for ten minutes, or closes it.
type NearbyOpenRequest struct {
	Network string `json:"network"`
	Close   bool   `json:"close"`
}

// NearbyJoinRequest asks to join what was heard.
type NearbyJoinRequest struct {
	ID     string  `json:"id"` // or the network's name, where that is clear
	Device string  `json:"device"`
	Wait   Seconds `json:"wait"` // 0 is until the window closes
	// Confirm waits for nearby/approve here too, by the same ID: who is led into
	// a forged network is not let in anywhere, and so hears of it nowhere else.
	Confirm bool `json:"confirm"`
}

// NearbyApproveRequest says that the digits are the same, or are not: on the
// admin's device of a device that asks, on the joiner's of the network asked for.
type NearbyApproveRequest struct {
	// ID is that of nearby/list. To refuse, the device's name does where that is
	// clear, and "" is the only one that asks.
	ID     string `json:"id"`
	Refuse bool   `json:"refuse"` // they differ, or it is not wanted
}
