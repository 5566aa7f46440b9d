//go:build linux || darwin

package authz

import (
	"testing"

	"kith.internal/ipc"
)

func TestResolve(t *testing.T) {
	tests := []struct {
		in, want string
		code     ipc.Code
	}{
		{"root", "0", ""},
		{"0", "0", ""},
		{"0012345678", "12345678", ""},
		{"12345678", "12345678", ""},
		{"", "", ipc.CodeUsage},
		{"no-such-user-here", "", ipc.CodeNotFound},
		{"-1", "", ipc.CodeNotFound},
		{"4294967295", "", ipc.CodeNotFound},
		{"4294967296", "", ipc.CodeNotFound},
		{"root\n", "", ipc.CodeNotFound},
		{"../root", "", ipc.CodeNotFound},
	}
	for _, tt := range tests {
		got, err := Resolve(tt.in)
		if got != tt.want || ipc.CodeOf(err) != tt.code {
			t.Errorf("Resolve(%q) = %q, %v; want %q, %q", tt.in, got, err, tt.want, tt.code)
		}
	}
	if got := Describe("0"); got != "root" {
		t.Errorf("Describe(0) = %q", got)
	}
	if got := Describe("12345678"); got != "12345678" {
		t.Errorf("Describe of nobody = %q", got)
	}
}
