package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"

	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
)

// drawEpoch makes a discovery secret and the hash of it that the roster holds.
func drawEpoch() (secret, hash [32]byte) {
	rand.Read(secret[:])
	return secret, sha256.Sum256(secret[:])
}

// renewEpoch replaces the discovery secret after a removal, so that the removed
// device no longer knows the members' tags. It goes out over control streams to
// those in good standing.
func (n *network) renewEpoch() error {
	secret, hash := drawEpoch()
	// Kept first: a secret whose hash is published and lost would help nobody.
	if err := n.keepEpoch(secret); err != nil {
		return err
	}
	if err := n.write(func(a *roster.Author) error { _, err := a.SetEpoch(hash); return err }); err != nil {
		// One that nobody else will hold must not be spoken.
		return errors.Join(err, n.updateSecrets(func(s *store.Secrets) error {
			s.Epochs = slices.DeleteFunc(slices.Clone(s.Epochs), func(ep store.Epoch) bool { return ep.Secret == secret })
			return nil
		}))
	}
	n.spreadEpoch(secret)
	return nil
}
