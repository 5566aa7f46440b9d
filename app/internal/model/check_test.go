package model

import (
	"testing"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		check   ipc.Check
		verdict Verdict
		title   string
		fix     bool
	}{
		{ipc.Check{Code: ipc.CheckIPv6, OK: true}, Passed, "IPv6 of this computer", false},
		{ipc.Check{Code: ipc.CheckIPv6, OK: true, NA: true}, NotApplicable, "IPv6 of this computer", false},
		{ipc.Check{Code: ipc.CheckIPv6}, Failed, "IPv6 of this computer", true},
		{ipc.Check{Code: ipc.CheckHairpin, OK: true, NA: true}, NotApplicable, "Hairpin through the router", false},
		{ipc.Check{Code: "new", NA: true, Text: "Something new", Fix: "Mend it"}, Failed, "Something new", true},
	}
	const words = "Ask an admin for a new invite, or leave it on Networks."
	if _, fix := CheckWords(text.English(), ipc.Check{Code: ipc.CheckNetwork, Fix: "kith leave", Args: map[string]string{"case": ipc.CaseRemoved}}); fix != words {
		t.Errorf("removed: %q", fix)
	}
	for _, tt := range tests {
		title, fix := CheckWords(text.English(), tt.check)
		if v := VerdictOf(tt.check); v != tt.verdict || title != tt.title || (fix != "") != tt.fix {
			t.Errorf("%+v: verdict %d, %q, %q", tt.check, v, title, fix)
		}
	}
}
