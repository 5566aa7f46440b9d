package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/ipc"
)

// TestAllowMe holds allow-me to the user that pkexec names, whatever else it
// is given.
func TestAllowMe(t *testing.T) {
	cases := []struct {
		name, uid string
		args      []string
		code      int
		asked     []any
	}{
		{"asked for", "1000", []string{"allow-me"}, ipc.ExitOK, []any{ipc.OperatorRequest{User: "1000"}}},
		{"not by pkexec", "", []string{"allow-me"}, ipc.ExitUsage, nil},
		{"no number", "bob", []string{"allow-me"}, ipc.ExitUsage, nil},
		{"negative", "-1", []string{"allow-me"}, ipc.ExitUsage, nil},
		{"another user", "1000", []string{"allow-me", "1001"}, ipc.ExitUsage, nil},
		{"another socket", "1000", []string{"allow-me", "--socket", "/tmp/x"}, ipc.ExitUsage, nil},
		{"something else as well", "1000", []string{"allow-me", "--network", "home"}, ipc.ExitUsage, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			f := &fake{}
			socket := f.serve(t)
			t.Setenv("PKEXEC_UID", tc.uid)
			if got := call(t, socket, "", tc.args...); got.code != tc.code {
				t.Errorf("%+v, want exit %d", got, tc.code)
			}
			if d := cmp.Diff(tc.asked, f.asked()); d != "" {
				t.Error(d)
			}
		})
	}
}
