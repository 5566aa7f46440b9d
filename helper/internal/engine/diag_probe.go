package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/relay"
	"kith.internal/helper/internal/roster"
)

// Bounds on the probe of our own relays; no third party is asked anything.
const (
	probeMost   = 4
	probeWithin = 5 * time.Second
)

// probed is what came of a TLS connection to a relay.
type probed struct {
	name  string
	id    key.Public
	took  time.Duration
	err   error
	other bool // who answered is not the relay: its key is another's, or it speaks no TLS
	key   bool // another's key
}

// errReached ends a probe: the relay's key has been seen, no link is wanted.
var errReached = errors.New("reached")

// probeRelays connects to the relays of the networks that are up, or of the one
// given, all at once.
func (e *Engine) probeRelays(ctx context.Context, only *network) map[roster.ID][]probed {
	type target struct {
		network roster.ID
		relay   *roster.Member
	}
	targets, err := call(ctx, e, func() (out []target, _ error) {
		for _, n := range e.nets {
			if n.on == nil || only != nil && n != only {
				continue
			}
			relays := n.relaysByUse()
			for _, m := range relays[:min(len(relays), probeMost)] {
				out = append(out, target{n.id, m})
			}
		}
		return out, nil
	})
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	found := make([]probed, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { found[i] = e.probeRelay(ctx, t.relay) })
	}
	wg.Wait()
	out := map[roster.ID][]probed{}
	for i, t := range targets {
		out[t.network] = append(out[t.network], found[i])
	}
	return out
}

func (e *Engine) probeRelay(ctx context.Context, m *roster.Member) probed {
	p := probed{name: m.Name, id: m.Key}
	began := time.Now()
	l, err := e.dialLink(ctx, *wireRelay(m.Relay), func([]byte) ([]byte, error) {
		p.took = time.Since(began)
		return nil, errReached
	})
	if err == nil {
		l.Close()
	}
	if p.took > 0 {
		return p
	}
	p.err = err
	var failed *relay.DialError
	if errors.As(err, &failed) {
		if f := failed.Furthest(); f != nil {
			p.err = f
			p.key = f.Step == relay.StepKey
			p.other = p.key || f.Step == relay.StepTLS
		}
	}
	return p
}
