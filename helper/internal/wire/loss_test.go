package wire

import (
	"math/rand/v2"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp"
)

// TestLossJudge: pings every half second tell a path that loses many from one
// that has died while frames still come in on it.
func TestLossJudge(t *testing.T) {
	const every = suspectEvery
	for _, tt := range []struct {
		loss float64 // of a round trip
		gone time.Duration
	}{
		{0, deadAfter},
		{0.1, deadAfter},
		{0.36, 8 * time.Second},
		{0.5, 10 * time.Second},
	} {
		chance := rand.New(rand.NewPCG(1, uint64(tt.loss*100)))
		now := time.Unix(1000, 0)
		var p path
		beat := func(loss float64) {
			now = now.Add(every)
			p.ping(now)
			if chance.Float64() >= loss {
				p.pong(now.Add(20*time.Millisecond), 20*time.Millisecond, udp.Source{})
			}
			p.hear(now.Add(every / 2))
		}
		for range 40 {
			beat(0)
		}
		deaths := 0
		for range 20_000 {
			beat(tt.loss)
			if p.dead(now, false) {
				deaths++
				p.pong(now, 20*time.Millisecond, udp.Source{})
			}
		}
		if deaths > 2 {
			t.Errorf("at a loss of %v it seems dead %d times in %v", tt.loss, deaths, 20_000*every)
		}
		for range 40 {
			beat(tt.loss)
		}
		p.pong(now, 20*time.Millisecond, udp.Source{})
		died := now
		for !p.dead(now, false) {
			beat(1)
		}
		if took := now.Sub(died); took > tt.gone+every {
			t.Errorf("at a loss of %v it is dead only after %v", tt.loss, took)
		}
	}
}
