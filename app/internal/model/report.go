package model

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// Report is a text for whoever helps: versions, problems, checks, networks and
// how their devices are reached. It is English, as logs are. Anonymous
// replaces names by numbers and leaves addresses and keys out.
func Report(v View, diag *ipc.Diag, now time.Time, anonymous bool) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("Kith report, %s", now.UTC().Format(time.RFC3339))
	p("app %s, service %s", v.App, cmp.Or(v.Service, "?"))
	en := text.English()
	p("state: %s", en.Say(v.Title))
	p("\nproblems:")
	for _, pr := range v.Problems {
		p("  %s %s: %s", pr.Severity, pr.Code, Say(en, pr, now))
	}
	if len(v.Problems) == 0 {
		p("  none")
	}
	p("\nchecks:")
	if diag == nil {
		p("  not run")
	} else {
		for _, ch := range diag.Checks {
			p("  %s %s: %s %s", verdictMark(ch), ch.Code, text.Clean(ch.Text), text.Clean(ch.Detail))
		}
	}
	for _, n := range v.Nets {
		p("\nnetwork %s: role %s, active %v, relay %v, exit offered %v, shields %v, routes %d", n.Name, n.Role, n.Active, n.Relay.On, n.Exit.Offering, n.Shields, len(n.Routes))
		p("  this device %s %s %s", n.SelfFQDN, n.IPv4, n.IPv6)
		for _, d := range v.Devices {
			if d.Net == n.ID {
				p("  %s", deviceLine(d, now))
			}
		}
	}
	if v.Exit.Using != "" {
		p("\nexit node %s: %s, local network %v", v.Exit.Using, v.Exit.State, v.Exit.AllowLAN)
	}
	out := b.String()
	if anonymous {
		out = anonymise(out, v)
	}
	return out
}

func verdictMark(ch ipc.Check) string {
	switch VerdictOf(ch) {
	case Failed:
		return "FAIL"
	case NotApplicable:
		return "n/a "
	}
	return "ok  "
}

func deviceLine(d Device, now time.Time) string {
	p := d.Peer
	s := fmt.Sprintf("%s: online %v, active %v, path %s", p.FQDN, p.Online, p.Active, p.Path)
	if p.Via != nil {
		s += ", via " + *p.Via
	}
	if p.Why != nil {
		s += ", why " + string(*p.Why)
	}
	if p.LatencyMS != nil {
		s += fmt.Sprintf(", %.1f ms", *p.LatencyMS)
	}
	if p.LastSeen != nil {
		s += ", seen " + now.Sub(*p.LastSeen).Round(time.Second).String() + " ago"
	}
	return text.Clean(s)
}

var (
	reAddr4 = regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}(/\d{1,2})?(:\d{1,5})?\b`)
	// Two colons at least, so that a time of day stays.
	reAddr6 = regexp.MustCompile(`\[?\b[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}(%[\w.-]+)?(/\d{1,3})?\]?(:\d{1,5})?`)
	reKey   = regexp.MustCompile(`\b[a-z0-9:]*[a-z0-9]{32,}\b`)
	reClock = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
)

// anonymise replaces the names of networks, devices and friends by numbers,
// and what looks like an address or a key by a word.
func anonymise(out string, v View) string {
	clock := reClock.FindString(out)
	out = strings.Replace(out, clock, "\x00", 1)
	names := map[string]string{}
	add := func(kind, name string) {
		if _, ok := names[name]; !ok && name != "" {
			names[name] = fmt.Sprintf("%s-%d", kind, len(names)+1)
		}
	}
	for _, n := range v.Nets {
		add("network", n.Name)
		add("device", n.SelfName)
	}
	for _, d := range v.Devices {
		add("device", d.Peer.Name)
		add("network", d.NetName)
		add("friend", d.SharedBy)
	}
	for _, s := range v.Shares {
		add("friend", s.Label)
	}
	order := make([]string, 0, len(names))
	for n := range names {
		order = append(order, n)
	}
	// The longest first: one name can be a part of another.
	slices.SortFunc(order, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	out = replaceWords(out, order, names)
	out = reAddr4.ReplaceAllString(out, "[address]")
	out = reAddr6.ReplaceAllString(out, "[address]")
	out = reKey.ReplaceAllString(out, "[key]")
	return strings.Replace(out, "\x00", clock, 1)
}

// replaceWords replaces names where they stand as whole words.
func replaceWords(s string, order []string, names map[string]string) string {
	inWord := func(c byte) bool {
		return c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	}
	var b strings.Builder
next:
	for i := 0; i < len(s); {
		if i == 0 || !inWord(s[i-1]) {
			for _, n := range order {
				if strings.HasPrefix(s[i:], n) && (i+len(n) == len(s) || !inWord(s[i+len(n)])) {
					b.WriteString(names[n])
					i += len(n)
					continue next
				}
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}
