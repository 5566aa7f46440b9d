package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"kith.internal/helper/internal/relay"
	"kith.internal/helper/internal/wire"
)

// impostorLives is how long it is believed that somebody else answers for a
// relay which nobody has asked since.
const impostorLives = 10 * time.Minute

// impostors are those who have answered for relays, by the relay's pin.
type impostors struct {
	mu   sync.Mutex
	seen map[[32]byte]impostor
}

type impostor struct {
	at  time.Time
	why string
}

// note takes what came of a connection to the relay of that pin.
func (s *impostors) note(pin [32]byte, err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var other *relay.KeyError
	switch {
	case errors.As(err, &other):
		if s.seen == nil {
			s.seen = map[[32]byte]impostor{}
		}
		s.seen[pin] = impostor{now, other.Error()}
	case err == nil || errors.Is(err, relay.ErrNotFound):
		delete(s.seen, pin)
	}
}

// at says who answers for the relay of that pin, "" for nobody else.
func (s *impostors) at(pin [32]byte, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.seen[pin]
	if ok && now.Sub(i.at) >= impostorLives {
		delete(s.seen, pin)
		return ""
	}
	return i.why
}

// dialLink is Engine.dialLink; it remembers who answered.
func (on *live) dialLink(ctx context.Context, r wire.Relay, token func([]byte) ([]byte, error)) (wire.Link, error) {
	l, err := on.n.e.dialLink(ctx, r, token)
	on.impostors.note(r.Pin, err, time.Now())
	return l, err
}
