package discover

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// An announcement is
//
//	version 1 ‖ salt 16 ‖ tag 8 ‖ ChaCha20-Poly1305(port 2 ‖ ID 8 ‖ flags 1 ‖ zeros)
//
// with tag = HMAC-SHA256(secret, "tag" ‖ salt), the key from HKDF-SHA256 of
// secret and salt, a zero nonce and all before the ciphertext as additional
// data. All are of one size. Whoever lacks the secret sees random bytes; whoever
// holds many finds the right one for the price of one HMAC each.
const (
	version   = 1
	saltSize  = 16
	tagSize   = 8
	headSize  = 1 + saltSize + tagSize
	bodySize  = 32 // of which 11 are used
	size      = headSize + bodySize + chacha20poly1305.Overhead
	flagQuery = 1
	keyInfo   = "kith announcement 1"
)

// content is what an announcement says.
type content struct {
	port  uint16
	id    [8]byte
	query bool
}

// secret is a group's secret, ready for use by one goroutine at a time.
type secret struct {
	raw [32]byte
	mac hash.Hash
}

func newSecret(raw [32]byte) *secret { return &secret{raw, hmac.New(sha256.New, raw[:])} }

func (s *secret) tag(salt []byte) [tagSize]byte {
	s.mac.Reset()
	s.mac.Write([]byte("tag"))
	s.mac.Write(salt)
	var sum [sha256.Size]byte
	return [tagSize]byte(s.mac.Sum(sum[:0]))
}

func (s *secret) aead(salt []byte) cipher.AEAD {
	key, err := hkdf.Key(sha256.New, s.raw[:], salt, keyInfo, chacha20poly1305.KeySize)
	if err != nil {
		panic("discover: derive a 32-byte key: " + err.Error())
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic("discover: use a 32-byte key: " + err.Error())
	}
	return aead
}

var zeroNonce [chacha20poly1305.NonceSize]byte // each key seals one announcement

// seal makes an announcement.
func (s *secret) seal(c content) []byte {
	b := make([]byte, headSize, size)
	b[0] = version
	salt := b[1 : 1+saltSize]
	rand.Read(salt)
	tag := s.tag(salt)
	copy(b[1+saltSize:], tag[:])
	var body [bodySize]byte
	binary.BigEndian.PutUint16(body[:], c.port)
	copy(body[2:], c.id[:])
	if c.query {
		body[10] = flagQuery
	}
	return s.aead(salt).Seal(b, zeroNonce[:], body[:], b)
}

// wellFormed tells whether b can be an announcement at all.
func wellFormed(b []byte) bool { return len(b) == size && b[0] == version }

// open reads a well-formed announcement if it was made with the secret.
// Flags and bytes yet unknown are let pass.
func (s *secret) open(b []byte) (c content, ok bool) {
	salt := b[1 : 1+saltSize]
	if tag := s.tag(salt); subtle.ConstantTimeCompare(tag[:], b[1+saltSize:headSize]) == 0 {
		return c, false
	}
	body, err := s.aead(salt).Open(nil, zeroNonce[:], b[headSize:], b[:headSize])
	if err != nil {
		return c, false
	}
	c = content{binary.BigEndian.Uint16(body), [8]byte(body[2:10]), body[10]&flagQuery != 0}
	return c, c.port != 0
}
