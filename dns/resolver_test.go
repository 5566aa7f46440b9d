package dns

import (
	"strings"
	"testing"
)

func TestResolver(t *testing.T) {
	for in, want := range map[string]string{ // "": refused
		"10.0.0.53":                                   "10.0.0.53",
		"10.0.0.53:53":                                "10.0.0.53",
		"10.0.0.53:5353":                              "10.0.0.53:5353",
		"2001:db8::1":                                 "2001:db8::1",
		"[2001:db8::1]:5353":                          "[2001:db8::1]:5353",
		"tls://dns.example@192.0.2.1":                 "tls://dns.example@192.0.2.1",
		"tls://dns.example@192.0.2.1:853":             "tls://dns.example@192.0.2.1",
		"tls://dns.example@[2001:db8::1]":             "tls://dns.example@[2001:db8::1]",
		"tls://dns.example@[2001:db8::1]:8853":        "tls://dns.example@[2001:db8::1]:8853",
		"https://dns.example@192.0.2.1/dns-query":     "https://dns.example@192.0.2.1/dns-query",
		"https://dns.example@192.0.2.1:8443/a/b_c~.-": "https://dns.example@192.0.2.1:8443/a/b_c~.-",
		"https://dns.example@[2001:db8::1]/dns-query": "https://dns.example@[2001:db8::1]/dns-query",
		"https://dns.example@192.0.2.1/":              "https://dns.example@192.0.2.1/",
		"":                                            "",
		"dns.example":                                 "",
		"192.0.2.1:0":                                 "",
		"0.0.0.0":                                     "",
		"224.0.0.1":                                   "",
		"fe80::1%eth0":                                "",
		"::ffff:192.0.2.1":                            "",
		"tls://192.0.2.1":                             "",
		"tls://@192.0.2.1":                            "",
		"tls://dns.example@":                          "",
		"tls://dns.example@dns.example":               "",
		"tls://dns.example.@192.0.2.1":                "",
		"tls://dns_\x00@192.0.2.1":                    "",
		"https://dns.example@192.0.2.1":               "",
		"https://dns.example@192.0.2.1/a?b":           "",
		"https://dns.example@192.0.2.1/a b":           "",
		"https://dns.example@192.0.2.1/%2e":           "",
		"https://dns.example@192.0.2.1/" + strings.Repeat("a", maxPath+1): "",
		"http://dns.example@192.0.2.1/dns-query":                          "",
		"quic://dns.example@192.0.2.1":                                    "",
	} {
		r, err := ParseResolver(in)
		if got := r.String(); err == nil && got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

// FuzzResolver: what is read is written in one form, which reads the same.
func FuzzResolver(f *testing.F) {
	for _, s := range []string{"10.0.0.53", "[2001:db8::1]:5353", "tls://a.example@192.0.2.1", "https://a.example@[2001:db8::1]:8443/dns-query"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseResolver(s)
		if err != nil {
			return
		}
		again, err := ParseResolver(r.String())
		if err != nil || again != r {
			t.Errorf("%q became %q, which is %v, %v", s, r, again, err)
		}
	})
}
