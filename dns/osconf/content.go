package osconf

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kith.internal/dns"
	"kith.internal/dns/plan"
)

// marker begins a file that is ours.
const marker = "# Written by kith"

func isOurs(data []byte) bool { return bytes.HasPrefix(data, []byte(marker)) }

// resolvConf is what resolv.conf(5) says.
type resolvConf struct {
	nameservers []netip.Addr
	search      []string
	options     []string
	rest        []string // sortlist lines, kept as they are
}

// parseResolvConf reads as glibc does: keywords at the start of a line, the
// last search or domain line counts, what is malformed is passed over.
func parseResolvConf(data []byte) resolvConf {
	var c resolvConf
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		word, args, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
		fields := strings.Fields(args)
		switch word {
		case "nameserver":
			if len(fields) > 0 {
				c.addNameserver(fields[0])
			}
		case "domain":
			if len(fields) > 0 {
				c.search = validSearch(fields[:1])
			}
		case "search":
			c.search = validSearch(fields)
		case "options":
			c.options = append(c.options, slices.DeleteFunc(fields, unprintable)...)
		case "sortlist":
			if !unprintable(line) {
				c.rest = append(c.rest, line)
			}
		}
	}
	return c
}

func (c *resolvConf) addNameserver(s string) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return
	}
	switch a = a.Unmap(); {
	case a == netip.IPv4Unspecified():
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1}) // as resolvers read it
	case a == netip.IPv6Unspecified():
		a = netip.IPv6Loopback()
	}
	if !slices.Contains(c.nameservers, a) {
		c.nameservers = append(c.nameservers, a)
	}
}

func validSearch(fields []string) []string {
	return slices.DeleteFunc(slices.Clone(fields), func(s string) bool { return s != "." && dns.ValidDomain(s) != nil })
}

func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

// base is what the configuration means to a program of this host: without a
// nameserver the one on loopback, without search domains the host's own.
func (c resolvConf) base(hostname string, not []netip.Addr) Base {
	b := Base{Search: c.search, Options: c.options}
	for _, a := range c.nameservers {
		if !slices.Contains(not, a.WithZone("")) {
			b.Nameservers = append(b.Nameservers, netip.AddrPortFrom(a, 53))
		}
	}
	if len(c.nameservers) == 0 {
		b.Nameservers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	if _, domain, ok := strings.Cut(hostname, "."); ok && len(b.Search) == 0 && dns.ValidDomain(domain) == nil {
		b.Search = []string{domain}
	}
	return b
}

// render is our file: what the plan wants, and of the base what it leaves.
// byHand are the commands that put the former file back.
func render(want plan.OSConfig, base resolvConf, byHand []string) []byte {
	var b bytes.Buffer
	b.WriteString(marker + " (kithd): it answers for the names of your networks and passes the rest on.\n")
	b.WriteString("# kithd puts the former file back when it stops. If it cannot, either of these does:\n")
	for _, cmd := range byHand {
		fmt.Fprintf(&b, "#   %s\n", cmd)
	}
	for _, a := range want.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	if len(want.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(want.Search, " "))
	}
	if len(base.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(base.options, " "))
	}
	for _, line := range base.rest {
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}

// strip is a file of ours whose former one is lost, without what it says of us.
func strip(data []byte) []byte {
	c := parseResolvConf(data)
	c.search = slices.DeleteFunc(c.search, func(s string) bool { return strings.HasSuffix(s, "."+dns.Domain) })
	var b bytes.Buffer
	if len(c.search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(c.search, " "))
	}
	if len(c.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(c.options, " "))
	}
	for _, line := range c.rest {
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}

// writer names the program that a file says it was written by, else "".
func writer(data []byte) string {
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			continue
		}
		for _, o := range owners {
			for _, h := range o.headers {
				if strings.Contains(line, h) {
					return o.name
				}
			}
		}
	}
	return ""
}
