package wire

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"kith.internal/helper/internal/key"
)

// A control datagram is
//
//	masked sender 8 ‖ nonce 24 ‖ XChaCha20-Poly1305 ciphertext and tag
//
// and authenticates the first 32 bytes too. The sender is the first 8 bytes of
// SHA-256(its control public key), XORed with the first 8 of SHA-256(mask key
// of the recipient ‖ nonce); the mask key is derived from the recipient's
// control public key, which only those who know it can compute. So outsiders
// can neither link datagrams nor find out who is meant, and a recipient knows
// strangers after one hash.
const (
	tagLen    = 8
	nonceLen  = chacha20poly1305.NonceSizeX
	outerLen  = tagLen + nonceLen
	overhead  = outerLen + chacha20poly1305.Overhead
	minSealed = overhead + innerHeader

	// maxDatagram is what passes a path of 1280 bytes (RFC 8200 §5) after
	// IPv6's 40 and UDP's 8.
	maxDatagram = 1232

	stunCookie = 0x2112a442 // RFC 8489 §5, bytes 4 to 7
)

// buckets are the sizes that control datagrams are padded to.
var buckets = [...]int{128, 256, 512, 768, maxDatagram}

var errNotSealed = errors.New("not sealed by the peer")

// tag names a control public key in datagrams.
type tag [tagLen]byte

func tagOf(pub key.Exchange) tag {
	h := sha256.Sum256(pub[:])
	return tag(h[:tagLen])
}

// maskKey hides senders in the datagrams to one recipient.
type maskKey [32]byte

func maskKeyOf(recipient key.Exchange) (m maskKey) {
	b, err := hkdf.Key(sha256.New, recipient[:], nil, "kith wire mask", len(m))
	if err != nil {
		panic("wire: " + err.Error()) // 32 bytes are within HKDF's limit
	}
	return maskKey(b)
}

func (m *maskKey) apply(t tag, nonce []byte) tag {
	var in [len(m) + nonceLen]byte
	copy(in[:], m[:])
	copy(in[len(m):], nonce)
	h := sha256.Sum256(in[:])
	subtle.XORBytes(t[:], t[:], h[:tagLen])
	return t
}

// sealer seals to and opens from one peer. It is immutable.
type sealer struct {
	own  *ownKey
	self tag
	mask maskKey // the peer's
	send cipher.AEAD
	recv cipher.AEAD
}

func newSealer(own *ownKey, peer key.Exchange) (*sealer, error) {
	shared, err := own.private.Shared(peer)
	if err != nil {
		return nil, fmt.Errorf("derive control keys: %w", err)
	}
	send, err := direction(shared, own.public, peer)
	if err != nil {
		return nil, err
	}
	recv, err := direction(shared, peer, own.public)
	if err != nil {
		return nil, err
	}
	return &sealer{own: own, self: tagOf(own.public), mask: maskKeyOf(peer), send: send, recv: recv}, nil
}

func direction(shared [32]byte, from, to key.Exchange) (cipher.AEAD, error) {
	b, err := hkdf.Key(sha256.New, shared[:], nil, "kith wire seal"+string(from[:])+string(to[:]), chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive control keys: %w", err)
	}
	return chacha20poly1305.NewX(b)
}

// seal appends the datagram with the given inside to b, padded to a bucket.
func (s *sealer) seal(b, inner []byte) []byte { return s.sealPadded(b, inner, padded(len(inner))) }

// sealPadded pads the inside to a size.
func (s *sealer) sealPadded(b, inner []byte, size int) []byte {
	start := len(b)
	b = append(b, make([]byte, outerLen)...)
	b = append(b, inner...)
	b = append(b, make([]byte, max(0, size-len(inner)))...)
	return s.close(b, start)
}

// close seals what stands in b after room for the outer header.
func (s *sealer) close(b []byte, start int) []byte {
	outer, plain := b[start:start+outerLen], b[start+outerLen:]
	nonce := outer[tagLen:]
	for {
		rand.Read(nonce)
		t := s.mask.apply(s.self, nonce)
		copy(outer, t[:])
		if classify(outer) == looksControl {
			break
		}
	}
	return s.send.Seal(b[:start+outerLen], nonce, plain, outer)
}

// open gives the inside of a datagram, in place.
func (s *sealer) open(b []byte) ([]byte, error) {
	inner, err := s.recv.Open(b[outerLen:outerLen], b[tagLen:outerLen], b[outerLen:], b[:outerLen])
	if err != nil {
		return nil, errNotSealed
	}
	return inner, nil
}

// padded is the size of the bucket for an inside of n bytes, n itself if there
// is none.
func padded(n int) int {
	for _, size := range buckets {
		if n <= size-overhead {
			return size - overhead
		}
	}
	return n
}

// looks is what a datagram looks like from outside.
type looks uint8

const (
	looksControl looks = iota
	looksWireGuard
	looksSTUN
)

// classify tells what b is by its first 8 bytes. Control datagrams never look
// like the others, because seal draws again if one does.
func classify(b []byte) looks {
	if len(b) < 8 {
		return looksControl
	}
	if t := binary.LittleEndian.Uint32(b); t >= 1 && t <= 4 {
		return looksWireGuard
	}
	if binary.BigEndian.Uint32(b[4:]) == stunCookie {
		return looksSTUN
	}
	return looksControl
}
