package simnet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

func addRecords(h *Host, name, rtype string, values ...string) (ipc.DNSRecordsAnswer, error) {
	return h.Engine.DNSAdd(h.tb.Context(), server.Caller{}, ipc.DNSRecordsRequest{Name: name, Type: rtype, Values: values})
}

func ask(t *testing.T, h *Host, name, rtype string) ipc.DNSQueryAnswer {
	t.Helper()
	a, err := h.Engine.DNSQuery(t.Context(), server.Caller{}, ipc.DNSQueryRequest{Name: name, Type: rtype})
	if err != nil {
		a.RCode = err.Error()
	}
	return a
}

// TestSimRecords: what is set on one device is answered on the others, follows
// a device through its renaming, and is gone when it is removed.
func TestSimRecords(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		lan := n.LAN("lan")
		a, b, nas := n.Host("a", lan), n.Host("b", lan), n.Host("nas", lan)
		found(t, a, b, nas)
		for _, r := range []struct {
			name, rtype string
			values      []string
		}{
			{"wiki.example.com", "", []string{"nas"}},
			{"*.apps.example.com", "CNAME", []string{"nas"}},
			{"printer", "", []string{"192.0.2.9", "2001:db8::9"}},
			{"example.com", "MX", []string{"10 mail.example.com"}},
			{"corp.example", "NS", []string{"192.0.2.53"}},
		} {
			if _, err := addRecords(a, r.name, r.rtype, r.values...); err != nil {
				t.Fatalf("%s %s: %v", r.name, r.rtype, err)
			}
		}
		self := nas.Network("home").Self
		for _, h := range []*Host{a, b, nas} {
			for name, want := range map[string]string{
				"wiki.example.com":      "wiki.example.com.\t10\tIN\tA\t" + self.IPv4.String(),
				"x.apps.example.com":    "nas.home.internal.\t10\tIN\tA\t" + self.IPv4.String(),
				"printer.home.internal": "printer.home.internal.\t10\tIN\tA\t192.0.2.9",
			} {
				h.Until(5*time.Second, name+" is "+want, func() bool {
					got := ask(t, h, name, "A")
					return got.Authoritative && slices.Contains(got.Records, want)
				})
			}
		}
		if got := ask(t, b, self.IPv4.String(), ""); len(got.Records) != 1 || !strings.HasSuffix(got.Records[0], "nas.home.internal.") {
			t.Errorf("the name of an address: %+v", got)
		}
		agree(t, 5*time.Second, a, b, nas)
		st, err := b.Engine.DNSStatus(t.Context(), server.Caller{}, struct{}{})
		if err != nil || len(st.Split) != 1 || st.Split[0].Suffix != "corp.example" || st.Records != 5 || len(st.Refused) != 0 {
			t.Errorf("status: %+v, %v", st, err)
		}
		if _, err := a.Engine.DeviceRename(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "nas", Name: "store"}); err != nil {
			t.Fatal(err)
		}
		b.Until(5*time.Second, "the new name", func() bool { return ask(t, b, "store.home.internal", "A").RCode == "NOERROR" })
		if got := ask(t, b, "wiki.example.com", "A"); len(got.Records) != 1 {
			t.Errorf("after the renaming: %+v", got)
		}
		if _, err := a.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "store"}); err != nil {
			t.Fatal(err)
		}
		b.Until(5*time.Second, "the removal", func() bool { return ask(t, b, "store.home.internal", "A").RCode == "NXDOMAIN" })
		if got := ask(t, b, "wiki.example.com", "A"); len(got.Records) != 0 || !got.Authoritative || got.RCode != "NOERROR" {
			t.Errorf("of a device that is gone: %+v", got)
		}
		if _, err := a.Engine.DNSRemove(t.Context(), server.Caller{}, ipc.DNSRecordsRequest{Name: "printer"}); err != nil {
			t.Fatal(err)
		}
		b.Until(5*time.Second, "the record's end", func() bool { return ask(t, b, "printer.home.internal", "A").RCode == "NXDOMAIN" })
	})
}

// TestSimRecordsRefused: what would have no effect is not written, and who may
// not write is told so.
func TestSimRecordsRefused(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		lan := n.LAN("lan")
		a, b := n.Host("a", lan), n.Host("b", lan)
		found(t, a, b)
		for name, r := range map[string]ipc.DNSRecordsRequest{
			"a public suffix":     {Name: "co.uk", Values: []string{"192.0.2.1"}},
			"resolvers for .com":  {Name: "com", Type: "NS", Values: []string{"192.0.2.1"}},
			"resolvers for ours":  {Name: "x.home.internal", Type: "NS", Values: []string{"192.0.2.1"}},
			"a device's name":     {Name: "b", Values: []string{"192.0.2.1"}},
			"itself":              {Name: "loop", Type: "CNAME", Values: []string{"loop"}},
			"another's zone":      {Name: "nas.work.internal", Values: []string{"192.0.2.1"}},
			"a line break":        {Name: "text", Type: "TXT", Values: []string{"a\nb"}},
			"no type":             {Name: "text", Type: "SPF", Values: []string{"x"}},
			"no value":            {Name: "text"},
			"not that family":     {Name: "text", Type: "A", Values: []string{"2001:db8::1"}},
			"a name beyond limit": {Name: string(make([]byte, 300)) + ".example", Values: []string{"192.0.2.1"}},
			"IDN":                 {Name: "аpple.example", Values: []string{"192.0.2.1"}},
		} {
			if got, err := a.Engine.DNSAdd(t.Context(), server.Caller{}, r); ipc.CodeOf(err) != ipc.CodeUsage {
				t.Errorf("%s: %v, %v (%s)", name, got, err, ipc.CodeOf(err))
			}
		}
		if _, err := addRecords(a, "text", "", "no-such-device"); ipc.CodeOf(err) != ipc.CodeNotFound {
			t.Errorf("an unknown device: %v", err)
		}
		if _, err := a.Engine.DNSRemove(t.Context(), server.Caller{}, ipc.DNSRecordsRequest{Name: "text"}); ipc.CodeOf(err) != ipc.CodeNotFound {
			t.Errorf("removing nothing: %v", err)
		}
		if _, err := addRecords(b, "wiki", "", "192.0.2.1"); ipc.CodeOf(err) != ipc.CodeNotAdmin {
			t.Errorf("a plain device: %v", err)
		}
		if got, err := a.Engine.DNSList(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil || len(got.Records) != 0 {
			t.Errorf("written: %+v, %v", got, err)
		}
	})
}
