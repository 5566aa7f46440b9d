package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"time"

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

// A device that leaves, or whose admission ends, still holds the discovery
// secret, and so does one that was removed by who could not renew it. One of those
// who may renew it does, after a pause that chance picks: mostly just one.
const (
	renewFirst = 2 * time.Second
	renewLast  = 30 * time.Second
)

// checkLeft has the discovery secret renewed where somebody is gone since it was
// drawn.
func (n *network) checkLeft() {
	if n.epochTimer != nil || !n.epochStale(time.Now()) {
		return
	}
	n.renewSoon(renewFirst + mrand.N(renewLast-renewFirst))
}

// renewSoon renews the discovery secret after a pause if nobody has by then; what
// fails is tried again.
func (n *network) renewSoon(pause time.Duration) {
	n.epochTimer = time.AfterFunc(pause, func() {
		n.e.post(func() {
			n.epochTimer = nil
			if n.on == nil || n.e.stopping || !n.epochStale(time.Now()) {
				return
			}
			if err := n.renewEpoch(); err != nil {
				n.e.log.Warn("renew the discovery secret", "network", n.alias, "err", err)
				n.renewSoon(retryAfter)
			}
		})
	})
}

// epochStale tells whether this device is to renew the discovery secret: it may,
// and somebody is gone since.
func (n *network) epochStale(now time.Time) bool {
	v := n.book.View()
	if n.on == nil || n.leaving || v.UpgradeRequired || v.EpochClock == 0 || v.Caps(n.self)&roster.CapRemove == 0 {
		return false
	}
	if v.GoneClock > v.EpochClock {
		return true
	}
	drawn := roster.Time(v.EpochClock)
	for _, m := range v.Members {
		if m.Key != n.self && expired(m, now) && m.Expires.Add(grace).After(drawn) {
			return true
		}
	}
	return false
}

// epochKept is how long old discovery secrets are heard: a device that was away
// still speaks them.
const epochKept = 30 * 24 * time.Hour

// epoch is the newest discovery secret held.
func (n *network) epoch() (secret [32]byte, ok bool) {
	eps := n.secrets.Epochs
	if len(eps) == 0 {
		return secret, false
	}
	return eps[len(eps)-1].Secret, true
}

// keepEpoch stores a discovery secret as the newest and forgets those that are
// too old.
func (n *network) keepEpoch(secret [32]byte) error {
	now := time.Now()
	err := n.updateSecrets(func(s *store.Secrets) error {
		kept := slices.DeleteFunc(slices.Clone(s.Epochs), func(ep store.Epoch) bool { return ep.Secret == secret })
		s.Epochs = heardEpochs(append(kept, store.Epoch{Secret: secret, At: now}), now)
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the discovery secret: %w", err)
	}
	return nil
}

// heardEpochs tells which of the discovery secrets, oldest first, are still heard: the
// newest, and those that were replaced not too long ago.
func heardEpochs(all []store.Epoch, now time.Time) []store.Epoch {
	for len(all) > 1 && now.Sub(all[1].At) > epochKept {
		all = all[1:]
	}
	return all
}

// epochsOffered is how many secrets are remembered that no record vouches for
// yet: a secret may come before the record with its hash.
const epochsOffered = 8

// takeEpoch takes in a discovery secret that a member handed over, once it is
// the one whose hash the roster holds.
func (n *network) takeEpoch(secret [32]byte) {
	if held, ok := n.epoch(); ok && held == secret || slices.Contains(n.offered, secret) {
		return
	}
	n.offered = append(n.offered, secret)
	n.offered = n.offered[max(0, len(n.offered)-epochsOffered):]
	n.checkEpoch()
}

// checkEpoch adopts the secret offered that the roster has the hash of.
func (n *network) checkEpoch() {
	want := n.book.View().Epoch
	i := slices.IndexFunc(n.offered, func(secret [32]byte) bool { return sha256.Sum256(secret[:]) == want })
	if i < 0 {
		return
	}
	secret := n.offered[i]
	n.offered = nil
	if err := n.keepEpoch(secret); err != nil {
		n.e.log.Error("renew the discovery secret", "network", n.alias, "err", err)
		return
	}
	n.spreadEpoch(secret)
}

// spreadEpoch hands a new discovery secret, kept already, to the members, and
// speaks it.
func (n *network) spreadEpoch(secret [32]byte) {
	if n.on != nil {
		n.on.replica.EpochChanged(secret)
	}
	n.e.apply()
}
