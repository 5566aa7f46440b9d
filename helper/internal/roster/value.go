package roster

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"kith.internal/dns"
	"kith.internal/helper/internal/key"
)

// RelayInfo is the value of net/KEY/relay: the approval of a relay and how to
// find it without DNS.
type RelayInfo struct {
	Host  string           // its name, for the proxy's sake and people's; may be empty
	Addrs []netip.AddrPort // ascending
	Pin   [32]byte         // SHA-256 of its TLS key's SubjectPublicKeyInfo
}

type relayWire struct {
	Host  string   `cbor:"1,keyasint,omitempty"`
	Addrs []string `cbor:"2,keyasint,omitempty"`
	Pin   [32]byte `cbor:"3,keyasint,omitzero"`
}

const maxList = 64 // entries of a value that is a list

// Encode is the value of net/KEY/relay.
func (r RelayInfo) Encode() ([]byte, error) {
	w := relayWire{Host: r.Host, Pin: r.Pin}
	for _, a := range r.Addrs {
		w.Addrs = append(w.Addrs, a.String())
	}
	slices.Sort(w.Addrs)
	w.Addrs = slices.Compact(w.Addrs)
	b, err := marshal(&w)
	if err != nil {
		return nil, fmt.Errorf("encode relay: %w", err)
	}
	_, err = decodeRelay(b)
	return b, err
}

// DecodeRelay reads Encode's form, as a device asks for it.
func DecodeRelay(b []byte) (*RelayInfo, error) { return decodeRelay(b) }

func decodeRelay(b []byte) (*RelayInfo, error) {
	var w relayWire
	if err := unmarshal(b, &w); err != nil {
		return nil, err
	}
	r := &RelayInfo{Host: w.Host, Pin: w.Pin}
	host, port, ported := strings.Cut(w.Host, ":")
	if p, err := strconv.ParseUint(port, 10, 16); ported && (err != nil || p == 0 || strconv.FormatUint(p, 10) != port) {
		return nil, fmt.Errorf("relay host's port %.20q", port)
	}
	if host != "" || ported {
		if err := validDNSName(host); err != nil {
			return nil, err
		}
	}
	if len(w.Addrs) > maxList || !ascending(w.Addrs) {
		return nil, errors.New("relay addresses: too many or not ascending")
	}
	for _, s := range w.Addrs {
		a, err := netip.ParseAddrPort(s)
		if err != nil || a.String() != s || a.Port() == 0 || a.Addr().Zone() != "" || a.Addr().Is4In6() || !plausible(a.Addr()) {
			return nil, fmt.Errorf("relay address %.60q", s)
		}
		r.Addrs = append(r.Addrs, a)
	}
	return r, nil
}

func plausible(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// EncodeList is the value of tags, routes and DNS records: ascending strings.
func EncodeList(list []string) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	return marshal(list)
}

// DecodeList reads EncodeList's form; no value is no strings.
func DecodeList(b []byte) ([]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var list []string
	if err := unmarshal(b, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 || len(list) > maxList || !ascending(list) {
		return nil, errors.New("a list is empty, too long or not ascending")
	}
	return list, nil
}

// EncodeUint is the value of ip and format.
func EncodeUint(n uint64) ([]byte, error) { return marshal(n) }

// DecodeUint reads EncodeUint's form; no value is 0.
func DecodeUint(b []byte) (n uint64, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	err = unmarshal(b, &n)
	return n, err
}

// checkValue checks what a set record alone shows of its value, and keeps lists.
// No value clears a key, so it is always right but for the format.
func (k *setKey) checkValue(b []byte) (err error) {
	if len(b) == 0 {
		if k.class == classFormat {
			return errors.New("no format")
		}
		return nil
	}
	switch k.class {
	case classEpoch, classSuccessor:
		if len(b) != 32 {
			err = fmt.Errorf("%d bytes instead of 32", len(b))
		}
	case classFormat:
		var n uint64
		if n, err = DecodeUint(b); err == nil && (n == 0 || n > MaxClock) {
			err = fmt.Errorf("format %d", n)
		}
	case classDNS:
		err = k.checkDNS(b)
	case classDev, classNet:
		err = k.checkDevice(b)
	}
	return err
}

func (k *setKey) checkDevice(b []byte) error {
	switch k.field {
	case fieldName:
		return ValidLabel(string(b))
	case fieldTags:
		var err error
		if k.list, err = DecodeList(b); err != nil {
			return err
		}
		return formTags(k.list, false)
	case fieldIP:
		n, err := DecodeUint(b)
		if err == nil && n > maxIndex {
			err = fmt.Errorf("IPv4 index %d", n)
		}
		return err
	case fieldRoute:
		_, err := decodeRoutes(b)
		return err
	case fieldExit:
		if len(b) != 1 || b[0] != 1 {
			return errors.New("an exit's approval is the byte 1")
		}
		return nil
	}
	_, err := decodeRelay(b)
	return err
}

func decodeRoutes(b []byte) ([]netip.Prefix, error) {
	list, err := DecodeList(b)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.String() != s || p.Masked() != p || p.Bits() == 0 || p.Addr().Is4In6() {
			return nil, fmt.Errorf("route %.60q is no prefix, or is an exit's", s)
		}
		out = append(out, p)
	}
	return out, nil
}

func (k *setKey) checkDNS(b []byte) error {
	var err error
	if k.list, err = DecodeList(b); err != nil {
		return err
	}
	if k.rtype == "CNAME" && len(k.list) > 1 {
		return errors.New("more than one CNAME")
	}
	for _, s := range k.list {
		if err := checkDNSValue(k.rtype, s); err != nil {
			return fmt.Errorf("%s %.80q: %w", k.rtype, s, err)
		}
	}
	return nil
}

func checkDNSValue(rtype, s string) error {
	switch rtype {
	case "A", "AAAA":
		a, err := netip.ParseAddr(s)
		if err != nil || a.String() != s || a.Zone() != "" || a.Is4In6() || a.Is4() != (rtype == "A") {
			return errors.New("not such an address")
		}
	case "NS":
		if strings.Contains(s, "://") {
			if r, err := dns.ParseResolver(s); err != nil || r.String() != s {
				return errors.New("not a resolver in its one form")
			}
			return nil
		}
		a, err := netip.ParseAddr(s)
		if ap, err2 := netip.ParseAddrPort(s); err2 == nil && ap.String() == s && ap.Port() != 0 {
			a, err = ap.Addr(), nil
		} else if err == nil && a.String() != s {
			return errors.New("not in its one form")
		}
		if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
			return errors.New("not a resolver's address")
		}
	case "CNAME":
		return validDNSName(s)
	case DNSDevice:
		if k, err := key.Parse(s); err != nil || k.String() != s {
			return errors.New("not a device's key")
		}
	case "MX":
		var pref uint16
		var target string
		n, err := fmt.Sscanf(s, "%d %s", &pref, &target)
		if err != nil || n != 2 || fmt.Sprintf("%d %s", pref, target) != s {
			return errors.New("not PREFERENCE TARGET")
		}
		return validDNSName(target)
	case "SRV":
		var prio, weight, port uint16
		var target string
		n, err := fmt.Sscanf(s, "%d %d %d %s", &prio, &weight, &port, &target)
		if err != nil || n != 4 || fmt.Sprintf("%d %d %d %s", prio, weight, port, target) != s {
			return errors.New("not PRIORITY WEIGHT PORT TARGET")
		}
		return validDNSName(target)
	default:
		if len(s) > 1024 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return errors.New("too long, or has control characters")
		}
	}
	return nil
}
