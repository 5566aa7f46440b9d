package roster

import (
	"fmt"
	"net/netip"

	"kith.internal/helper/internal/key"
)

// Set gives a set key a value; no value clears it.
func (a *Author) Set(k string, value []byte) (*Record, error) {
	sk, err := parseSetKey(k)
	if err != nil {
		return nil, fmt.Errorf("set: %w", err)
	}
	if err := sk.checkValue(value); err != nil {
		return nil, fmt.Errorf("set %q: %w", k, err)
	}
	v := a.set.View()
	w, err := a.under("set "+k, func(g *Grant, depth uint8) bool { return a.maySet(v, &sk, k, g, depth) })
	if err != nil {
		return nil, err
	}
	return w.write(&Setting{Key: k, Value: value})
}

// maySet is acceptance's rule, and that a set record without effect is not written.
func (a *Author) maySet(v *View, sk *setKey, k string, g *Grant, depth uint8) bool {
	if !g.maySet(k) || g.Caps&sk.cap() != sk.cap() || depth > 1 && sk.senior(v.Name) {
		return false
	}
	if sk.class != classDev {
		return true
	}
	if sk.field == fieldTags && !tagsWithin(sk.list, g.Tags) {
		return false
	}
	c := v.eval.cands[sk.device]
	return c == nil || depth <= v.eval.nodes[c.admits[0]].depth
}

func (a *Author) member(device key.Public) (*View, *Member, error) {
	v := a.set.View()
	m := v.Member(device)
	if m == nil {
		return v, nil, fmt.Errorf("device %s: %w", device.Short(), ErrUnknown)
	}
	return v, m, nil
}

// Rename names a device. Unlike Admit it fails where another has the name.
func (a *Author) Rename(device key.Public, name string) (*Record, error) {
	v, _, err := a.member(device)
	if err != nil {
		return nil, err
	}
	if err := ValidLabel(name); err != nil {
		return nil, err
	}
	if m := v.ByName(name); m != nil && m.Key != device {
		return nil, fmt.Errorf("%w: %q is another device's", ErrName, name)
	}
	return a.Set(DevKey(device, FieldName), []byte(name))
}

// SetTags sets a device's tags; none takes also those of its admission away.
func (a *Author) SetTags(device key.Public, tags []string) (*Record, error) {
	return a.setList(DevKey(device, FieldTags), tags)
}

// SetIndex sets a device's IPv4 index; 0 takes its IPv4 address away.
func (a *Author) SetIndex(device key.Public, index uint16) (*Record, error) {
	b, err := EncodeUint(uint64(index))
	if err != nil {
		return nil, err
	}
	return a.Set(DevKey(device, FieldIP), b)
}

// ApproveRoutes sets the routes that a device may offer; none withdraws all.
func (a *Author) ApproveRoutes(device key.Public, routes []netip.Prefix) (*Record, error) {
	var list []string
	for _, p := range routes {
		list = append(list, p.Masked().String())
	}
	return a.setList(NetKey(device, FieldRoute), list)
}

// ApproveExit lets a device be an exit node, or no longer.
func (a *Author) ApproveExit(device key.Public, on bool) (*Record, error) {
	if !on {
		return a.Set(NetKey(device, FieldExit), nil)
	}
	return a.Set(NetKey(device, FieldExit), []byte{1})
}

// ApproveRelay lets a device be a relay and says how to find it; nil ends it.
func (a *Author) ApproveRelay(device key.Public, r *RelayInfo) (*Record, error) {
	if r == nil {
		return a.Set(NetKey(device, FieldRelay), nil)
	}
	b, err := r.Encode()
	if err != nil {
		return nil, fmt.Errorf("relay %s: %w", device.Short(), err)
	}
	return a.Set(NetKey(device, FieldRelay), b)
}

// SetDNS sets the records of a name and type, or a suffix's resolvers; none removes them.
func (a *Author) SetDNS(name, rtype string, values []string) (*Record, error) {
	return a.setList(DNSKey(name, rtype), values)
}

// SetPolicy sets the packet filter's policy.
func (a *Author) SetPolicy(policy []byte) (*Record, error) { return a.Set(KeyPolicy, policy) }

// SetEpoch publishes the discovery secret's hash.
func (a *Author) SetEpoch(hash [32]byte) (*Record, error) { return a.Set(KeyEpoch, hash[:]) }

// SetSuccessor offers members the move to another network.
func (a *Author) SetSuccessor(network ID) (*Record, error) {
	return a.Set(KeySuccessor, network[:])
}

// RaiseFormat puts a higher format in force.
func (a *Author) RaiseFormat(n uint64) (*Record, error) {
	if now := a.set.View().Format; n <= now {
		return nil, fmt.Errorf("format %d is in force already", now)
	}
	b, err := EncodeUint(n)
	if err != nil {
		return nil, err
	}
	return a.Set(KeyFormat, b)
}

func (a *Author) setList(k string, list []string) (*Record, error) {
	b, err := EncodeList(list)
	if err != nil {
		return nil, fmt.Errorf("set %q: %w", k, err)
	}
	return a.Set(k, b)
}
