// Package ipc holds what travels between the helper and its clients: requests,
// answers, error codes and the protocol's version. It is a leaf: it imports
// nothing of ours, does no I/O and holds no words for people.
package ipc

// Version is the protocol's version. A client and a helper whose versions
// differ still read each other's version and status; all else answers
// CodeVersion.
const Version = 1

// Schema numbers the JSON of Status and of the command line's --json. It only
// grows.
const Schema = 1

// Right is what a caller may do.
type Right string

const (
	RightOperate Right = "operate" // act on networks; see endpoints and traffic
	RightMachine Right = "machine" // name operators
)

// Seconds is a duration in whole seconds; 0 is the default.
type Seconds int64

// NetworkRequest names a network, as all requests do by its name, alias or ID
// prefix; "" is the only one, and for up and down all.
type NetworkRequest struct {
	Network string `json:"network"`
}

type NetworkAnswer struct {
	Schema  int     `json:"schema"`
	Network Network `json:"network"`
}

// VersionAnswer is readable by clients of every version.
type VersionAnswer struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
}
