package dns

import (
	"errors"
	"net/netip"
	"strings"
)

// Resolver is where names are asked for: "IP" or "IP:PORT" in clear;
// "tls://NAME@IP" over TLS (RFC 7858) and "https://NAME@IP/PATH" over HTTPS
// (RFC 8484), where NAME is what its certificate has to be for, so that no
// other resolver is needed to find it.
type Resolver struct {
	Addr netip.AddrPort
	Name string // "": in clear
	Path string // with its slash: HTTPS
}

const (
	portPlain = 53
	portTLS   = 853
	portHTTPS = 443
	maxPath   = 128
)

var errResolver = errors.New("not a resolver: it is IP, IP:PORT, tls://NAME@IP or https://NAME@IP/PATH")

// ParseResolver reads a resolver in its one form, which String gives back.
func ParseResolver(s string) (Resolver, error) {
	var r Resolver
	var ok bool
	rest, port := s, uint16(portPlain)
	if after, is := strings.CutPrefix(s, "tls://"); is {
		rest, port = after, portTLS
	} else if after, is := strings.CutPrefix(s, "https://"); is {
		rest, port = after, portHTTPS
		if rest, r.Path, ok = strings.Cut(rest, "/"); !ok || !validPath(r.Path) {
			return r, errResolver
		}
		r.Path = "/" + r.Path
	}
	if port != portPlain {
		if r.Name, rest, ok = strings.Cut(rest, "@"); !ok || ValidDomain(r.Name) != nil || strings.HasSuffix(r.Name, ".") {
			return r, errResolver
		}
	}
	if ap, err := netip.ParseAddrPort(rest); err == nil {
		r.Addr = ap
	} else if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")); err == nil {
		r.Addr = netip.AddrPortFrom(a, port)
	}
	switch a := r.Addr.Addr(); {
	case !a.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || r.Addr.Port() == 0:
		return r, errResolver
	}
	return r, nil
}

// validPath tells whether a path needs no escaping of any kind.
func validPath(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~/", c) {
			return false
		}
	}
	return len(s) <= maxPath
}

// String is the one form; what has a usual port goes without it.
func (r Resolver) String() string {
	usual := uint16(portPlain)
	switch {
	case r.Path != "":
		usual = portHTTPS
	case r.Name != "":
		usual = portTLS
	}
	at := r.Addr.String()
	if r.Addr.Port() == usual {
		if at = r.Addr.Addr().String(); r.Name != "" && r.Addr.Addr().Is6() {
			at = "[" + at + "]"
		}
	}
	switch {
	case r.Path != "":
		return "https://" + r.Name + "@" + at + r.Path
	case r.Name != "":
		return "tls://" + r.Name + "@" + at
	}
	return at
}
