package filter

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	p := parsed(t, `
	// who may do what
	{
		"allow": [
			{"from": ["laptop", "tag:server"], "to": ["*"], "ports": ["443/tcp", "1000-2000/udp"]},
			{"from": ["share:abcdefgh", "guests"], "to": ["192.168.7.0/24", "internet", "10.1.2.3"],}, /* trailing */
		],
		"approve": {"exits": ["tag:server"], "routes": {"10.0.0.0/8": ["nas"]}},
		"tests": [{"from": "laptop", "to": "nas", "allow": ["443/tcp"], "deny": ["22/tcp"]}],
	}`)
	var got []string
	for _, r := range p.Allow {
		got = append(got, fmt.Sprint(r.From, r.To, r.Ports.Strings()))
	}
	want := []string{
		"[laptop tag:server] [*] [443/tcp 1000-2000/udp]",
		"[share:abcdefgh guests] [192.168.7.0/24 internet 10.1.2.3] [all]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	w := world()
	if !p.ApprovesExit(w.Devices[0]) || p.ApprovesExit(w.Devices[1]) {
		t.Error("exits")
	}
	if !p.ApprovesRoute(w.Devices[2], pre("10.3.0.0/16")) || p.ApprovesRoute(w.Devices[2], pre("0.0.0.0/0")) || p.ApprovesRoute(w.Devices[1], pre("10.3.0.0/16")) {
		t.Error("routes")
	}
	if Default().ApprovesExit(w.Devices[0]) {
		t.Error("the default approves")
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{`, "malformed: line 1, column 2: parsing value: unexpected EOF"},
		{"{\n  \"allow\": [],\n  \"deny\": []\n}", `malformed: line 3, column 3: a policy has no field "deny"`},
		{`[]`, "malformed: line 1, column 1: a policy is an object: {…}"},
		{`{"allow": 1}`, "malformed: line 1, column 11: allow is a list: […]"},
		{`{"allow": [{"from": ["*"]}]}`, `malformed: line 1, column 12: a rule needs "to"`},
		{`{"allow": [{"from": ["*"], "to": ["*"], "prts": []}]}`, `malformed: line 1, column 41: a rule has no field "prts"`},
		{`{"allow": [], "allow": []}`, `malformed: line 1, column 15: "allow" comes twice`},
		{`{"allow": [{"from": ["*"], "to": ["*"], "ports": ["0/tcp", "9-8/tcp", "80", 80]}]}`,
			`malformed: line 1, column 51: "0/tcp" is no port: write "443/tcp", "1000-2000/udp", "icmp" or "all"
malformed: line 1, column 60: "9-8/tcp" is no port: write "443/tcp", "1000-2000/udp", "icmp" or "all"
malformed: line 1, column 71: "80" is no port: write "443/tcp", "1000-2000/udp", "icmp" or "all"
malformed: line 1, column 77: a port is a string`},
		{`{"allow": [{"from": ["internet"], "to": ["*"]}]}`, "malformed: line 1, column 22: nothing comes from the internet by itself: answers always pass"},
		{`{"allow": [{"from": ["10.1.2.3/8"], "to": ["*"]}]}`, `malformed: line 1, column 22: "10.1.2.3/8" has bits behind its length: write "10.0.0.0/8"`},
		{`{"allow": [{"from": ["Nas!"], "to": ["*"]}]}`, `malformed: line 1, column 22: "Nas!" names nothing: write a device, "tag:NAME", "share:ID", "guests", an address range, "internet" or "*"`},
		{`{"approve": {"exits": ["guests"]}}`, `malformed: line 1, column 24: "guests" cannot offer anything: name devices or tags`},
		{`{"approve": {"routes": {"x": ["nas"]}}}`, `malformed: line 1, column 25: "x" is no address range`},
		{`{"tests": [{"from": "nas"}]}`, `malformed: line 1, column 12: a test needs "from", "to" and "allow" or "deny"`},
		{strings.Repeat("[", 100), "malformed: the policy is nested too deeply"},
		{strings.Repeat(" ", textMost) + "{}", fmt.Sprintf("malformed: the policy has %d bytes, more than %d", textMost+2, textMost)},
	} {
		p, faults := Parse([]byte(c.text))
		if got := texts(faults); got != c.want || p != nil {
			t.Errorf("%.60s:\n%s\nwant\n%s", c.text, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	w := world()
	w.Shares = []string{"abcdefghijkl"}
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{`{"allow": [{"from": ["tag:server", "share:abcdefghi"], "to": ["nas"]}]}`, ""},
		{`{"allow": [{"from": ["tag:sever"], "to": ["naz"]}, {"from": ["share:zzzzzzzzz"], "to": ["*"]}]}`,
			"unknown-tag: line 1, column 22: no device has the tag \"sever\"\nunknown-device: line 1, column 43: there is no device \"naz\"\nunknown-share: line 1, column 62: there is no share \"zzzzzzzzz\""},
		{`{"approve": {"exits": ["tag:exit"]}}`, `unknown-tag: line 1, column 24: no device has the tag "exit"`},
		{`{"allow": []}`, "locks-out: no owner or admin could open a connection to any other device"},
		{`{"allow": [{"from": ["*"], "to": ["*"], "ports": ["icmp"]}]}`, "locks-out: no owner or admin could open a connection to any other device"},
		{`{"allow": [{"from": ["nas"], "to": ["*"]}, {"from": ["self"], "to": ["self"]}]}`, "locks-out: no owner or admin could open a connection to any other device"},
		{`{"allow": [{"from": ["self"], "to": ["nas"], "ports": ["22/tcp"]}]}`, ""},
		{`{"allow": [{"from": ["*"], "to": ["nas"], "ports": ["22/tcp"]}], "tests": [{"from": "laptop", "to": "nas", "allow": ["22/tcp"], "deny": ["23/tcp", "icmp"]}]}`, ""},
		{`{"allow": [{"from": ["*"], "to": ["nas"], "ports": ["22/tcp"]}], "tests": [{"from": "laptop", "to": "tag:server", "allow": ["22/tcp"]}]}`,
			"test-failed: line 1, column 76: laptop must reach self on 22/tcp and does not"},
		{`{"tests": [{"from": "guests", "to": "nas", "deny": ["1-1000/tcp"]}]}`, "test-failed: line 1, column 12: guests must not reach nas on 1-1000/tcp and does"},
		{`{"tests": [{"from": "laptop", "to": "internet", "deny": ["25/tcp"]}]}`, "test-failed: line 1, column 12: laptop must not reach internet on 25/tcp and does"},
		{`{"tests": [{"from": "laptop", "to": "nas", "allow": ["22/tcp"], "deny": ["22/tcp"]}]}`, "test-failed: line 1, column 12: laptop must not reach nas on 22/tcp and does"},
	} {
		if got := texts(Check(parsed(t, c.text), w)); got != c.want {
			t.Errorf("%.90s:\n%s\nwant\n%s", c.text, got, c.want)
		}
	}
}

func lines(cs []Change) []string {
	var out []string
	for _, c := range cs {
		out = append(out, fmt.Sprintf("%s -> %s %s", c.From, c.To, strings.Join(c.Ports.Strings(), " ")))
	}
	return out
}

func TestCompare(t *testing.T) {
	w := world()
	ports, _ := ParsePorts([]string{"80/tcp"})
	w.Guests = []Guest{{Addrs: []netip.Addr{guest6, guest4}, Label: "friend", Share: "abcdefghijkl", Ports: ports, In: true, To: []string{"nas"}}}
	next := parsed(t, `{"allow": [{"from": ["laptop"], "to": ["*"]}, {"from": ["self"], "to": ["laptop"], "ports": ["1-1023/tcp"]}]}`)
	c := Compare(Default(), next, w)
	want := []string{
		"self -> laptop 1024-65535/tcp 1-65535/udp icmp other",
		"self -> nas all", "self -> internet all",
		"nas -> self all", "nas -> laptop all", "nas -> internet all",
		"friend -> nas 80/tcp icmp",
	}
	if d := cmp.Diff(want, lines(c.Loses)); d != "" || len(c.Gains) != 0 {
		t.Error(d, lines(c.Gains))
	}
	if d := cmp.Diff(want, lines(Compare(next, Default(), w).Gains)); d != "" {
		t.Error(d)
	}
	if c := compare(Default(), next, w, 3); !c.Partial || len(c.Loses) > 3 {
		t.Errorf("three pairs compared: partial %v, %d listed", c.Partial, len(c.Loses))
	}
	if c.Partial {
		t.Error("all were compared, and it says otherwise")
	}
	from, to := Reach(next, w, "laptop")
	if d := cmp.Diff([]string{"self -> laptop 1-1023/tcp"}, lines(from)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"laptop -> self all", "laptop -> nas all", "laptop -> internet all"}, lines(to)); d != "" {
		t.Error(d)
	}
}

// TestManyMembers: 5,000 devices, each with a rule of its own in one policy.
func TestManyMembers(t *testing.T) {
	w, p := crowd(5000, 1000)
	c := Compare(Default(), p, w)
	if len(c.Loses) != changesMost || c.MoreLoses < 5000*4000 {
		t.Errorf("%d listed, %d more", len(c.Loses), c.MoreLoses)
	}
	if f := Check(p, w); len(f) != 0 {
		t.Error(texts(f))
	}
}

func TestPorts(t *testing.T) {
	set := func(s string) Ports {
		p, err := ParsePorts(strings.Fields(s))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct{ a, b, both, less, union string }{
		{"1-10/tcp", "5-20/tcp", "5-10/tcp", "1-4/tcp", "1-20/tcp"},
		{"1-10/tcp", "11-20/tcp", "", "1-10/tcp", "1-20/tcp"},
		{"all", "80/tcp", "80/tcp", "1-79/tcp 81-65535/tcp 1-65535/udp icmp other", "all"},
		{"65535/udp", "65535/udp", "65535/udp", "", "65535/udp"},
		{"", "icmp", "", "", "icmp"},
	} {
		a, b := set(c.a), set(c.b)
		got := []string{strings.Join(a.Both(b).Strings(), " "), strings.Join(a.Less(b).Strings(), " "), strings.Join(a.union(b).Strings(), " ")}
		if d := cmp.Diff([]string{c.both, c.less, c.union}, got); d != "" {
			t.Errorf("%q, %q: %s", c.a, c.b, d)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{
		"", "{}", narrow, `{"allow": [{"from": ["*"], "to": ["internet", "10.0.0.0/8"], "ports": ["all"]}]} // x`,
		`{"approve": {"exits": ["tag:a"], "routes": {"fd00::/8": ["nas"]}}, "tests": [{"from": "nas", "to": "10.1.1.1", "deny": ["icmp"]}]}`,
		"[[[[[[[[[[", `{"allow": [{"from": ["\ud800"], "to": []}]}`, `{"a":"\"[[[[[[[[[`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, faults := Parse(text)
		if (p == nil) != (len(faults) > 0) || len(faults) > faultsMost {
			t.Fatalf("a policy %v and %d faults", p != nil, len(faults))
		}
		if p == nil {
			return
		}
		w := world()
		Check(p, w)
		Compare(Default(), p, w)
		Compile(p, w, false)
	})
}
