// Package dns owns names and zones: which name stands for which overlay
// address, and which names are ours to answer at all. It is a leaf of pure
// data: no sockets, no clock, and it imports nothing of ours and no DNS codec.
package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Domain is the top-level domain under which every network has its zone. It is
// reserved for private use (ICANN, 2024), and shared: never ours as a whole.
const Domain = "internal"

const (
	// TTL of every record. The stub is on the host that asks, so a cache saves
	// nothing, and what another cache keeps outlives a rename or a removal.
	TTL = 10 * time.Second
	// NegativeTTL is how long "no such name" may be kept: a name asked for just
	// before its device joined has to resolve at the next try.
	NegativeTTL = time.Second
)

const (
	maxLabel = 63  // RFC 1035 §2.3.4
	maxName  = 253 // presentation form, without the trailing dot
)

// reserved are network names whose NAME.internal is somebody else's.
var reserved = map[string]bool{
	"google": true, "docker": true, "ec2": true, "compute": true, "c": true,
	"kubernetes": true, "containers": true, "lima": true, "orb": true,
}

// ValidLabel reports why s is not one lower-case DNS label: 1 to 63 letters,
// digits and inner hyphens (RFC 1123 §2.1). Labels with hyphens in places 3
// and 4 are refused too: "xn--" is how a name shows letters it does not have
// (RFC 5890 §2.3.1).
func ValidLabel(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("label is empty")
	case len(s) > maxLabel:
		return fmt.Errorf("label has %d bytes, more than %d", len(s), maxLabel)
	case s[0] == '-' || s[len(s)-1] == '-':
		return fmt.Errorf("label %q begins or ends with a hyphen", s)
	case len(s) >= 4 && s[2:4] == "--":
		return fmt.Errorf("label %q is of the reserved form ??--", s)
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("label %q has a byte other than a-z, 0-9 and hyphen", s)
		}
	}
	return nil
}

// ValidNetwork reports why s cannot name a network: it is no label, or its
// zone belongs to another product.
func ValidNetwork(s string) error {
	if err := ValidLabel(s); err != nil {
		return err
	}
	if reserved[s] {
		return fmt.Errorf("%s.%s is in use by other software", s, Domain)
	}
	return nil
}

// unsafeHosts are labels that programs look up unasked and trust: as a
// device's name, found through the search domain, they would hand it every
// member's proxy settings, tunnel or loopback traffic.
var unsafeHosts = map[string]bool{"localhost": true, "wpad": true, "isatap": true}

// ValidHost reports why s cannot name a device.
func ValidHost(s string) error {
	if err := ValidLabel(s); err != nil {
		return err
	}
	if unsafeHosts[s] {
		return fmt.Errorf("label %q has a meaning of its own to programs", s)
	}
	return nil
}

// ValidDomain reports why s is not a host or domain name of valid characters:
// labels of letters, digits, hyphens and underscores, a trailing dot allowed.
// It is for names that are written to files, such as search domains.
func ValidDomain(s string) error {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxName {
		return fmt.Errorf("domain has %d bytes, not 1 to %d", len(s), maxName)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("domain %q has a malformed label", s)
		}
		for i := range len(label) {
			c := label[i] | 0x20
			if (c < 'a' || c > 'z') && (label[i] < '0' || label[i] > '9') && label[i] != '-' && label[i] != '_' {
				return fmt.Errorf("domain %q has a byte other than letters, digits, hyphen and underscore", s)
			}
		}
	}
	return nil
}

// FQDN is a device's full name, without trailing dot.
func FQDN(host, network string) string { return host + "." + network + "." + Domain }

// Host is one device of a network; the zero Addr is none.
type Host struct {
	Name   string
	V4, V6 netip.Addr
}
