package guest

import (
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// Parts of a share's keys.
const (
	partBy   = "by"
	partDeny = "deny"
)

// Key is share/SID.
func (s SID) Key() string { return roster.ShareKey(s.String()) }

// KeyBy is share/SID/by.
func (s SID) KeyBy() string { return roster.ShareKey(s.String(), partBy) }

// KeyDeny is share/SID/deny.
func (s SID) KeyDeny() string { return roster.ShareKey(s.String(), partDeny) }

// State is a share as a roster has it.
type State struct {
	SID SID
	*Share
	By   *By  // nil until it is accepted
	Deny Deny // what cannot be read denies all
	Made *roster.Record
}

// Read finds one share; nil if there is none, or none that can be read.
func Read(v *roster.View, sid SID) *State {
	raw, ok := v.Value(sid.Key())
	if !ok {
		return nil
	}
	sh, err := DecodeShare(raw)
	if err != nil {
		return nil
	}
	s := &State{SID: sid, Share: sh, Made: v.Setter(sid.Key())}
	if raw, ok := v.Value(sid.KeyBy()); ok {
		// Where it cannot be read somebody has accepted all the same.
		if s.By, err = DecodeBy(raw); err != nil || !s.By.Verify(sh.Key, v.Network, sid) {
			s.By = &By{}
		}
	}
	if raw, ok := v.Value(sid.KeyDeny()); ok {
		if d, err := DecodeDeny(raw); err != nil {
			s.Deny.All = true
		} else {
			s.Deny = *d
		}
	}
	return s
}

// Cleared tells whether there was such a share once.
func Cleared(v *roster.View, sid SID) bool {
	_, there := v.Value(sid.Key())
	return !there && v.Setter(sid.Key()) != nil
}

// All are the shares of a network, ascending by SID.
func All(v *roster.View) []*State {
	var out []*State
	for k := range v.Values("share/") {
		text, ok := strings.CutPrefix(k, "share/")
		if !ok || strings.Contains(text, "/") {
			continue
		}
		sid, err := ParseSID(text)
		if err != nil {
			continue
		}
		if s := Read(v, sid); s != nil {
			out = append(out, s)
		}
	}
	return out
}

// ByKey is the share whose link, or door, has a key; nil if there is none.
func ByKey(all []*State, k key.Public) *State {
	for _, s := range all {
		if s.Key == k || s.By != nil && s.By.Door == k {
			return s
		}
	}
	return nil
}

// Accepted tells whether somebody has accepted and, where that is wanted, the
// owner has approved.
func (s *State) Accepted() bool {
	return s.By != nil && !s.By.Issuer.IsZero() && (!s.Confirm || s.By.Approved)
}

// Over is why the share is not in force any more; nil if it is.
func (s *State) Over(now time.Time) error {
	switch {
	case s.Deny.All:
		return ipc.Errorf(ipc.CodeShareRevoked, "the share was taken back")
	case s.Ended(now):
		return ipc.Errorf(ipc.CodeShareExpired, "the share ended at %s", time.UnixMilli(s.Expires).UTC().Format(time.RFC3339))
	}
	return nil
}

// MayAccept is why an acceptance by issuer is refused; nil if it is not, or is
// the one that there is.
func (s *State) MayAccept(issuer key.Public, now time.Time) error {
	if s.By != nil && s.By.Issuer == issuer && s.Over(now) == nil {
		return nil
	}
	switch {
	case s.Deny.All:
		return ipc.Errorf(ipc.CodeLinkRevoked, "the share was taken back")
	case s.Ended(now):
		return ipc.Errorf(ipc.CodeLinkExpired, "the share has ended")
	case s.By != nil:
		return ipc.Errorf(ipc.CodeLinkUsed, "the share was accepted by somebody already")
	case s.Late(now):
		return ipc.Errorf(ipc.CodeLinkExpired, "the link was to be accepted by %s", time.UnixMilli(s.AcceptBy).UTC().Format(time.RFC3339))
	}
	return nil
}

// Targets are the members that the share is of.
func (s *State) Targets(v *roster.View) []*roster.Member {
	var out []*roster.Member
	for _, m := range v.Members {
		if s.Has(m) && len(out) < TargetsMost {
			out = append(out, m)
		}
	}
	return out
}

// Reach is whom the friend's devices have to do with: the targets and the
// sponsor.
func (s *State) Reach(v *roster.View) []key.Public {
	var out []key.Public
	for _, m := range s.Targets(v) {
		out = append(out, m.Key)
	}
	if v.Member(s.Sponsor) != nil && !slices.Contains(out, s.Sponsor) {
		out = append(out, s.Sponsor)
	}
	return out
}
