package main

import (
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestSTUNFlag: what is no server is refused with the value and an example.
func TestSTUNFlag(t *testing.T) {
	tests := []struct {
		args []string
		why  string // "": accepted
	}{
		{nil, ""},
		{[]string{"192.0.2.1:3478", "[2001:db8::1]:3478", "stun.example.net:3478"}, ""},
		{[]string{"192.0.2.1"}, "not a host and a port"},
		{[]string{"2001:db8::1:3478"}, "not a host and a port"},
		{[]string{"stun:stun.example.net:3478"}, "not a host and a port"},
		{[]string{":3478"}, "not a host's name"},
		{[]string{"no such host:3478"}, "not a host's name"},
		{[]string{"192.0.2.1:0"}, "between 1 and 65535"},
		{[]string{"192.0.2.1:70000"}, "between 1 and 65535"},
		{[]string{"192.0.2.1:stun"}, "between 1 and 65535"},
		{[]string{"0.0.0.0:3478"}, "no server has that address"},
		{[]string{"224.0.0.1:3478"}, "no server has that address"},
		{slices.Repeat([]string{"192.0.2.1:3478"}, 9), "at most 8"},
	}
	for _, tt := range tests {
		var c cli
		p, err := kong.New(&c, kong.Vars{"stateDir": t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		line := []string{"run"}
		for _, a := range tt.args {
			line = append(line, "--stun", a)
		}
		_, err = p.Parse(line)
		switch {
		case tt.why == "" && (err != nil || !slices.Equal(c.Run.STUN, tt.args)):
			t.Errorf("%q: %v, got %q", tt.args, err, c.Run.STUN)
		case tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why) || !strings.Contains(err.Error(), "--stun")):
			t.Errorf("%q: %v, want %q", tt.args, err, tt.why)
		}
	}
}

func TestServers(t *testing.T) {
	c := runCmd{STUN: []string{"192.0.2.1:3478", "[::ffff:192.0.2.2]:3478", "[2001:db8::1]:3479"}}
	got, err := c.servers(t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	want := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:3478"), netip.MustParseAddrPort("192.0.2.2:3478"), netip.MustParseAddrPort("[2001:db8::1]:3479"),
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}
