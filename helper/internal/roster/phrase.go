package roster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tyler-smith/go-bip39"

	"kith.internal/helper/internal/key"
)

// ErrPhrase says that words are no root phrase.
var ErrPhrase = errors.New("bad root phrase")

// Phrase writes the root key as 24 words (BIP-39, English), separated by blanks.
func Phrase(root key.Private) string {
	words, err := bip39.NewMnemonic(root[:])
	if err != nil {
		panic("roster: 32 bytes make 24 words: " + err.Error())
	}
	return words
}

// ParsePhrase reads Phrase's words, in any case and spacing. The error names a
// wrong word's place, never the word: it is part of a secret.
func ParsePhrase(s string) (root key.Private, err error) {
	words := strings.Fields(strings.ToLower(s))
	if len(words) != 24 {
		return root, fmt.Errorf("%w: %d words instead of 24", ErrPhrase, len(words))
	}
	for i, w := range words {
		if _, ok := bip39.GetWordIndex(w); !ok {
			return root, fmt.Errorf("%w: word %d is not in the list", ErrPhrase, i+1)
		}
	}
	b, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if err != nil || len(b) != len(root) {
		return root, fmt.Errorf("%w: the words do not belong together", ErrPhrase)
	}
	return key.Private(b), nil
}
