package wire

import (
	"kith.internal/helper/internal/key"
)

// maxChains is how many candidate chains a peer has.
const maxChains = 8

// Forwarding says what we pass on for others.
type Forwarding struct {
	On    bool
	Quota int64 // bytes a day; 0: no end
}

// SetForwarding sets what we pass on for others: at first, nothing.
func (w *Wire) SetForwarding(f Forwarding) {}

// SetChains sets over whom a peer may be reached, the best first: at most eight
// chains of one to three peers each.
func (w *Wire) SetChains(id key.Public, chains [][]key.Public) {}
