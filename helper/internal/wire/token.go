package wire

import (
	"crypto/subtle"
	"time"

	"kith.internal/helper/internal/key"
)

// OpenToken tells whose token it is that a stream was opened with; binding is
// what both ends of the stream alone know.
func (w *Wire) OpenToken(token, binding []byte) (key.Public, bool) {
	b := append([]byte(nil), token...)
	p, _, h, body, ok := w.open(b, place{}, time.Now())
	if !ok || h.kind != kindToken || p.cut.Load() || len(binding) == 0 || subtle.ConstantTimeCompare(body, binding) != 1 {
		return key.Public{}, false
	}
	return p.id, true
}
