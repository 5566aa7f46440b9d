package dns

import (
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// ValidSuffix reports why queries for the names below s, in lower case and
// without trailing dot, may not be sent to resolvers of a network's own. "."
// is all names.
func ValidSuffix(s string) error {
	switch {
	case s == ".":
		return nil
	case s == Domain:
		return fmt.Errorf("%s is shared by all networks", Domain)
	}
	if below, ok := strings.CutSuffix(s, "."+Domain); ok {
		if top := below[strings.LastIndexByte(below, '.')+1:]; reserved[top] { // a cloud's metadata server
			return fmt.Errorf("%s.%s is in use by other software", top, Domain)
		}
	}
	if err := validName(s); err != nil {
		return err
	}
	return private(s)
}

// private reports why s is not one party's own: strangers have names below a
// public suffix, and those would be answered here too.
func private(s string) error {
	switch last := s[strings.LastIndexByte(s, '.')+1:]; last {
	case "localhost", "invalid", "onion": // RFC 6761, RFC 7686: no resolver's business
		return fmt.Errorf("names below %s have a meaning of their own", last)
	}
	if s == "home.arpa" { // listed, but for everybody's own use (RFC 8375)
		return nil
	}
	suffix, icann := publicsuffix.PublicSuffix(s)
	if suffix == s && (icann || strings.Contains(s, ".")) { // one label that no rule lists is a private top level
		return fmt.Errorf("%s is a public suffix: strangers have names below it", s)
	}
	return nil
}
