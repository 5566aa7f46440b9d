package guest

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

const (
	proofMost = 32 << 10
	relayMost = 4
)

// View is what a guest learns of the owner's network: the devices shared with it
// and how to reach them.
type View struct {
	Version  uint64     `cbor:"1,keyasint"`
	Network  roster.ID  `cbor:"2,keyasint"`
	SID      SID        `cbor:"3,keyasint"`
	Name     string     `cbor:"4,keyasint"` // of the network
	Targets  []Target   `cbor:"5,keyasint,omitempty"`
	Ports    Ports      `cbor:"6,keyasint,omitempty"`
	Exit     bool       `cbor:"7,keyasint,omitzero"`
	Both     bool       `cbor:"8,keyasint,omitzero"`
	Expires  int64      `cbor:"9,keyasint,omitzero"` // of the share, ms; 0 never
	PassMax  int64      `cbor:"10,keyasint"`         // ms
	Sponsor  Contact    `cbor:"11,keyasint"`
	Relays   []Relay    `cbor:"12,keyasint,omitempty"`
	Made     int64      `cbor:"13,keyasint"` // Unix seconds
	NotAfter int64      `cbor:"14,keyasint"`
	Signer   key.Public `cbor:"15,keyasint"`
}

// Target is a device that is shared.
type Target struct {
	Key     key.Public   `cbor:"1,keyasint"`
	WG      key.Exchange `cbor:"2,keyasint"`
	Control key.Exchange `cbor:"3,keyasint"`
	Name    string       `cbor:"4,keyasint"`
	IP      netip.Addr   `cbor:"5,keyasint"`
	Exit    bool         `cbor:"6,keyasint,omitzero"` // it may be used as an exit node
	IP4     netip.Addr   `cbor:"7,keyasint,omitzero"` // its IPv4 address there; the guest may map it to another
}

// Contact is a device that is asked, and carries nothing.
type Contact struct {
	Key     key.Public   `cbor:"1,keyasint"`
	Control key.Exchange `cbor:"2,keyasint"`
	Name    string       `cbor:"3,keyasint"`
}

// Relay is a relay of the owner's network or, without a pin, another device of it
// that passes guests' packets on by choice.
type Relay struct {
	Key     key.Public       `cbor:"1,keyasint"`
	Control key.Exchange     `cbor:"2,keyasint"`
	Pin     [32]byte         `cbor:"3,keyasint,omitzero"`
	Host    string           `cbor:"4,keyasint,omitempty"`
	Addrs   []netip.AddrPort `cbor:"5,keyasint,omitempty"`
}

// proof is a signed view with what shows that its signer may speak for the
// network.
type proof struct {
	View    []byte   `cbor:"1,keyasint"`
	Genesis []byte   `cbor:"2,keyasint"`
	Grants  [][]byte `cbor:"3,keyasint"` // the root's first
}

// Seen is what the roster does not tell of members: nil tells no.
type Seen struct {
	Relays  func(*roster.Member) bool             // it serves as a relay
	Carries func(*roster.Member) []netip.AddrPort // where one is found that passes guests' packets on and is no relay; empty for others
	Exits   func(*roster.Member) bool             // it may be used as an exit node
	IPv4    func(*roster.Member) bool             // its IPv4 overlay address is in use
}

func tells(f func(*roster.Member) bool, m *roster.Member) bool { return f != nil && f(m) }

// Prove makes the view of a share as a device with the capability sees it, for
// those who hold its passes.
func Prove(by key.Private, v *roster.View, s *State, seen Seen, now time.Time) ([]byte, error) {
	grants := v.GrantsTo(by.Public(), roster.CapShare)
	if grants == nil {
		return nil, fmt.Errorf("prove a share: %w", roster.ErrNotPermitted)
	}
	w := View{
		Version: version, Network: v.Network, SID: s.SID, Name: v.Name, Ports: s.Ports, Exit: s.Exit, Both: s.Both,
		Expires: s.Expires, PassMax: s.PassMax, Made: now.Unix(), NotAfter: now.Add(ViewMost).Unix(), Signer: by.Public(),
	}
	for _, m := range s.Targets(v) {
		t := Target{Key: m.Key, WG: m.WG, Control: m.Control, Name: m.Name, IP: m.IPv6, Exit: s.Exit && tells(seen.Exits, m)}
		if tells(seen.IPv4, m) {
			t.IP4 = m.IPv4
		}
		w.Targets = append(w.Targets, t)
	}
	if m := v.Member(s.Sponsor); m != nil {
		w.Sponsor = Contact{Key: m.Key, Control: m.Control, Name: m.Name}
	}
	for _, m := range v.Members {
		if tells(seen.Relays, m) && len(w.Relays) < relayMost {
			w.Relays = append(w.Relays, Relay{Key: m.Key, Control: m.Control, Pin: m.Relay.Pin, Host: m.Relay.Host, Addrs: m.Relay.Addrs})
		}
	}
	for _, m := range v.Members {
		if seen.Carries == nil || s.Has(m) || len(w.Relays) >= relayMost {
			continue
		}
		if addrs := seen.Carries(m); len(addrs) > 0 {
			w.Relays = append(w.Relays, Relay{Key: m.Key, Control: m.Control, Addrs: addrs})
		}
	}
	raw, err := sign(by, tagView, &w)
	if err != nil {
		return nil, fmt.Errorf("prove a share: %w", err)
	}
	return enc.Marshal(&proof{View: raw, Genesis: grants[0].Raw, Grants: raws(grants[1:])})
}

func raws(records []*roster.Record) [][]byte {
	out := make([][]byte, len(records))
	for i, r := range records {
		out[i] = r.Raw
	}
	return out
}

// OpenView reads a proof and checks that it is of this share of this network: the
// network's ID, from the link, is the hash of the genesis, whose author grants on
// to the signer. Whether it is still in force is for Fresh.
func OpenView(raw []byte, network roster.ID, sid SID) (*View, error) {
	bad := func(format string, args ...any) (*View, error) {
		return nil, fmt.Errorf("view: %w: %w", ErrMalformed, fmt.Errorf(format, args...))
	}
	if len(raw) > proofMost {
		return bad("%d bytes", len(raw))
	}
	var p proof
	if err := unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	payload, sig, err := split(p.View, proofMost)
	if err != nil {
		return bad("%w", err)
	}
	v := new(View)
	if err := unmarshal(payload, v); err != nil {
		return bad("%w", err)
	}
	switch {
	case v.Version != version || v.Network != network || v.SID != sid:
		return bad("it is of another share")
	case !v.Signer.Verify(tagView, payload, sig):
		return nil, fmt.Errorf("view: %w", roster.ErrSignature)
	}
	if err := roster.VerifyGrants(network, p.Genesis, p.Grants, v.Signer, roster.CapShare); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return v, v.valid()
}

func (v *View) valid() error {
	bad := func(what string) error { return fmt.Errorf("view: %w: %s", ErrMalformed, what) }
	switch {
	case roster.ValidNetworkName(v.Name) != nil:
		return bad("the network's name")
	case len(v.Targets) > TargetsMost || len(v.Relays) > relayMost || !v.Ports.valid():
		return bad("too much")
	case v.NotAfter-v.Made > int64(ViewMost/time.Second) || v.Made <= 0 || v.NotAfter >= 1<<40:
		return bad("its times")
	case v.PassMax <= 0 || v.PassMax > PassMost.Milliseconds() || v.Expires < 0 || v.Expires > roster.MaxClock:
		return bad("the share's times")
	}
	names, fours := map[string]bool{}, map[netip.Addr]bool{}
	for _, t := range v.Targets {
		switch {
		case roster.ValidLabel(t.Name) != nil || names[t.Name]:
			return bad("a device's name")
		case t.Key.IsZero() || t.WG.IsZero() || t.Control.IsZero():
			return bad("a device's key")
		case t.IP4.IsValid() && (!roster.Range4(v.Network).Contains(t.IP4) || fours[t.IP4]):
			return bad("a device's IPv4 address")
		case t.IP != roster.Addr6(v.Network, t.Key):
			return bad("an address that is not its device's")
		}
		names[t.Name], fours[t.IP4] = true, true
	}
	for _, r := range v.Relays {
		if len(r.Host) > 260 || len(r.Addrs) > 16 || slices.ContainsFunc(r.Addrs, func(a netip.AddrPort) bool { return !a.IsValid() || a.Port() == 0 }) {
			return bad("a relay")
		}
	}
	return nil
}

// Fresh tells whether the view is in force.
func (v *View) Fresh(now time.Time) bool {
	return !now.After(time.Unix(v.NotAfter, 0).Add(Grace)) && !now.Before(time.Unix(v.Made, 0).Add(-Grace))
}

// Trusted tells whether the devices in the view are still taken for what it says.
// That is longer than it is in force: an owner whose admins are away for some days,
// with plain devices shared, has taken nothing back.
func (v *View) Trusted(now time.Time) bool {
	return !now.After(time.Unix(v.Made, 0).Add(PassMost)) && !now.Before(time.Unix(v.Made, 0).Add(-Grace))
}

// Stale tells whether a newer one should be asked for.
func (v *View) Stale(now time.Time) bool { return now.Unix() >= v.Made+(v.NotAfter-v.Made)/2 }

// Same tells whether two views are the same.
func (v *View) Same(o *View) bool {
	a, err := enc.Marshal(v)
	b, err2 := enc.Marshal(o)
	return err == nil && err2 == nil && bytes.Equal(a, b)
}
