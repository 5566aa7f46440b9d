package wire

import "math"

const (
	lossSpan     = 32.0 // pings over which the loss is smoothed
	lossAtLeast  = 0.1  // of a round trip; so much is taken to be chance
	lossAtMost   = 0.5
	deadByChance = 1e-5 // how improbable a silence must be that ends a path
)

// loss is the share of pings that a path has lost of late.
type loss struct {
	asked, answered float64 // the older a ping, the less it weighs
	enough          int     // pings that are lost in a row by mere chance hardly ever
}

func (l *loss) ask() {
	l.asked += 1 - l.asked/lossSpan
	l.answered -= l.answered / lossSpan
}

// answer judges anew how many pings are enough. Between answers nothing is, or
// a path that has died would seem to be a lossy one.
func (l *loss) answer() {
	l.answered++
	lost := min(max(1-l.answered/max(l.asked, 1), lossAtLeast), lossAtMost)
	l.enough = int(math.Ceil(math.Log(deadByChance) / math.Log(lost)))
}
