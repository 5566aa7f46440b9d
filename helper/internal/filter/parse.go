package filter

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// Fault is one thing wrong with a policy.
type Fault struct {
	Line, Column int // from 1; 0 where it is about the whole
	Code         string
	Text         string
}

// What can be wrong.
const (
	Malformed     = "malformed"
	UnknownDevice = "unknown-device"
	UnknownTag    = "unknown-tag"
	UnknownShare  = "unknown-share"
	TestFailed    = "test-failed"
	LocksOut      = "locks-out"
)

// Bounds of a policy.
const (
	textMost   = 60 << 10
	rulesMost  = 2000
	namesMost  = 500 // in one list
	testsMost  = 1000
	faultsMost = 20
	nestMost   = 8
)

func (f Fault) Error() string {
	if f.Line == 0 {
		return f.Text
	}
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Text)
}

// Parse reads a policy: JSON with comments and trailing commas. Fields that it
// does not know are faults. No text is the default.
func Parse(text []byte) (*Policy, []Fault) {
	if len(bytes.TrimSpace(text)) == 0 {
		return Default(), nil
	}
	r := &reader{text: text}
	if len(text) > textMost {
		return nil, []Fault{{Code: Malformed, Text: fmt.Sprintf("the policy has %d bytes, more than %d", len(text), textMost)}}
	}
	if deep(text) {
		return nil, []Fault{{Code: Malformed, Text: "the policy is nested too deeply"}}
	}
	v, err := hujson.Parse(text)
	if err != nil {
		return nil, []Fault{syntax(err)}
	}
	p := r.policy(&v)
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return p, nil
}

// deep looks at brackets alone, those in strings and comments too: the parser
// recurses before it can be asked.
func deep(text []byte) bool {
	n := 0
	inString, esc := false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case esc:
			esc = false
		case inString:
			if esc = c == '\\'; c == '"' || c == '\n' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '/' && i+1 < len(text) && text[i+1] == '/':
			if j := bytes.IndexByte(text[i:], '\n'); j >= 0 {
				i += j
			} else {
				return false
			}
		case c == '/' && i+1 < len(text) && text[i+1] == '*':
			if j := bytes.Index(text[i+2:], []byte("*/")); j >= 0 {
				i += j + 3
			} else {
				return false
			}
		case c == '{' || c == '[':
			if n++; n > nestMost {
				return true
			}
		case c == '}' || c == ']':
			n--
		}
	}
	return false
}

var position = regexp.MustCompile(`^hujson: line (\d+), column (\d+): (.*)$`)

func syntax(err error) Fault {
	m := position.FindStringSubmatch(err.Error())
	if m == nil {
		return Fault{Code: Malformed, Text: err.Error()}
	}
	line, _ := strconv.Atoi(m[1])
	col, _ := strconv.Atoi(m[2])
	return Fault{line, col, Malformed, m[3]}
}

// reader makes a policy of parsed JSON and gathers faults.
type reader struct {
	text   []byte
	faults []Fault
}

func (r *reader) at(v *hujson.Value) (line, col int) {
	before := r.text[:v.StartOffset]
	return 1 + bytes.Count(before, []byte("\n")), v.StartOffset - bytes.LastIndexByte(before, '\n')
}

func (r *reader) fault(v *hujson.Value, format string, args ...any) {
	if len(r.faults) < faultsMost {
		line, col := r.at(v)
		r.faults = append(r.faults, Fault{line, col, Malformed, fmt.Sprintf(format, args...)})
	}
}

// object reads an object's fields by name.
func (r *reader) object(v *hujson.Value, what string, fields map[string]func(*hujson.Value)) map[string]bool {
	seen := map[string]bool{}
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		r.fault(v, "%s is an object: {…}", what)
		return nil
	}
	for i := range o.Members {
		m := &o.Members[i]
		name := m.Name.Value.(hujson.Literal).String()
		read := fields[name]
		switch {
		case read == nil:
			r.fault(&m.Name, "%s has no field %.40q", what, name)
		case seen[name]:
			r.fault(&m.Name, "%q comes twice", name)
		default:
			seen[name] = true
			read(&m.Value)
		}
	}
	return seen
}

func (r *reader) array(v *hujson.Value, what string, most int, each func(*hujson.Value)) {
	a, ok := v.Value.(*hujson.Array)
	if !ok {
		r.fault(v, "%s is a list: […]", what)
		return
	}
	if len(a.Elements) > most {
		r.fault(v, "%s has more than %d entries", what, most)
		return
	}
	for i := range a.Elements {
		each(&a.Elements[i])
	}
}

func (r *reader) str(v *hujson.Value, what string) (string, bool) {
	l, ok := v.Value.(hujson.Literal)
	if !ok || l.Kind() != '"' {
		r.fault(v, "%s is a string", what)
		return "", false
	}
	return l.String(), true
}

func (r *reader) policy(v *hujson.Value) *Policy {
	p := &Policy{}
	seen := r.object(v, "a policy", map[string]func(*hujson.Value){
		"allow": func(v *hujson.Value) {
			r.array(v, "allow", rulesMost, func(v *hujson.Value) { p.Allow = append(p.Allow, r.rule(v)) })
		},
		"approve": func(v *hujson.Value) { r.approve(v, p) },
		"tests": func(v *hujson.Value) {
			r.array(v, "tests", testsMost, func(v *hujson.Value) { p.Tests = append(p.Tests, r.test(v)) })
		},
	})
	if !seen["allow"] {
		p.Allow = Default().Allow
	}
	return p
}

func (r *reader) rule(v *hujson.Value) (rule Rule) {
	rule.Ports = AllPorts
	seen := r.object(v, "a rule", map[string]func(*hujson.Value){
		"from":  func(v *hujson.Value) { rule.From = r.selectors(v, "from", true) },
		"to":    func(v *hujson.Value) { rule.To = r.selectors(v, "to", false) },
		"ports": func(v *hujson.Value) { rule.Ports = r.ports(v) },
	})
	for _, f := range []string{"from", "to"} {
		if seen != nil && !seen[f] {
			r.fault(v, "a rule needs %q", f)
		}
	}
	return rule
}

func (r *reader) ports(v *hujson.Value) (sum Ports) {
	r.array(v, "ports", portsMost, func(v *hujson.Value) {
		if p, ok := r.port(v); ok {
			sum = sum.union(p.Ports)
		}
	})
	return sum
}

func (r *reader) port(v *hujson.Value) (Port, bool) {
	s, ok := r.str(v, "a port")
	if !ok {
		return Port{}, false
	}
	p, err := parsePort(s)
	if err != nil {
		r.fault(v, "%v", err)
	}
	return Port{s, p}, err == nil
}

func (r *reader) selectors(v *hujson.Value, what string, from bool) (out []Selector) {
	r.array(v, what, namesMost, func(v *hujson.Value) {
		if s, ok := r.selector(v, from); ok {
			out = append(out, s)
		}
	})
	return out
}

func (r *reader) selector(v *hujson.Value, from bool) (Selector, bool) {
	text, ok := r.str(v, "a name")
	if !ok {
		return Selector{}, false
	}
	s, err := ParseSelector(text)
	if err == nil && from && s.Kind == SelectInternet {
		err = fmt.Errorf("nothing comes from the internet by itself: answers always pass")
	}
	if err != nil {
		r.fault(v, "%v", err)
		return s, false
	}
	s.line, s.col = r.at(v)
	return s, true
}

// ParseSelector reads one name of a rule.
func ParseSelector(text string) (Selector, error) {
	bad := fmt.Errorf(`%.60q names nothing: write a device, "tag:NAME", "share:ID", "guests", an address range, "internet" or "*"`, text)
	switch text {
	case "*":
		return Selector{Kind: SelectAll}, nil
	case "guests":
		return Selector{Kind: SelectGuests}, nil
	case "internet":
		return Selector{Kind: SelectInternet}, nil
	}
	if kind, name, ok := strings.Cut(text, ":"); ok {
		switch {
		case kind == "tag" && label(name):
			return Selector{Kind: SelectTag, Name: name}, nil
		case kind == "share" && len(name) >= 8 && label(name):
			return Selector{Kind: SelectShare, Name: name}, nil
		}
	}
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err == nil && p != p.Masked() {
			return Selector{}, fmt.Errorf("%q has bits behind its length: write %q", text, p.Masked())
		}
		if err != nil || p.Addr().Is4In6() {
			return Selector{}, bad
		}
		return Selector{Kind: SelectPrefix, Prefix: p}, nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		return Selector{Kind: SelectPrefix, Prefix: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if label(text) {
		return Selector{Kind: SelectDevice, Name: text}, nil
	}
	return Selector{}, bad
}

// label wants one lower-case DNS label (RFC 1123 §2.1).
func label(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func (r *reader) approve(v *hujson.Value, p *Policy) {
	r.object(v, "approve", map[string]func(*hujson.Value){
		"exits": func(v *hujson.Value) { p.Exits = r.who(v, "exits") },
		"routes": func(v *hujson.Value) {
			o, ok := v.Value.(*hujson.Object)
			if !ok {
				r.fault(v, `routes is an object: {"192.168.7.0/24": ["DEVICE"]}`)
				return
			}
			seen := map[netip.Prefix]bool{}
			for i := range o.Members {
				m := &o.Members[i]
				text := m.Name.Value.(hujson.Literal).String()
				pre, err := netip.ParsePrefix(text)
				switch {
				case err != nil || pre != pre.Masked() || pre.Addr().Is4In6():
					r.fault(&m.Name, "%.60q is no address range", text)
				case seen[pre]:
					r.fault(&m.Name, "%q comes twice", text)
				default:
					seen[pre] = true
					p.Routes = append(p.Routes, RouteGrant{pre, r.who(&m.Value, "routes")})
				}
			}
			if len(o.Members) > namesMost {
				r.fault(v, "routes has more than %d entries", namesMost)
			}
		},
	})
}

// who is devices that may offer something: guests and addresses cannot.
func (r *reader) who(v *hujson.Value, what string) (out []Selector) {
	r.array(v, what, namesMost, func(v *hujson.Value) {
		s, ok := r.selector(v, true)
		switch {
		case !ok:
		case s.Kind == SelectDevice || s.Kind == SelectTag || s.Kind == SelectAll:
			out = append(out, s)
		default:
			r.fault(v, "%q cannot offer anything: name devices or tags", s)
		}
	})
	return out
}

func (r *reader) test(v *hujson.Value) (t Test) {
	t.line, t.col = r.at(v)
	one := func(to *Selector, from bool) func(*hujson.Value) {
		return func(v *hujson.Value) {
			s, ok := r.selector(v, from)
			if ok && s.Kind == SelectAll {
				r.fault(v, `a test names whom it is about: "*" is too much`)
			}
			*to = s
		}
	}
	ports := func(to *[]Port) func(*hujson.Value) {
		return func(v *hujson.Value) {
			r.array(v, "a test's ports", portsMost, func(v *hujson.Value) {
				if p, ok := r.port(v); ok {
					*to = append(*to, p)
				}
			})
		}
	}
	seen := r.object(v, "a test", map[string]func(*hujson.Value){
		"from": one(&t.From, true), "to": one(&t.To, false), "allow": ports(&t.Allow), "deny": ports(&t.Deny),
	})
	if seen != nil && (!seen["from"] || !seen["to"] || !seen["allow"] && !seen["deny"]) {
		r.fault(v, `a test needs "from", "to" and "allow" or "deny"`)
	}
	return t
}
