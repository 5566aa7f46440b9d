package link

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"

	"github.com/tyler-smith/go-bip39/wordlists"
)

// rounds make each try to find another network with the same four words cost
// 2^16 hashes: 44 bits alone could be searched through.
const rounds = 1 << 16

// Fingerprint is a network's ID as four words of BIP-39's English list, for
// people to compare. It takes some milliseconds; keep the answer.
func Fingerprint(network [32]byte) []string {
	b, err := pbkdf2.Key(sha256.New, string(network[:]), []byte("kith network fingerprint"), rounds, 8)
	if err != nil {
		panic("link: " + err.Error()) // only for lengths that FIPS mode forbids
	}
	bits := binary.BigEndian.Uint64(b)
	words := make([]string, 4)
	for i := range words {
		words[i] = wordlists.English[bits>>(64-11*(i+1))&2047]
	}
	return words
}
