package join

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// Joining nearby has no secret that only friends know, so that two people
// compare six digits. The joiner commits to its keys and a nonce, the admin
// answers with its own, then the joiner reveals: whoever stands in between has to
// fix each side's part before it knows the other, so that the digits of the two
// sides agree once in a million tries (Vaudenay, "Secure Communications over
// Insecure Channels Based on Short Authenticated Strings", 2005). The digits are
// over the whole transcript.

// Opening is a network that is held open, as its notice names it.
type Opening struct {
	Network [32]byte
	Key     key.Public // the opening's: the joiner's in the session
	Admin   key.Public
	Control key.Exchange // the admin's
}

// commitment is the joiner's first message.
type commitment struct {
	Commit []byte `cbor:"1,keyasint"`
}

// offer is the admin's part of the transcript.
type offer struct {
	Nonce   []byte       `cbor:"1,keyasint"`
	Network []byte       `cbor:"2,keyasint"`
	Device  key.Public   `cbor:"3,keyasint"`
	WG      key.Exchange `cbor:"4,keyasint"`
	Control key.Exchange `cbor:"5,keyasint"`
}

// reveal is the joiner's second message: the bytes that it has committed to.
type reveal struct {
	Opened []byte `cbor:"1,keyasint"`
}

// opened is in them.
type opened struct {
	Nonce   []byte  `cbor:"1,keyasint"`
	Request Request `cbor:"2,keyasint"`
	OS      string  `cbor:"3,keyasint,omitempty"`
}

type transcript struct {
	Network []byte     `cbor:"1,keyasint"`
	Opening key.Public `cbor:"2,keyasint"`
	Commit  []byte     `cbor:"3,keyasint"`
	Offer   []byte     `cbor:"4,keyasint"`
	Opened  []byte     `cbor:"5,keyasint"`
}

const (
	tagCommit = "kith nearby commitment 1\x00"
	tagDigits = "kith nearby digits 1\x00"
	nonceSize = 32
)

func commitTo(opened []byte) []byte {
	h := sha256.Sum256(append([]byte(tagCommit), opened...))
	return h[:]
}

// digits are the six that people compare. The bias of 2^64 modulo 10^6 is
// below 10^-13.
func (t *transcript) digits() (string, error) {
	b, err := frame.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode the transcript: %w", err)
	}
	h := sha256.Sum256(append([]byte(tagDigits), b...))
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(h[:8])%1_000_000), nil
}

func nonce() []byte {
	b := make([]byte, nonceSize)
	rand.Read(b)
	return b
}

// AskNearby is the joiner's side. show is given the digits as soon as they are
// known; from then on any failure is a verdict, an *ipc.Error, since nobody may
// have a second try at the same digits. Before, only what the admin's device says is.
func AskNearby(ctx context.Context, s wire.Session, o Opening, req Request, os string, show func(digits string)) (Answer, error) {
	st, err := s.Open(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("open the joining stream: %w", err)
	}
	defer st.Close()
	stop := context.AfterFunc(ctx, func() { st.SetDeadline(time.Now()) })
	defer stop()
	st.SetReadDeadline(time.Now().Add(patience))
	mine, err := frame.Marshal(opened{Nonce: nonce(), Request: req, OS: os})
	if err != nil {
		return Answer{}, fmt.Errorf("encode the request: %w", err)
	}
	t := transcript{Network: o.Network[:], Opening: o.Key, Commit: commitTo(mine), Opened: mine}
	if err := frame.Write(st, commitment{t.Commit}); err != nil {
		return Answer{}, fmt.Errorf("send the commitment: %w", err)
	}
	var r reply
	if err := frame.Read(st, requestMax, &r); err != nil {
		return Answer{}, fmt.Errorf("read the admin's offer: %w", err)
	}
	if err := r.verdict(); err != nil {
		return Answer{}, err
	}
	if err := checkOffer(r.Offer, o); err != nil {
		return Answer{}, ipc.Errorf(ipc.CodeLinkForeign, "the other side is not what was announced: %w", err)
	}
	t.Offer = r.Offer
	digits, err := t.digits()
	if err != nil {
		return Answer{}, err
	}
	if err := frame.Write(st, reveal{mine}); err != nil {
		return Answer{}, lost(ctx, err)
	}
	show(digits)
	st.SetReadDeadline(time.Time{})
	if err := ctx.Err(); err != nil {
		return Answer{}, lost(ctx, err)
	}
	a, err := receive(st, nil)
	if errors.Is(err, ErrNotNow) {
		err = ipc.Errorf(ipc.CodeBusy, "%w", err)
	}
	var verdict *ipc.Error
	if err != nil && !errors.As(err, &verdict) {
		err = lost(ctx, err)
	}
	return a, err
}

// lost is a failure after the digits were shown.
func lost(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ipc.Errorf(ipc.CodeNearbyClosed, "nobody approved before the network was closed to its LAN")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return ipc.Errorf(ipc.CodeNotConnected, "the admin's device went away before it answered: %w", err)
}

func checkOffer(raw []byte, o Opening) error {
	var f offer
	if err := frame.Unmarshal(raw, &f); err != nil {
		return err
	}
	switch {
	case len(f.Nonce) != nonceSize:
		return errors.New("its nonce is malformed")
	case [32]byte(o.Network) != [32]byte(pad(f.Network)):
		return errors.New("it speaks of another network")
	case f.Device != o.Admin || f.Control != o.Control:
		return errors.New("it has other keys")
	}
	return nil
}

// pad makes any bytes 32, those of another length none that a network has.
func pad(b []byte) []byte {
	if len(b) != 32 {
		return make([]byte, 32)
	}
	return b
}

// Asker is a device that asks, with the digits that it shows too.
type Asker struct {
	Request
	OS     string
	Digits string
}

// Host is the admin's part of the decision.
type Host struct {
	Opening Opening
	WG      key.Exchange // the admin's
	// Begin takes one of the tries, or is the *ipc.Error that says why there is
	// none. Whatever comes after it and is no admission has used the try up.
	Begin func() error
	// Decide shows the digits, waits for the admin's word and admits. Its ctx ends
	// when the joiner goes away.
	Decide func(ctx context.Context, a Asker) (Answer, error)
}

// ServeNearby is the admin's side of one session. An *ipc.Error from the host's
// functions is told to the joiner. It returns nil only where the device was
// admitted and told so.
func ServeNearby(ctx context.Context, s wire.Session, h Host) error {
	first, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := s.Accept(first)
	if err != nil {
		return fmt.Errorf("wait for the joiner's commitment: %w", err)
	}
	defer st.Close()
	st.SetDeadline(time.Now().Add(patience))
	a, err := exchange(st, h)
	if err != nil {
		err = tell(st, err)
		settle(st)
		return err
	}
	st.SetDeadline(time.Time{})
	ctx, end := context.WithCancel(ctx)
	defer end()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		settle(st) // it has nothing more to say: whatever comes is its end
		end()
	}()
	answer, err := h.Decide(ctx, a)
	st.SetDeadline(time.Now().Add(patience))
	if err != nil {
		err = tell(st, err)
	} else {
		err = send(st, answer)
	}
	<-gone
	return err
}

// exchange is what happens before the digits are known.
func exchange(st wire.Stream, h Host) (a Asker, err error) {
	var c commitment
	if err := frame.Read(st, requestMax, &c); err != nil {
		return a, fmt.Errorf("read the joiner's commitment: %w", err)
	}
	if len(c.Commit) != sha256.Size {
		return a, errors.New("the joiner's commitment is malformed")
	}
	if err := h.Begin(); err != nil {
		return a, err
	}
	o := h.Opening
	theirs, err := frame.Marshal(offer{Nonce: nonce(), Network: o.Network[:], Device: o.Admin, WG: h.WG, Control: o.Control})
	if err != nil {
		return a, fmt.Errorf("encode the offer: %w", err)
	}
	if err := frame.Write(st, reply{Offer: theirs}); err != nil {
		return a, fmt.Errorf("send the offer: %w", err)
	}
	var r reveal
	if err := frame.Read(st, requestMax, &r); err != nil {
		return a, fmt.Errorf("read what the joiner reveals: %w", err)
	}
	if subtle.ConstantTimeCompare(commitTo(r.Opened), c.Commit) != 1 {
		return a, ipc.Errorf(ipc.CodeDigitsDiffer, "what the joiner reveals is not what it has committed to")
	}
	var m opened
	if err := frame.Unmarshal(r.Opened, &m); err != nil {
		return a, fmt.Errorf("read what the joiner reveals: %w", err)
	}
	if len(m.Nonce) != nonceSize {
		return a, errors.New("the joiner's nonce is malformed")
	}
	t := transcript{Network: o.Network[:], Opening: o.Key, Commit: c.Commit, Offer: theirs, Opened: r.Opened}
	digits, err := t.digits()
	return Asker{m.Request, systemName(m.OS), digits}, err
}

// systemName keeps what a stranger says of its system fit for a menu.
func systemName(s string) string {
	if len(s) > 16 {
		return ""
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return ""
		}
	}
	return s
}
