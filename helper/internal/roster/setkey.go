package roster

import (
	"errors"
	"fmt"
	"strings"

	"kith.internal/helper/internal/key"
)

// Set keys. The others are made by DevKey, NetKey, DNSKey and ShareKey.
const (
	KeyPolicy    = "policy"
	KeyEpoch     = "epoch"
	KeyFormat    = "format"
	KeySuccessor = "successor"

	maxSetKey = 400
)

// class is the kind of a set key.
type class uint8

const (
	classPolicy class = iota + 1
	classDNS
	classDev
	classNet
	classShare
	classEpoch
	classFormat
	classSuccessor
)

// Fields of dev/KEY/ and net/KEY/.
const (
	FieldName  = "name"
	FieldTags  = "tags"
	FieldIP    = "ip"
	FieldRoute = "route"
	FieldExit  = "exit"
	FieldRelay = "relay"
)

// field is what a dev/ or net/ key sets.
type field uint8

const (
	fieldName field = iota
	fieldTags
	fieldIP
	fieldRoute
	fieldExit
	fieldRelay
	fields
)

var fieldNames = [fields]string{FieldName, FieldTags, FieldIP, FieldRoute, FieldExit, FieldRelay}

func (f field) class() class {
	if f < fieldRoute {
		return classDev
	}
	return classNet
}

// setKey is a set key taken apart.
type setKey struct {
	class  class
	device key.Public // of dev/ and net/
	field  field      // of dev/ and net/
	name   string     // of dns/
	rtype  string     // of dns/
	list   []string   // the value of tags and dns/, once accepted
}

// ofDevice tells whether the key is of dev/ or net/.
func (k *setKey) ofDevice() bool { return k.class == classDev || k.class == classNet }

// DevKey is dev/KEY/FIELD: name, tags or ip of a device.
func DevKey(device key.Public, field string) string { return "dev/" + device.String() + "/" + field }

// NetKey is net/KEY/FIELD: the approval of a device's route, exit or relay.
func NetKey(device key.Public, field string) string { return "net/" + device.String() + "/" + field }

// DNSKey is dns/NAME/TYPE. NAME is in lower case, without a final dot, and may
// begin with "*."; TYPE is A, AAAA, CNAME, TXT, SRV, MX, DNSDevice, or NS for the
// resolvers of a suffix ("." for all names).
func DNSKey(name, rtype string) string { return "dns/" + name + "/" + rtype }

// DNSDevice is the type of a name that has a device's addresses, whatever they
// are; its values are device keys.
const DNSDevice = "DEVICE"

// ShareKey is share/SID or share/SID/PART.
func ShareKey(sid string, part ...string) string {
	return strings.Join(append([]string{"share", sid}, part...), "/")
}

func parseSetKey(s string) (setKey, error) {
	if len(s) > maxSetKey {
		return setKey{}, fmt.Errorf("set key of %d bytes", len(s))
	}
	switch s {
	case KeyPolicy:
		return setKey{class: classPolicy}, nil
	case KeyEpoch:
		return setKey{class: classEpoch}, nil
	case KeyFormat:
		return setKey{class: classFormat}, nil
	case KeySuccessor:
		return setKey{class: classSuccessor}, nil
	}
	kind, rest, _ := strings.Cut(s, "/")
	switch kind {
	case "dev":
		return parseDeviceKey(classDev, rest)
	case "net":
		return parseDeviceKey(classNet, rest)
	case "dns":
		return parseDNSKey(rest)
	case "share":
		return setKey{class: classShare}, validShareKey(rest)
	}
	return setKey{}, fmt.Errorf("unknown set key %.60q", s)
}

func parseDeviceKey(c class, rest string) (setKey, error) {
	text, name, _ := strings.Cut(rest, "/")
	device, err := key.Parse(text)
	if err != nil {
		return setKey{}, err
	}
	if device.String() != text {
		return setKey{}, fmt.Errorf("key %.60q is not in its one form", text)
	}
	for f, n := range fieldNames {
		if n == name && field(f).class() == c {
			return setKey{class: c, device: device, field: field(f)}, nil
		}
	}
	return setKey{}, fmt.Errorf("unknown field %.60q of a device", name)
}

func parseDNSKey(rest string) (setKey, error) {
	name, rtype, _ := strings.Cut(rest, "/")
	switch rtype {
	case "A", "AAAA", "CNAME", "TXT", "SRV", "MX", DNSDevice:
		return setKey{class: classDNS, name: name, rtype: rtype}, validDNSName(strings.TrimPrefix(name, "*."))
	case "NS":
		k := setKey{class: classDNS, name: name, rtype: rtype}
		if name == "." {
			return k, nil
		}
		if name == Zone {
			return k, errors.New("resolvers of ." + Zone + " itself")
		}
		return k, validDNSName(name)
	}
	return setKey{}, fmt.Errorf("DNS type %.20q", rtype)
}

// validDNSName wants lower-case labels, which may hold underscores (RFC 8552).
func validDNSName(s string) error {
	if len(s) > 253 {
		return fmt.Errorf("DNS name of %d bytes", len(s))
	}
	for l := range strings.SplitSeq(s, ".") {
		if err := ValidLabel(strings.ReplaceAll(l, "_", "x")); err != nil {
			return fmt.Errorf("DNS name %.80q: %w", s, err)
		}
	}
	return nil
}

func validShareKey(s string) error {
	if strings.Count(s, "/") > 2 {
		return fmt.Errorf("share key %.60q has too many parts", s)
	}
	for p := range strings.SplitSeq(s, "/") {
		if err := ValidLabel(p); err != nil {
			return fmt.Errorf("share key: %w", err)
		}
	}
	return nil
}

// inZone tells whether a DNS name is the network's zone or below it.
func inZone(name, network string) bool {
	zone := network + "." + Zone
	name = strings.TrimPrefix(name, "*.")
	return name == zone || strings.HasSuffix(name, "."+zone)
}

// senior tells whether the key is for depth 1 and the root alone.
func (k *setKey) senior(network string) bool {
	switch k.class {
	case classFormat, classSuccessor:
		return true
	case classDNS:
		return k.rtype == "NS" || !inZone(k.name, network)
	}
	return false
}

// cap is the capability that the key's class needs besides a prefix.
func (k *setKey) cap() Caps {
	switch k.class {
	case classDev:
		return CapAdmit
	case classNet:
		return CapNet
	case classShare:
		return CapShare
	}
	return 0
}
