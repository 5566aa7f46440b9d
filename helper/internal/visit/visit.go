// Package visit is the streams between a friend's devices and the owner's: the
// acceptance of a share, the knock of a guest whose keys are not known yet, and
// the hello that stays open while the guest is there. It decides nothing: what
// passes and acceptances are worth is its callers' matter. It imports wire and
// frame, not engine.
package visit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// Request is what the friend's side sends.
type Request struct {
	Accept  []byte   `cbor:"1,keyasint,omitempty"` // an acceptance, in a session of the link's key
	Pass    []byte   `cbor:"2,keyasint,omitempty"` // the first frame of a knock and of a hello
	Cancels [][]byte `cbor:"3,keyasint,omitempty"`
}

// Answer is what the owner's side says. A code is a verdict: the end.
type Answer struct {
	Code     ipc.Code  `cbor:"1,keyasint,omitempty"`
	Msg      string    `cbor:"2,keyasint,omitempty"`
	Pending  bool      `cbor:"3,keyasint,omitempty"` // of an acceptance: the owner has to approve
	Proof    []byte    `cbor:"4,keyasint,omitempty"` // the view
	Contacts []Contact `cbor:"5,keyasint,omitempty"`
	Gone     bool      `cbor:"6,keyasint,omitempty"` // the owner's device stops for now
	Closed   *bool     `cbor:"7,keyasint,omitempty"` // the owner's policy lets nothing of the share through; nil: not said
}

// Contact is where a device may be found.
type Contact struct {
	Key   key.Public       `cbor:"1,keyasint"`
	Addrs []netip.AddrPort `cbor:"2,keyasint,omitempty"`
}

// Bounds.
const (
	requestMost  = 8 << 10
	answerMost   = 64 << 10
	contactsMost = 32
	addrsMost    = 32
	cancelsMost  = 64
	patience     = 15 * time.Second
)

// Refusal is the answer for an error: an *ipc.Error as it is, any other without
// its words.
func Refusal(err error) Answer {
	var e *ipc.Error
	if !errors.As(err, &e) {
		e = ipc.Errorf(ipc.CodeInternal, "the friend's device could not do it")
	}
	return Answer{Code: e.Code, Msg: e.Msg}
}

// Verdict is the error that an answer stands for, nil for none.
func (a *Answer) Verdict() error {
	if a.Code == "" {
		return nil
	}
	return &ipc.Error{Code: a.Code, Msg: a.Msg}
}

// checked bounds what came and keeps the owner's side from answering with codes
// that are not its to give.
func (a *Answer) checked() error {
	if len(a.Contacts) > contactsMost {
		return errors.New("too many contacts")
	}
	for _, c := range a.Contacts {
		if len(c.Addrs) > addrsMost {
			return errors.New("too many addresses")
		}
	}
	switch a.Code {
	case "", ipc.CodeLinkExpired, ipc.CodeLinkUsed, ipc.CodeLinkRevoked, ipc.CodeLinkForeign, ipc.CodeLimit, ipc.CodeUpgrade, ipc.CodeBusy,
		ipc.CodeShareRevoked, ipc.CodeShareExpired, ipc.CodeNotShared, ipc.CodePassInvalid, ipc.CodePassExpired, ipc.CodeClock, ipc.CodeGuestDenied:
	case ipc.CodeDiskFull:
		a.Code = ipc.CodeBusy
	default:
		a.Code = ipc.CodeInternal
	}
	a.Msg = frame.Clean(a.Msg)
	return nil
}

// Ask opens a stream, sends one request and reads the answer.
func Ask(ctx context.Context, s wire.Session, req Request) (Answer, error) {
	h, a, err := Open(ctx, s, req)
	if h != nil {
		h.Close()
	}
	return a, err
}

// Hello is the friend's end of a stream that stays open. Send may be called from
// any goroutine, Next from one.
type Hello struct {
	st wire.Stream
	mu sync.Mutex
}

// Open opens a stream, sends the first request and reads the first answer. A
// verdict in it is no error.
func Open(ctx context.Context, s wire.Session, req Request) (*Hello, Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := s.Open(ctx)
	if err != nil {
		return nil, Answer{}, fmt.Errorf("open a stream to the friend's device: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { st.SetDeadline(time.Now()) })
	h := &Hello{st: st}
	err = h.Send(req)
	var a Answer
	if err == nil {
		a, err = h.Next()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		h.Close()
		return nil, Answer{}, err
	}
	return h, a, nil
}

// Send sends a further request: a newer pass, cancels.
func (h *Hello) Send(req Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.st.SetWriteDeadline(time.Now().Add(patience))
	if err := frame.Write(h.st, req); err != nil {
		return fmt.Errorf("ask the friend's device: %w", err)
	}
	return nil
}

// Next waits for an answer.
func (h *Hello) Next() (Answer, error) {
	var a Answer
	if err := frame.Read(h.st, answerMost, &a); err != nil {
		return a, fmt.Errorf("read the friend's answer: %w", err)
	}
	return a, a.checked()
}

// Close ends the stream.
func (h *Hello) Close() {
	h.st.CancelRead(0)
	h.st.Close()
}

// Guest is the owner's end of a stream. Send may be called from any goroutine,
// Next from one.
type Guest struct {
	st     wire.Stream
	mu     sync.Mutex
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a stream and its first request.
func Accept(ctx context.Context, s wire.Session) (*Guest, Request, error) {
	st, err := s.Accept(ctx)
	if err != nil {
		return nil, Request{}, fmt.Errorf("wait for the guest: %w", err)
	}
	g := &Guest{st: st, closed: make(chan struct{})}
	st.SetReadDeadline(time.Now().Add(patience))
	req, err := g.Next()
	if err != nil {
		g.Close()
		return nil, req, err
	}
	st.SetReadDeadline(time.Time{})
	return g, req, nil
}

// Send answers.
func (g *Guest) Send(a Answer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.st.SetWriteDeadline(time.Now().Add(patience))
	if err := frame.Write(g.st, a); err != nil {
		return fmt.Errorf("answer the guest: %w", err)
	}
	return nil
}

// Next waits for a request.
func (g *Guest) Next() (Request, error) {
	var r Request
	if err := frame.Read(g.st, requestMost, &r); err != nil {
		return r, fmt.Errorf("read the guest's request: %w", err)
	}
	if len(r.Cancels) > cancelsMost {
		return r, errors.New("too many cancels")
	}
	return r, nil
}

// Settle waits until the friend's side has read all and closes, or for some
// seconds.
func (g *Guest) Settle() {
	g.st.SetReadDeadline(time.Now().Add(5 * time.Second))
	g.Next()
	g.Close()
}

// Close ends the stream.
func (g *Guest) Close() {
	g.st.CancelRead(0)
	g.st.Close()
	g.once.Do(func() { close(g.closed) })
}

// Leave says the last word of this device, which stops, and waits until the friend's
// side has closed the stream and whoever reads it here has, too, or for a while.
func (g *Guest) Leave(last Answer, within time.Duration) {
	if g.Send(last) != nil {
		return
	}
	select {
	case <-g.closed:
	case <-time.After(within):
	}
}
