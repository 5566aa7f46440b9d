package stub

import (
	"context"
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"
)

// TestGuarded: who is to learn nothing of the networks here gets the internet's
// names alone.
func TestGuarded(t *testing.T) {
	records := map[string]string{
		"www.example.com.": "www.example.com. 60 IN A 198.51.100.7", "six.example.com.": "six.example.com. 60 IN AAAA 2001:db8::7",
		"text.example.com.": `text.example.com. 60 IN TXT "hello"`, "nas.example.com.": "nas.example.com. 60 IN A 10.1.2.3",
		"mapped.example.com.": "mapped.example.com. 60 IN AAAA ::ffff:10.1.2.3", "hint.example.com.": "hint.example.com. 60 IN HTTPS 1 . ipv4hint=10.1.2.3",
		"printer.lan.": "printer.lan. 60 IN A 198.51.100.7", "7.100.51.198.in-addr.arpa.": "7.100.51.198.in-addr.arpa. 60 IN PTR www.example.com.",
	}
	asked := 0
	g := guarded{public: func(a netip.Addr) bool { return !a.IsPrivate() }, Forwarder: forwardFunc(func(_ context.Context, b []byte) ([]byte, error) {
		asked++
		var q mdns.Msg
		if err := q.Unpack(b); err != nil {
			return nil, err
		}
		m := new(mdns.Msg).SetReply(&q)
		text, ok := records[q.Question[0].Name]
		if !ok {
			m.Rcode = mdns.RcodeNameError
			return m.Pack()
		}
		rr, err := mdns.NewRR(text)
		if err != nil {
			return nil, err
		}
		m.Answer = []mdns.RR{rr}
		return m.Pack()
	})}
	const ok, gone, no = mdns.RcodeSuccess, mdns.RcodeNameError, mdns.RcodeRefused
	tests := []struct {
		name  string
		want  int
		asked bool
	}{
		{"www.example.com.", ok, true}, {"six.example.com.", ok, true}, {"text.example.com.", ok, true}, {"none.example.com.", gone, true},
		{"7.100.51.198.in-addr.arpa.", ok, true}, {".", gone, true},
		{"nas.example.com.", no, true}, {"mapped.example.com.", no, true}, {"hint.example.com.", no, true},
		{"printer.lan.", no, false}, {"PRINTER.LAN.", no, false}, {"nas.", no, false}, {"desk.home.internal.", no, false}, {"x.local.", no, false},
		{"1.1.168.192.in-addr.arpa.", no, false}, {"1.0.20.172.in-addr.arpa.", no, false}, {"1.0.32.172.in-addr.arpa.", gone, true},
		{"1.0.80.100.in-addr.arpa.", no, false}, {"1.0.128.100.in-addr.arpa.", gone, true}, {"1.2.0.1.d.f.ip6.arpa.", no, false}, {"8.b.d.0.1.0.0.2.ip6.arpa.", gone, true},
	}
	for _, tt := range tests {
		asked = 0
		q := new(mdns.Msg).SetQuestion(tt.name, mdns.TypeANY)
		b, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		out, err := g.Forward(t.Context(), b)
		var m mdns.Msg
		if err == nil {
			err = m.Unpack(out)
		}
		if err != nil || m.Rcode != tt.want || m.Id != q.Id || (asked > 0) != tt.asked || tt.want == no && len(m.Answer) > 0 {
			t.Errorf("%s: %v, %v, asked %d times", tt.name, &m, err, asked)
		}
	}
	if _, err := g.Forward(t.Context(), []byte{1, 2, 3}); err == nil {
		t.Error("what is no message is handed on")
	}
}
