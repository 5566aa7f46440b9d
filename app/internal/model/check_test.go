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

// TestCheckDetail says the parts of a detail in a person's language, and those of
// a newer helper as they came.
func TestCheckDetail(t *testing.T) {
	hard := ipc.Finding{Code: ipc.FoundNATHard, Text: "IPv4: another port for each peer (symmetric)", Args: map[string]string{"family": "IPv4"}}
	for _, c := range []struct {
		check  ipc.Check
		en, de string
	}{
		{ipc.Check{Detail: "older\x1b"}, "older", "older"},
		{ipc.Check{Detail: "x", Found: []ipc.Finding{hard, {Code: "newer", Text: "newer"}, {Text: "as it is"}}},
			"IPv4: another port for each peer (symmetric); newer; as it is", "IPv4: für jede Gegenstelle ein anderer Port (symmetrisch); newer; as it is"},
		{ipc.Check{Found: []ipc.Finding{{Code: ipc.FoundDropped, Text: "3 forged", Args: map[string]string{"n": "3", "case": "forged"}}, {Code: ipc.FoundDropped, Args: map[string]string{"n": "4", "case": "new"}}}},
			"3 forged; 4 others", "3 gefälscht; 4 andere"},
	} {
		if got := CheckDetail(text.English(), c.check); got != c.en {
			t.Errorf("%q, want %q", got, c.en)
		}
		if got := CheckDetail(text.For("de"), c.check); got != c.de {
			t.Errorf("%q, want %q", got, c.de)
		}
	}
}
