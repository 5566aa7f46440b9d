package relay

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Step is how far an attempt to reach a relay came before it failed.
type Step uint8

// The steps in the order in which they are taken.
const (
	StepNone    Step = iota
	StepName         // the relay's or the proxy's name was not resolved
	StepTCP          // no TCP connection
	StepProxy        // the proxy refused or did not answer
	StepTLS          // no TLS session
	StepKey          // TLS, but with another key than the relay's
	StepUpgrade      // the relay, but it did not take us as a client
)

func (s Step) String() string {
	return [...]string{"none", "name", "tcp", "proxy", "tls", "key", "upgrade"}[s]
}

var (
	// ErrNotFound is the relay's 404: it does not know us as a member, or the
	// clocks, or what is between, spoilt the token.
	ErrNotFound = errors.New("the relay answered 404: it does not know this device")
	// ErrFull is a relay that has as many links as it may.
	ErrFull = errors.New("the relay is full")
	// ErrProxyAuth is a proxy's 407.
	ErrProxyAuth = errors.New("the proxy wants a user's name and password (407)")
	// ErrFrame is a peer that does not speak the link's format.
	ErrFrame = errors.New("frame too long")

	errSlow   = errors.New("no answer in time")
	errSilent = errors.New("nothing heard for too long")
)

// KeyError is a TLS session with somebody who is not the relay: a middlebox that
// opens TLS, a captive portal, an impostor, or a relay with a new key.
type KeyError struct {
	Issuer string // of the certificate, cleaned; may be empty
}

func (e *KeyError) Error() string {
	if e.Issuer == "" {
		return "another key than the relay's was presented"
	}
	return fmt.Sprintf("another key than the relay's was presented, by %q", e.Issuer)
}

// Error says which step failed on one way to the relay.
type Error struct {
	Step  Step
	Addr  string // HOST:PORT of the relay
	Proxy string // HOST:PORT of the proxy, else ""
	Err   error
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Error() string {
	if e.Proxy != "" {
		return fmt.Sprintf("%s through proxy %s: %s: %v", e.Addr, e.Proxy, e.Step, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Addr, e.Step, e.Err)
}

// DialError is what became of each way that Dial tried.
type DialError struct{ Ways []*Error }

func (e *DialError) Error() string {
	s := make([]string, len(e.Ways))
	for i, w := range e.Ways {
		s[i] = w.Error()
	}
	return "reach relay: " + strings.Join(s, "; ")
}

func (e *DialError) Unwrap() []error {
	errs := make([]error, len(e.Ways))
	for i, w := range e.Ways {
		errs[i] = w
	}
	return errs
}

// Furthest is the way that came furthest: it says best what is wrong.
func (e *DialError) Furthest() *Error {
	best := &Error{}
	for _, w := range e.Ways {
		if w.Step > best.Step {
			best = w
		}
	}
	return best
}

// clean makes a stranger's words fit for a log.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80])
	}
	return s
}
