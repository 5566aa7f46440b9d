package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// RecordSet is what a roster says of one name and type.
type RecordSet struct {
	Name string // lower case, without trailing dot; its first label may be "*" (RFC 4592)
	Type string // A, AAAA, CNAME, TXT, SRV, MX, or Device
	// Values: addresses; one name; texts of at most 1,024 bytes; "PRIORITY WEIGHT
	// PORT TARGET"; "PREFERENCE TARGET"; labels of the network's devices, of which
	// there may be none.
	Values []string
}

// Device is the type of a name that has the addresses of a device.
const Device = "DEVICE"

// SRV is where a service is (RFC 2782); the target has a trailing dot.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string
}

// MX is where mail goes (RFC 1035 §3.3.9); the target has a trailing dot.
type MX struct {
	Preference uint16
	Target     string
}

// Custom are all records of one name. They are not to be changed.
type Custom struct {
	CNAME  string // with trailing dot; if there is one there is nothing else
	V4, V6 []netip.Addr
	TXT    []string
	SRV    []SRV
	MX     []MX
	// Whole: it stands in for all that others say of the name, as addresses and a
	// CNAME do: from two sources they would be mixed. Else for its types alone.
	Whole bool

	devices []*Host
	size    int // bytes of the records on the wire, roughly
}

const (
	maxText   = 1024
	maxCustom = 32 << 10 // bytes of a name's records: whoever asks has to get them all in one message
)

// take adds a set's values; on an error nothing was added.
func (c *Custom) take(z *Zone, set RecordSet, rename func(string) string) error {
	was := *c
	if set.Type == Device {
		c.Whole = true // of a device that has left nothing is known, and others are not to say
	} else if len(set.Values) == 0 {
		return errors.New("no value")
	}
	for _, v := range set.Values {
		if err := c.takeValue(z, set.Type, v, rename); err != nil {
			*c = was
			return fmt.Errorf("%.80q: %w", v, err)
		}
		if c.size += 16 + len(v); c.size > maxCustom {
			*c = was
			return fmt.Errorf("the records of one name have more than %d bytes", maxCustom)
		}
	}
	return nil
}

func (c *Custom) takeValue(z *Zone, rtype, v string, rename func(string) string) error {
	switch rtype {
	case "A", "AAAA", "CNAME":
		c.Whole = true
	}
	switch rtype {
	case "A", "AAAA":
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" || a.Is4In6() || a.Is4() != (rtype == "A") {
			return fmt.Errorf("not an address for %s", rtype)
		}
		if a.Is4() {
			c.V4 = append(c.V4, a)
		} else {
			c.V6 = append(c.V6, a)
		}
	case Device:
		if ValidHost(v) != nil {
			return errors.New("no name of a device")
		}
		if h := z.hosts[v]; h != nil { // one that has left gives the name no address
			c.devices = append(c.devices, h)
		}
	case "CNAME":
		if c.CNAME != "" {
			return errors.New("more than one CNAME")
		}
		t, err := target(v, rename)
		c.CNAME = t
		return err
	case "TXT":
		if len(v) > maxText {
			return fmt.Errorf("%d bytes of text, more than %d", len(v), maxText)
		}
		c.TXT = append(c.TXT, v)
	case "SRV":
		f := strings.Split(v, " ")
		if len(f) != 4 {
			return errors.New("not PRIORITY WEIGHT PORT TARGET")
		}
		t, err := target(f[3], rename)
		n, err2 := numbers(f[:3])
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		c.SRV = append(c.SRV, SRV{n[0], n[1], n[2], t})
	case "MX":
		f := strings.Split(v, " ")
		if len(f) != 2 {
			return errors.New("not PREFERENCE TARGET")
		}
		t, err := target(f[1], rename)
		n, err2 := numbers(f[:1])
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		c.MX = append(c.MX, MX{n[0], t})
	default:
		return fmt.Errorf("no record type %.20q", rtype)
	}
	return nil
}

func numbers(fields []string) (out [3]uint16, err error) {
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 16)
		if err != nil {
			return out, fmt.Errorf("%.20q is no number from 0 to 65535", f)
		}
		out[i] = uint16(n)
	}
	return out, nil
}

// target is a name that a record points at, as the zone here spells it.
func target(s string, rename func(string) string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if err := validName(s); err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", errors.New("an address where a name belongs")
	}
	if s = rename(s); len(s) > maxName {
		return "", fmt.Errorf("name has %d bytes, more than %d", len(s), maxName)
	}
	return s + ".", nil
}

// validName wants lower-case labels, which may hold underscores (RFC 8552).
func validName(s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("name has %d bytes, not 1 to %d", len(s), maxName)
	}
	for label := range strings.SplitSeq(s, ".") {
		if err := ValidLabel(strings.ReplaceAll(label, "_", "x")); err != nil {
			return err
		}
	}
	return nil
}
