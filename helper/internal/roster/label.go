package roster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrName says that a name is no label or a reserved one.
var ErrName = errors.New("bad name")

// Zone is the top-level domain under which networks' zones lie.
const Zone = "internal"

// reserved are labels under .internal that others already use.
var reserved = []string{"google", "docker", "ec2", "compute", "c", "kubernetes", "containers", "lima", "orb"}

// ValidLabel wants one lower-case DNS label: 1 to 63 of a-z, 0-9 and inner hyphens
// (RFC 1123 §2.1).
func ValidLabel(s string) error {
	if s == "" || len(s) > 63 {
		return fmt.Errorf("%w: %.70q is not 1 to 63 characters long", ErrName, s)
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("%w: %q has characters other than a-z, 0-9 and -", ErrName, s)
		}
	}
	if s[0] == '-' || s[len(s)-1] == '-' {
		return fmt.Errorf("%w: %q begins or ends with a hyphen", ErrName, s)
	}
	return nil
}

// ValidNetworkName wants a label that is not reserved under .internal.
func ValidNetworkName(s string) error {
	if err := ValidLabel(s); err != nil {
		return err
	}
	if slices.Contains(reserved, s) {
		return fmt.Errorf("%w: %q is reserved", ErrName, s)
	}
	return nil
}

// MakeLabel makes a label of any text, such as a host's name: its first dotted
// part in lower case, with hyphens for what a label cannot hold.
func MakeLabel(s string) string {
	s, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(s)), ".")
	var b strings.Builder
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case c == '\'' || c == '’':
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	label := b.String()
	if len(label) > 63 {
		label = label[:63]
	}
	if label = strings.Trim(label, "-"); label == "" {
		return "device"
	}
	return label
}

// suffixed puts "-" and suffix behind name, cut so that it stays a label.
func suffixed(name, suffix string) string {
	if over := len(name) + 1 + len(suffix) - 63; over > 0 {
		name = strings.TrimRight(name[:len(name)-over], "-")
	}
	return name + "-" + suffix
}
