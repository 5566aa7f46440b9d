package guest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

const (
	passMost   = 512
	cancelMost = 256
	version    = 1
)

// Pass lets one device be a guest for some time. The issuer signs it: the friend's
// network, not the owner's, says which devices are the friend's.
type Pass struct {
	Version   uint64       `cbor:"1,keyasint"`
	Network   roster.ID    `cbor:"2,keyasint"`
	SID       SID          `cbor:"3,keyasint"`
	Guest     key.Public   `cbor:"4,keyasint"`
	WG        key.Exchange `cbor:"5,keyasint"`
	Control   key.Exchange `cbor:"6,keyasint"`
	Label     string       `cbor:"7,keyasint"` // of the device: unverified
	NotBefore int64        `cbor:"8,keyasint"` // Unix seconds
	NotAfter  int64        `cbor:"9,keyasint"`
	N         uint64       `cbor:"10,keyasint"` // ascends
	Device    Device       `cbor:"11,keyasint"`
}

// Device is a friend's device under whatever keys it comes, as its own network's
// admins know it. It is of one share alone, and tells nobody else which device of
// which network that is.
type Device [16]byte

// DeviceOf is what the issuer of a share calls a member of its own network.
func DeviceOf(issuer key.Private, member key.Public) (d Device) {
	sig := issuer.Sign(tagDevice, member[:]) // deterministic (RFC 8032, section 5.1.6), and no other than the issuer can make it
	sum := sha256.Sum256(sig[:])
	copy(d[:], sum[:])
	return d
}

// Issue signs a pass.
func (p Pass) Issue(issuer key.Private) ([]byte, error) {
	p.Version = version
	if err := p.valid(); err != nil {
		return nil, err
	}
	return sign(issuer, tagPass, &p)
}

// OpenPass reads a pass and checks the issuer's signature.
func OpenPass(raw []byte, issuer key.Public) (*Pass, error) {
	p, err := PeekPass(raw)
	if err != nil {
		return nil, err
	}
	payload, sig, _ := split(raw, passMost)
	if !issuer.Verify(tagPass, payload, sig) {
		return nil, fmt.Errorf("pass: %w", roster.ErrSignature)
	}
	return p, nil
}

// PeekPass reads a pass without its signature: to find out of which share it is.
func PeekPass(raw []byte) (*Pass, error) {
	payload, _, err := split(raw, passMost)
	if err != nil {
		return nil, fmt.Errorf("pass: %w", err)
	}
	p := new(Pass)
	if err := unmarshal(payload, p); err != nil {
		return nil, fmt.Errorf("pass: %w", err)
	}
	return p, p.valid()
}

func (p *Pass) valid() error {
	bad := func(what string) error { return fmt.Errorf("pass: %w: %s", ErrMalformed, what) }
	switch {
	case p.Version != version:
		return bad("its version")
	case p.Guest.IsZero() || p.WG.IsZero() || p.Control.IsZero() || p.Device == Device{}:
		return bad("a key is missing")
	case p.NotBefore <= 0 || p.NotAfter <= p.NotBefore || p.NotAfter >= 1<<40:
		return bad("its times")
	case p.N == 0 || p.N > roster.MaxClock:
		return bad("its number")
	}
	if err := roster.ValidLabel(p.Label); err != nil {
		return bad("its label")
	}
	return nil
}

// Begins and Ends are the pass's times.
func (p *Pass) Begins() time.Time { return time.Unix(p.NotBefore, 0) }
func (p *Pass) Ends() time.Time   { return time.Unix(p.NotAfter, 0) }

// Stale tells whether the pass is to be renewed: half its life is over.
func (p *Pass) Stale(now time.Time) bool {
	return now.Unix() >= p.NotBefore+(p.NotAfter-p.NotBefore)/2
}

// Cancel ends a device's passes up to a number before their time, for whatever keys
// they were: a device may have had many, also of other admins.
type Cancel struct {
	Network roster.ID `cbor:"1,keyasint"`
	SID     SID       `cbor:"2,keyasint"`
	N       uint64    `cbor:"4,keyasint"`
	Device  Device    `cbor:"5,keyasint"`
}

// Issue signs a cancel.
func (c Cancel) Issue(issuer key.Private) ([]byte, error) { return sign(issuer, tagCancel, &c) }

// OpenCancel reads a cancel and checks the issuer's signature; issuer finds the
// issuer of a share, false for none.
func OpenCancel(raw []byte, issuer func(SID) (key.Public, bool)) (*Cancel, error) {
	c, err := PeekCancel(raw)
	if err != nil {
		return nil, err
	}
	payload, sig, _ := split(raw, cancelMost)
	k, ok := issuer(c.SID)
	if !ok || !k.Verify(tagCancel, payload, sig) {
		return nil, fmt.Errorf("cancel: %w", roster.ErrSignature)
	}
	return c, nil
}

// PeekCancel reads a cancel without its signature.
func PeekCancel(raw []byte) (*Cancel, error) {
	payload, _, err := split(raw, cancelMost)
	if err != nil {
		return nil, fmt.Errorf("cancel: %w", err)
	}
	c := new(Cancel)
	if err := unmarshal(payload, c); err != nil {
		return nil, fmt.Errorf("cancel: %w", err)
	}
	if c.N > roster.MaxClock || c.Device == (Device{}) {
		return nil, fmt.Errorf("cancel: %w", ErrMalformed)
	}
	return c, nil
}

// Known is what a device of the owner's remembers of a guest of one share.
type Known struct {
	Guest     key.Public
	SID       SID
	WG        key.Exchange
	Control   key.Exchange
	Device    Device
	N         uint64 // the highest seen
	Cancelled uint64 // the device's passes up to this number are over
	Ends      time.Time
	First     int64 // when it was first seen, ms
}

// later tells whether k comes by a pass that is later than p: a device has one pass
// at a time, under whatever keys, or one device's place would do for many.
func (k Known) later(p *Pass) bool {
	return k.N > p.N || k.N == p.N && bytes.Compare(k.Guest[:], p.Guest[:]) < 0
}

// Judge is what a device of the owner's knows when a pass is shown to it.
type Judge struct {
	View   *roster.View
	Now    time.Time
	Guests []Known
}

// Pass is the pass in raw, if it is good for the device that shows it (stream; a
// zero key where it comes by another way). An *ipc.Error says why it is not.
// Whether this device is a target is not its matter: relays judge passes, too.
func (j Judge) Pass(raw []byte, stream key.Public) (*Pass, *State, error) {
	p, err := PeekPass(raw)
	if err != nil {
		return nil, nil, ipc.Errorf(ipc.CodePassInvalid, "%w", err)
	}
	if p.Network != j.View.Network {
		return nil, nil, ipc.Errorf(ipc.CodeLinkForeign, "the pass is for another network than %s", j.View.Name)
	}
	s := Read(j.View, p.SID)
	switch {
	case s == nil && Cleared(j.View, p.SID):
		return nil, nil, ipc.Errorf(ipc.CodeShareRevoked, "the share was taken back")
	case s == nil:
		return nil, nil, ipc.Errorf(ipc.CodeLinkForeign, "%s has no such share", j.View.Name)
	}
	if err := s.Over(j.Now); err != nil {
		return nil, s, err
	}
	if s.By == nil { // its sponsor's word is on its way here
		return nil, s, ipc.Errorf(ipc.CodeBusy, "nobody has accepted the share yet, as far as is known here")
	}
	if !s.Accepted() {
		return nil, s, ipc.Errorf(ipc.CodePassInvalid, "the owner has not approved yet who has accepted the share")
	}
	if _, err := OpenPass(raw, s.By.Issuer); err != nil {
		return nil, s, ipc.Errorf(ipc.CodePassInvalid, "the pass is not of who has accepted the share: %w", err)
	}
	if !stream.IsZero() && p.Guest != stream {
		return nil, s, ipc.Errorf(ipc.CodePassInvalid, "the pass is another device's")
	}
	if err := j.times(p, s); err != nil {
		return nil, s, err
	}
	return p, s, j.keys(p, s)
}

func (j Judge) times(p *Pass, s *State) error {
	switch {
	case p.NotAfter-p.NotBefore > s.PassMax/1000:
		return ipc.Errorf(ipc.CodePassInvalid, "the pass is for longer than the share allows")
	case j.Now.Before(p.Begins().Add(-Grace)):
		return ipc.Errorf(ipc.CodeClock, "the pass begins at %s, and here it is %s: a clock is wrong",
			p.Begins().UTC().Format(time.RFC3339), j.Now.UTC().Format(time.RFC3339))
	case j.Now.After(p.Ends().Add(Grace)):
		return ipc.Errorf(ipc.CodePassExpired, "the pass ended at %s", p.Ends().UTC().Format(time.RFC3339))
	}
	return nil
}

func (j Judge) keys(p *Pass, s *State) error {
	if j.View.Member(p.Guest) != nil || j.View.RemovedBy(p.Guest) != nil || j.View.ByAddr(Addr(p.Network, p.Guest)) != nil {
		return ipc.Errorf(ipc.CodePassInvalid, "the pass claims the key of a device of %s", j.View.Name)
	}
	for _, m := range j.View.Members {
		if m.WG == p.WG || m.Control == p.Control {
			return ipc.Errorf(ipc.CodePassInvalid, "the pass claims the keys of %s", m.Name)
		}
	}
	if slices.Contains(s.Deny.Guests, p.Guest) || slices.Contains(s.Deny.Devices, p.Device) {
		return ipc.Errorf(ipc.CodeGuestDenied, "the owner has put this device out")
	}
	// Who came first has its place; a device that has new keys keeps its own.
	first := int64(math.MaxInt64)
	for _, k := range j.Guests {
		if k.SID == p.SID && (k.Guest == p.Guest || k.Device == p.Device) && !k.Ends.IsZero() {
			first = min(first, k.First)
		}
	}
	before := func(k Known) bool {
		return k.First < first || k.First == first && bytes.Compare(k.Device[:], p.Device[:]) < 0
	}
	others := 0
	for _, k := range j.Guests {
		switch {
		case k.SID == p.SID && k.Device == p.Device && p.N <= k.Cancelled:
			return ipc.Errorf(ipc.CodeGuestDenied, "the friend has taken the pass of this device back")
		case k.Guest == p.Guest && k.SID == p.SID:
			if p.N < k.N {
				return ipc.Errorf(ipc.CodePassInvalid, "a later pass has been shown already")
			}
		case k.Guest != p.Guest && (k.WG == p.WG || k.Control == p.Control || Addr(p.Network, k.Guest) == Addr(p.Network, p.Guest)):
			return ipc.Errorf(ipc.CodePassInvalid, "the pass claims the keys of another guest")
		case k.Guest != p.Guest && k.SID == p.SID && k.Device == p.Device && k.later(p):
			return ipc.Errorf(ipc.CodePassInvalid, "a later pass of this device has been shown under other keys")
		case k.Guest != p.Guest && k.SID == p.SID && k.Device != p.Device && k.N > k.Cancelled && !j.Now.After(k.Ends.Add(Grace)) && before(k):
			others++
		}
	}
	if others >= int(s.MaxGuests) {
		return ipc.Errorf(ipc.CodeLimit, "as many devices as the share is for come by it already: %d", s.MaxGuests)
	}
	return nil
}
