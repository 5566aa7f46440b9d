// Package roster holds the records that say who is in a network and what holds
// there: their codec, what makes one acceptable, and the evaluation of a set of
// them. It is pure: no I/O, no clock, no goroutine. It imports key and nothing
// else of ours, and must not import what stores, sends or shows records.
package roster

import (
	"encoding/hex"
	"fmt"
	"time"
)

// ID names a record: SHA-256 over a tag and the payload without the signature.
// A network's ID is its genesis record's.
type ID [32]byte

// String is the ID in 64 hex digits.
func (i ID) String() string { return hex.EncodeToString(i[:]) }

// Short is the first ten digits of String, for people and logs.
func (i ID) Short() string { return i.String()[:10] }

// IsZero tells whether the ID is unset.
func (i ID) IsZero() bool { return i == ID{} }

// ParseID reads String's form.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("parse ID %.70q: not 64 lower-case hex digits", s)
	}
	return ID(b), nil
}

// Version is the record layout that this build writes.
const Version = 1

// Format is the highest format whose types this build knows.
const Format = 1

// Bounds of records.
const (
	MaxRecord   = 4 << 10  // bytes of a record, signature included
	MaxLarge    = 64 << 10 // of a policy or a revocation
	MaxClock    = 1<<53 - 1
	MaxKeep     = 1700 // IDs that a writer names in one revocation
	maxDepth    = 3
	plainRank   = 4 // the rank of a key without authority
	signatureSz = 64
)

// Tags separate what a signature or a hash is for.
const (
	tagID     = "kith/roster/id/1"
	tagSign   = "kith/roster/record/1"
	tagPop    = "kith/roster/pop/1"
	tagInvite = "kith/roster/invite/1"
)

// ClockSlack is by how much devices' clocks may differ (rule 19).
const ClockSlack = 10 * time.Minute

// Expired tells whether an expiry has passed for sure; the zero time never does.
func Expired(at, now time.Time) bool { return !at.IsZero() && now.After(at.Add(ClockSlack)) }

// Millis is a time as records hold it: milliseconds since 1970, 0 for none.
func Millis(t time.Time) uint64 {
	if t.IsZero() || t.UnixMilli() < 0 {
		return 0
	}
	return min(uint64(t.UnixMilli()), MaxClock)
}

// Time is the reverse of Millis; none is the zero time.
func Time(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}
