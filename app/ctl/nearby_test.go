package main

import (
	"slices"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// TestNearbyWord: a word about digits goes by the ID that they were shown with.
func TestNearbyWord(t *testing.T) {
	tests := []struct {
		args, typed string
		tty         bool
		code        int
		asks        string
		want        *ipc.NearbyApproveRequest // nil: no word is given
	}{
		{"nearby approve", "y\n", true, 0, "Does phone show 246802?", &ipc.NearbyApproveRequest{ID: "a1"}},
		{"nearby approve phone", "y\n", true, 0, "Does phone show 246802?", &ipc.NearbyApproveRequest{ID: "a1"}},
		{"nearby approve n1", "y\n", true, 0, "Does desk show 135790?", &ipc.NearbyApproveRequest{ID: "n1"}},
		{"nearby approve", "\n", true, ipc.ExitFailed, "Does phone show", nil},
		{"nearby approve tv", "y\n", true, ipc.ExitNotFound, "", nil},
		{"nearby approve", "", false, ipc.ExitUsage, "", nil},
		{"nearby approve phone", "", false, ipc.ExitUsage, "", nil},
		{"nearby approve a1", "", false, 0, "", &ipc.NearbyApproveRequest{ID: "a1"}},
		{"nearby approve phone --refuse", "", false, 0, "", &ipc.NearbyApproveRequest{ID: "a1", Refuse: true}},
		{"nearby join office", "y\n", true, 0, "Does desk show 135790?", &ipc.NearbyApproveRequest{ID: "n1"}},
		{"nearby join office", "n\n", true, ipc.ExitFailed, "Does desk show 135790?", &ipc.NearbyApproveRequest{ID: "n1", Refuse: true}},
		{"nearby join office", "", false, 0, "", nil},
	}
	for _, tt := range tests {
		f := fake{status: running()}
		r := callWith(t, f.serve(t), env{in: strings.NewReader(tt.typed), inTTY: tt.tty, errTTY: tt.tty}, strings.Fields(tt.args)...)
		asked := f.asked()
		i := slices.IndexFunc(asked, func(r any) bool { _, ok := r.(ipc.NearbyApproveRequest); return ok })
		if r.code != tt.code || !strings.Contains(r.err, tt.asks) || (i >= 0) != (tt.want != nil) || i >= 0 && asked[i] != *tt.want {
			t.Errorf("kith %s, typed %q: exit %d, asked %+v, said %s", tt.args, tt.typed, r.code, asked, r.err)
		}
	}
}
