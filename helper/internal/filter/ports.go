package filter

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Protocols (IANA).
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
)

// span is a range of ports, both ends in it.
type span struct{ first, last uint16 }

// Ports is a set of what may be opened. The zero value is nothing. It is
// immutable.
type Ports struct {
	tcp, udp []span // ascending, apart from one another
	icmp     bool   // ICMP and ICMPv6
	other    bool   // every other protocol
}

var (
	every    = []span{{0, 1<<16 - 1}}
	AllPorts = Ports{tcp: every, udp: every, icmp: true, other: true}
)

// portsMost is how many ranges one list may have.
const portsMost = 256

// ParsePorts reads "443/tcp", "1000-2000/udp", "icmp" and "all".
func ParsePorts(list []string) (Ports, error) {
	var p Ports
	if len(list) > portsMost {
		return p, fmt.Errorf("more than %d ports", portsMost)
	}
	for _, s := range list {
		one, err := parsePort(s)
		if err != nil {
			return Ports{}, err
		}
		p = p.union(one)
	}
	return p, nil
}

func parsePort(s string) (Ports, error) {
	switch s {
	case "all":
		return AllPorts, nil
	case "icmp":
		return Ports{icmp: true}, nil
	}
	bad := fmt.Errorf(`%.40q is no port: write "443/tcp", "1000-2000/udp", "icmp" or "all"`, s)
	r, proto, ok := strings.Cut(s, "/")
	lo, hi, two := strings.Cut(r, "-")
	first, ok1 := port(lo)
	last := first
	ok2 := true
	if two {
		last, ok2 = port(hi)
	}
	if !ok || !ok1 || !ok2 || first > last {
		return Ports{}, bad
	}
	switch proto {
	case "tcp":
		return PortRange(TCP, first, last), nil
	case "udp":
		return PortRange(UDP, first, last), nil
	}
	return Ports{}, bad
}

func port(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0 && s[0] != '+' && s[0] != '0'
}

// PortRange is ports of TCP or UDP.
func PortRange(proto uint8, first, last uint16) Ports {
	s := []span{{first, last}}
	if proto == TCP {
		return Ports{tcp: s}
	}
	return Ports{udp: s}
}

// Echo is ICMP alone.
var Echo = Ports{icmp: true}

// Union is what either opens.
func Union(ps ...Ports) (sum Ports) {
	for _, p := range ps {
		sum = sum.union(p)
	}
	return sum
}

func (p Ports) union(o Ports) Ports {
	return Ports{merge(p.tcp, o.tcp), merge(p.udp, o.udp), p.icmp || o.icmp, p.other || o.other}
}

func merge(a, b []span) []span {
	if len(a) == 0 {
		return b
	} else if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y span) int { return cmp.Compare(x.first, y.first) })
	out := all[:1]
	for _, s := range all[1:] {
		if l := &out[len(out)-1]; int(s.first) <= int(l.last)+1 {
			l.last = max(l.last, s.last)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// Both is what p and o open, each.
func (p Ports) Both(o Ports) Ports {
	return Ports{common(p.tcp, o.tcp), common(p.udp, o.udp), p.icmp && o.icmp, p.other && o.other}
}

func common(a, b []span) (out []span) {
	for len(a) > 0 && len(b) > 0 {
		if lo, hi := max(a[0].first, b[0].first), min(a[0].last, b[0].last); lo <= hi {
			out = append(out, span{lo, hi})
		}
		if a[0].last < b[0].last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// Less is what p opens and o does not.
func (p Ports) Less(o Ports) Ports {
	return Ports{common(p.tcp, invert(o.tcp)), common(p.udp, invert(o.udp)), p.icmp && !o.icmp, p.other && !o.other}
}

func invert(a []span) (out []span) {
	next := 0
	for _, s := range a {
		if int(s.first) > next {
			out = append(out, span{uint16(next), s.first - 1})
		}
		next = int(s.last) + 1
	}
	if next < 1<<16 {
		out = append(out, span{uint16(next), 1<<16 - 1})
	}
	return out
}

// Empty tells whether nothing is open.
func (p Ports) Empty() bool { return len(p.tcp) == 0 && len(p.udp) == 0 && !p.icmp && !p.other }

// Strings is the set in ParsePorts' words; of the other protocols, which only
// "all" opens, "other".
func (p Ports) Strings() []string {
	if p.icmp && p.other && slices.Equal(p.tcp, every) && slices.Equal(p.udp, every) {
		return []string{"all"}
	}
	out := []string{}
	for _, l := range []struct {
		spans []span
		proto string
	}{{p.tcp, "/tcp"}, {p.udp, "/udp"}} {
		for _, s := range l.spans {
			t := strconv.Itoa(int(max(s.first, 1)))
			if s.last > max(s.first, 1) {
				t += "-" + strconv.Itoa(int(s.last))
			}
			if s.last != 0 {
				out = append(out, t+l.proto)
			}
		}
	}
	if p.icmp {
		out = append(out, "icmp")
	}
	if p.other {
		out = append(out, "other")
	}
	return out
}

// opens is on the packet path.
func (p *Ports) opens(proto uint8, port uint16) bool {
	switch proto {
	case TCP:
		return contains(p.tcp, port)
	case UDP:
		return contains(p.udp, port)
	case ICMP, ICMPv6:
		return p.icmp
	}
	return p.other
}

func contains(s []span, port uint16) bool {
	lo, hi := 0, len(s)
	for lo < hi {
		if m := (lo + hi) / 2; s[m].last < port {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo < len(s) && s[lo].first <= port
}
