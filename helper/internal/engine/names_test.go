package engine

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/roster"
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

// TestNamesResolve: no device and no network gets a name that would not resolve.
func TestNamesResolve(t *testing.T) {
	for name, want := range map[string]struct{ device, network bool }{
		"nas":       {true, true},
		"localhost": {false, true},
		"wpad":      {false, true},
		"isatap":    {false, true},
		"ab--cd":    {false, false},
		"xn--fa":    {false, false},
		"google":    {true, false},
		"Nas":       {false, false},
		"":          {false, false},
	} {
		if err := validDevice(name); (err == nil) != want.device || err != nil && !errors.Is(err, roster.ErrName) {
			t.Errorf("device %q: %v", name, err)
		}
		if err := validNetwork(name); (err == nil) != want.network || err != nil && !errors.Is(err, roster.ErrName) {
			t.Errorf("network %q: %v", name, err)
		}
	}
}

// calledHost is a host by its name alone.
type calledHost struct {
	Host
	name string
}

func (n calledHost) Name() string { return n.name }

func TestDeviceName(t *testing.T) {
	for host, want := range map[string]string{"Eva's Laptop": "evas-laptop", "localhost.localdomain": "device", "xn--fa": "xn-fa", "": "device"} {
		e := Engine{cfg: Config{Host: calledHost{name: host}}}
		if got, chosen, err := e.deviceName(""); got != want || chosen || err != nil {
			t.Errorf("%q: %q, %v, %v; want %q", host, got, chosen, err, want)
		}
	}
}
