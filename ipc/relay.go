package ipc

// Relay is the relay role of this device. Advertised is empty for callers
// without RightOperate.
type Relay struct {
	On         bool     `json:"on"`         // it serves
	Pending    bool     `json:"pending"`    // asked for; an admin has to approve
	Advertised []string `json:"advertised"` // where the others find it: HOST:PORT and IP:PORT
	Listen     string   `json:"listen"`     // what it listens on, "" while it does not serve
	Limit      int      `json:"limit"`      // Mbit/s that it passes on in all, shared fairly; 0: no limit
}

// Forward is the passing on of others' packets.
type Forward struct {
	On     bool `json:"on"`
	Guests bool `json:"guests"` // friends' packets, too
}

// RelayRequest makes this device a relay.
type RelayRequest struct {
	Network string `json:"network"`
	// Listen is what TCP and UDP are taken on: "IP:PORT", ":PORT" or "PORT"; ""
	// is port 443 on all addresses.
	Listen string `json:"listen"`
	// Advertise is where the others find it, "HOST:PORT" or "HOST"; "" is this
	// device's own public addresses.
	Advertise string `json:"advertise"`
	// Limit is how many Mbit/s it passes on in all, at most MaxRelayLimit, of which
	// each sender has a fair share; 0 is no limit.
	Limit int `json:"limit"`
}

// MaxRelayLimit is the highest limit of a relay in Mbit/s.
const MaxRelayLimit = 1_000_000

// RelayAnswer says what became of it.
type RelayAnswer struct {
	Schema int   `json:"schema"`
	Relay  Relay `json:"relay"`
}

// ForwardRequest turns the passing on of others' packets on or off.
type ForwardRequest struct {
	Network string `json:"network"`
	On      bool   `json:"on"`
	Guests  *bool  `json:"guests"` // with On: those between friends and what is shared with them, too; null leaves that as it is
}

type ForwardAnswer struct {
	Schema  int     `json:"schema"`
	Forward Forward `json:"forward"`
}
