// Package join is how a device becomes a member: the two ends of the exchange
// between a joiner, who proves that it holds the invite's key and its own new
// device key, and the sponsor, who admits it and hands it the roster. Both
// speak over a control stream that the invite's key authenticates. The package
// decides nothing: the sponsor's verdict is its caller's.
package join

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// Request is what a joiner asks with.
type Request struct {
	Device  key.Public   `cbor:"1,keyasint"`
	WG      key.Exchange `cbor:"2,keyasint"`
	Control key.Exchange `cbor:"3,keyasint"`
	N       uint64       `cbor:"4,keyasint"`
	Pop     []byte       `cbor:"5,keyasint"` // the device's signature, as in the admit record
	Name    string       `cbor:"6,keyasint"`
	Chosen  bool         `cbor:"7,keyasint,omitempty"` // a person chose the name: say so if it is taken
}

// proof is the joiner's second message: the invite key's signature over the
// invite's record, whose ID the sponsor has said, and the device's keys.
type proof struct {
	InviteSig []byte `cbor:"1,keyasint"`
}

// ErrNotNow is a sponsor that can admit nobody for the time being, with its
// reason.
var ErrNotNow = errors.New("the sponsor cannot admit now")

// Sponsor is the sponsor's part of the decision.
type Sponsor struct {
	// Invite is the ID of the invite that the session's key belongs to, or the
	// *ipc.Error that says why it admits nobody.
	Invite func(invite key.Public) ([32]byte, error)
	// Admit takes the device in. The signatures are not checked yet: the
	// roster does that.
	Admit func(invite key.Public, req Request, inviteSig [64]byte) (Answer, error)
}

// Answer is what an admitted device gets.
type Answer struct {
	Name     string   // the name it was admitted under
	Records  [][]byte // the roster in sending order, genesis first
	Epoch    []byte   // the discovery secret
	Presence [][]byte // what is known of the members' whereabouts
}

type reply struct {
	Code     ipc.Code `cbor:"1,keyasint,omitempty"`
	Msg      string   `cbor:"2,keyasint,omitempty"`
	Name     string   `cbor:"3,keyasint,omitempty"`
	Records  [][]byte `cbor:"4,keyasint,omitempty"`
	Epoch    []byte   `cbor:"5,keyasint,omitempty"`
	Presence [][]byte `cbor:"6,keyasint,omitempty"`
	Done     bool     `cbor:"7,keyasint,omitempty"`
	Invite   []byte   `cbor:"8,keyasint,omitempty"` // asks for the proof
	Offer    []byte   `cbor:"9,keyasint,omitempty"` // nearby: the admin's part of the transcript
}

const (
	requestMax = 4 << 10
	chunk      = 256 << 10
	recordsMax = 32 << 20 // a roster at its quota
	overhead   = 64       // bytes that each part takes, be it empty
	patience   = 15 * time.Second
)

// Ask is the joiner's side. An *ipc.Error is the sponsor's verdict; any other
// error is the way's, and may be tried again.
// sign makes the invite key's signature over an invite's ID and the device.
func Ask(ctx context.Context, s wire.Session, req Request, sign func(invite [32]byte) [64]byte) (Answer, error) {
	var a Answer
	st, err := s.Open(ctx)
	if err != nil {
		return a, fmt.Errorf("open the joining stream: %w", err)
	}
	defer st.Close()
	stop := context.AfterFunc(ctx, func() { st.SetDeadline(time.Now()) })
	defer stop()
	if err := frame.Write(st, req); err != nil {
		return a, fmt.Errorf("send the request to join: %w", err)
	}
	return receive(st, sign)
}

// verdict is the sponsor's, nil for none.
func (r *reply) verdict() error {
	switch code := known(r.Code); code {
	case "":
		return nil
	case ipc.CodeBusy:
		return fmt.Errorf("%w: %s", ErrNotNow, frame.Clean(r.Msg))
	default:
		return &ipc.Error{Code: code, Msg: frame.Clean(r.Msg)}
	}
}

// receive reads the answer in its parts; sign answers a demand for the proof,
// nil where there is none to give.
func receive(st wire.Stream, sign func(invite [32]byte) [64]byte) (Answer, error) {
	var a Answer
	size := 0
	for {
		var r reply
		if err := frame.Read(st, frame.Max, &r); err != nil {
			return a, fmt.Errorf("read the sponsor's answer: %w", err)
		}
		if err := r.verdict(); err != nil {
			return a, err
		}
		if len(r.Invite) == 32 && sign != nil {
			sig := sign([32]byte(r.Invite))
			if err := frame.Write(st, proof{InviteSig: sig[:]}); err != nil {
				return a, fmt.Errorf("send the proof: %w", err)
			}
		}
		size += overhead
		for _, list := range [][][]byte{r.Records, r.Presence} {
			for _, b := range list {
				size += len(b) + overhead
			}
		}
		if size > recordsMax {
			return a, errors.New("the sponsor's roster is larger than any roster")
		}
		if r.Name != "" {
			a.Name = r.Name
		}
		if r.Epoch != nil {
			a.Epoch = r.Epoch
		}
		a.Records = append(a.Records, r.Records...)
		a.Presence = append(a.Presence, r.Presence...)
		if r.Done {
			return a, nil
		}
	}
}

// known keeps a sponsor from answering with codes that are not its to give.
func known(c ipc.Code) ipc.Code {
	switch c {
	case ipc.CodeDiskFull:
		return ipc.CodeBusy
	case "", ipc.CodeLinkExpired, ipc.CodeLinkUsed, ipc.CodeLinkRevoked, ipc.CodeLinkForeign,
		ipc.CodeNameTaken, ipc.CodeNameInvalid, ipc.CodeLimit, ipc.CodeUpgrade, ipc.CodeBusy,
		ipc.CodeNearbyClosed, ipc.CodeRefused, ipc.CodeDigitsDiffer:
		return c
	}
	return ipc.CodeInternal
}

// Serve is the sponsor's side of one session. An *ipc.Error from the sponsor's
// functions is told to the joiner; of any other it hears that something went
// wrong.
func Serve(ctx context.Context, s wire.Session, sp Sponsor) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := s.Accept(ctx)
	if err != nil {
		return fmt.Errorf("wait for the joiner's request: %w", err)
	}
	defer st.Close()
	st.SetDeadline(time.Now().Add(patience))
	var req Request
	if err := frame.Read(st, requestMax, &req); err != nil {
		return fmt.Errorf("read the joiner's request: %w", err)
	}
	a, err := decide(st, s.Peer(), req, sp)
	if err != nil {
		err = tell(st, err)
		settle(st)
		return err
	}
	if err := send(st, a); err != nil {
		return err
	}
	settle(st)
	return nil
}

// tell says to the joiner why it is not admitted.
func tell(st wire.Stream, err error) error {
	var e *ipc.Error
	if !errors.As(err, &e) {
		e = ipc.Errorf(ipc.CodeInternal, "the sponsor could not admit the device")
	}
	return errors.Join(err, frame.Write(st, reply{Code: e.Code, Msg: e.Msg}))
}

func decide(st wire.Stream, invite key.Public, req Request, sp Sponsor) (Answer, error) {
	id, err := sp.Invite(invite)
	if err != nil {
		return Answer{}, err
	}
	if err := frame.Write(st, reply{Invite: id[:]}); err != nil {
		return Answer{}, fmt.Errorf("ask the joiner for its proof: %w", err)
	}
	var p proof
	if err := frame.Read(st, requestMax, &p); err != nil {
		return Answer{}, fmt.Errorf("read the joiner's proof: %w", err)
	}
	if len(p.InviteSig) != 64 {
		return Answer{}, errors.New("the joiner's proof is malformed")
	}
	return sp.Admit(invite, req, [64]byte(p.InviteSig))
}

// settle keeps the session until the joiner has read all and closes its side.
func settle(st wire.Stream) { frame.Read(st, requestMax, &reply{}) }

func send(st wire.Stream, a Answer) error {
	if err := frame.Write(st, reply{Name: a.Name, Epoch: a.Epoch}); err != nil {
		return fmt.Errorf("answer the joiner: %w", err)
	}
	for len(a.Records) > 0 {
		n, size := 0, 0
		for n < len(a.Records) && (n == 0 || size+len(a.Records[n]) <= chunk) {
			size += len(a.Records[n])
			n++
		}
		if err := frame.Write(st, reply{Records: a.Records[:n]}); err != nil {
			return fmt.Errorf("send the roster to the joiner: %w", err)
		}
		a.Records = a.Records[n:]
	}
	if err := frame.Write(st, reply{Presence: a.Presence, Done: true}); err != nil {
		return fmt.Errorf("finish with the joiner: %w", err)
	}
	return nil
}
