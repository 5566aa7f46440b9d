package wire

import (
	"time"

	"kith.internal/helper/internal/key"
)

// Neighbour is a peer with a confirmed path on which nobody is in between.
type Neighbour struct {
	ID   key.Public
	RTT  time.Duration
	Kind PathKind // Direct or LAN
}

// Neighbours are the peers that we reach without help, the nearest first.
func (w *Wire) Neighbours() []Neighbour { return nil }
