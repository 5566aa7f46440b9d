package nat64

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestEmbed(t *testing.T) {
	for in, want := range map[string]string{
		"203.0.113.7": "64:ff9b::cb00:7107", "::ffff:203.0.113.7": "64:ff9b::cb00:7107",
		"192.168.1.1": "invalid IP", "10.0.0.1": "invalid IP", "100.64.1.1": "invalid IP", "169.254.1.1": "invalid IP",
		"127.0.0.1": "invalid IP", "224.0.0.1": "invalid IP", "0.0.0.0": "invalid IP", "2001:db8::1": "invalid IP",
	} {
		if got := Embed(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Embed(%s) = %v, not %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"64:ff9b::cb00:7107": "203.0.113.7", "64:ff9b::a00:1": "64:ff9b::a00:1", "64:ff9b::6440:101": "64:ff9b::6440:101",
		"64:ff9b:1::cb00:7107": "64:ff9b:1::cb00:7107", "2001:db8::1": "2001:db8::1", "203.0.113.7": "203.0.113.7", "fe80::1%2": "fe80::1%2",
	} {
		if got := Extract(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Extract(%s) = %v, not %s", in, got, want)
		}
	}
}

func TestLacking(t *testing.T) {
	err := fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", noRoute)})
	if !Lacking(err) {
		t.Errorf("%v is no lack", err)
	}
	if Lacking(os.ErrDeadlineExceeded) || Lacking(nil) {
		t.Error("a lack of what is there")
	}
}
