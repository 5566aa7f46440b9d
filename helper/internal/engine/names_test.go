package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRespell(t *testing.T) {
	for name, want := range map[string]string{
		"nas.home.internal":      "nas.home-2.internal",
		"home.internal":          "home-2.internal",
		"*.x.home.internal":      "*.x.home-2.internal",
		"evilhome.internal":      "evilhome.internal",
		"nas.home.internal.com":  "nas.home.internal.com",
		"nas.work.internal":      "nas.work.internal",
		"nas.home.example":       "nas.home.example",
		"home.internal.internal": "home.internal.internal",
	} {
		if got := respell(name, "home", "home-2"); got != want {
			t.Errorf("%s becomes %s, want %s", name, got, want)
		}
	}
}

func TestResolvers(t *testing.T) {
	var got []string
	for _, r := range resolvers([]string{"192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:54", "example.com", "192.0.2.1:x", "tls://dns.example@192.0.2.1", "https://dns.example@192.0.2.1/dns-query"}) {
		got = append(got, r.String())
	}
	want := []string{"192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:54", "tls://dns.example@192.0.2.1", "https://dns.example@192.0.2.1/dns-query"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
