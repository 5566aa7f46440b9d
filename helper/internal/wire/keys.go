package wire

import (
	"crypto/sha256"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/key"
)

// ownKey is a control key of ours.
type ownKey struct {
	private key.ExchangePrivate
	public  key.Exchange
	mask    maskKey
}

func newOwnKey(k key.ExchangePrivate) *ownKey {
	return &ownKey{private: k, public: k.Public(), mask: maskKeyOf(k.Public())}
}

// ownKeys are the key in force, the one before it and the one that may follow, nil
// where there is none: a peer that has not heard of a new one yet, or has before
// we have, is understood, and answered in kind.
type ownKeys [3]*ownKey

// theirs is a peer's control key and what is derived from it.
type theirs struct {
	control key.Exchange
	tag     tag
	sealers [len(ownKeys{})]atomic.Pointer[sealer] // with keys of ours, made on first use
}

func newTheirs(control key.Exchange) *theirs {
	return &theirs{control: control, tag: tagOf(control)}
}

// with gives the sealer made with a key of ours, nil if there is none yet.
func (t *theirs) with(own *ownKey) *sealer {
	for i := range t.sealers {
		if s := t.sealers[i].Load(); s != nil && s.own == own {
			return s
		}
	}
	return nil
}

// sealer seals to the peer with the key of ours that it has last used, or the
// one in force.
func (p *peer) sealer() (*sealer, error) {
	own := p.speaks.Load()
	if own == nil {
		own = p.wire.keys.Load()[0]
	}
	return p.sealerWith(own)
}

func (p *peer) sealerWith(own *ownKey) (*sealer, error) {
	t := p.keys.Load()
	if s := t.with(own); s != nil {
		return s, nil
	}
	s, err := newSealer(own, t.control)
	if err != nil {
		return nil, err
	}
	for i := range t.sealers {
		if t.sealers[i].CompareAndSwap(nil, s) {
			return s, nil
		}
	}
	t.sealers[0].Store(s) // a former key's
	return s, nil
}

// sealedBy finds who has sealed a datagram, and with which key of ours.
func (w *Wire) sealedBy(b []byte) (*peer, *ownKey) {
	d := w.dir.Load()
	for _, own := range w.keys.Load() {
		if own == nil {
			continue
		}
		if p := d.bySeal[own.mask.apply(tag(b[:tagLen]), b[tagLen:outerLen])]; p != nil {
			return p, own
		}
	}
	return nil, nil
}

// Rekey puts another control key of ours in force. Whom we talk to goes on with
// the one before until it uses the new one; paths and sessions stay.
func (w *Wire) Rekey(control key.ExchangePrivate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := w.keys.Load()
	before, next := keys[0], keys[2]
	if before.public == control.Public() {
		return
	}
	if next == nil || next.public != control.Public() {
		next = newOwnKey(control)
	}
	w.eachContact(func(p *peer) {
		if p.c.boot != 0 {
			p.speaks.CompareAndSwap(nil, before)
		}
	})
	w.keys.Store(&ownKeys{next, before})
}

// Expect has the wire understand a control key of ours that others may use
// before Rekey: whoever admits it does, and is to tell us so.
func (w *Wire) Expect(control key.ExchangePrivate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := *w.keys.Load()
	keys[2] = newOwnKey(control)
	w.keys.Store(&keys)
}

// renew takes the peer's new control key: paths and sessions stay. Callers hold
// Wire.mu.
func (p *peer) renew(control key.Exchange, now time.Time) {
	p.keys.Store(newTheirs(control))
	if c := p.c; c != nil && (c.seeking(now) || c.isActive(now)) {
		p.again(now) // tells the peer that we know
	}
}

// nodeTag names a device in frames.
func nodeTag(id key.Public) tag {
	h := sha256.Sum256(append([]byte("kith node "), id[:]...))
	return tag(h[:tagLen])
}
