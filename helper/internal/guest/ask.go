package guest

import (
	"fmt"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// Ask is a device's wish for a pass, to the admin of its own network; the guest
// key signs it, so that nobody gets a pass for another's keys.
type Ask struct {
	Network roster.ID    `cbor:"1,keyasint"` // the owner's
	SID     SID          `cbor:"2,keyasint"`
	Guest   key.Public   `cbor:"3,keyasint"`
	WG      key.Exchange `cbor:"4,keyasint"`
	Control key.Exchange `cbor:"5,keyasint"`
}

// Sign makes an ask.
func (a Ask) Sign(guest key.Private) ([]byte, error) { return sign(guest, tagAsk, &a) }

// OpenAsk reads an ask and checks its signature.
func OpenAsk(raw []byte) (*Ask, error) {
	payload, sig, err := split(raw, passMost)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	a := new(Ask)
	if err := unmarshal(payload, a); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if a.WG.IsZero() || a.Control.IsZero() || !a.Guest.Verify(tagAsk, payload, sig) {
		return nil, fmt.Errorf("ask: %w", roster.ErrSignature)
	}
	return a, nil
}
