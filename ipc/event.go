package ipc

// Event is one line of GET /v1/watch. The first holds a snapshot; each later
// one is a delta with the next revision: the networks, joins or health that
// changed, whole. A client that misses a revision connects anew.
type Event struct {
	Rev      uint64      `json:"rev"`
	Snapshot *Status     `json:"snapshot,omitempty"`
	State    *State      `json:"state,omitempty"`
	Networks []Network   `json:"networks,omitempty"` // changed or new, peers included
	Peers    []PeerDelta `json:"peers,omitempty"`    // changed peers of networks not in Networks
	Removed  []string    `json:"removed,omitempty"`  // IDs of networks that are gone
	Joining  *[]Joining  `json:"joining,omitempty"`
	Nearby   *Nearby     `json:"nearby,omitempty"`
	Health   *[]Health   `json:"health,omitempty"`
	Portal   *Portal     `json:"portal,omitempty"`
	May      *[]Right    `json:"may,omitempty"`
}

// PeerDelta is a changed or new peer of a network.
type PeerDelta struct {
	Network string `json:"network"` // ID
	Peer    Peer   `json:"peer"`
}
