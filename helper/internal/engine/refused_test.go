package engine

import (
	"fmt"
	"testing"

	"kith.internal/ipc"
)

// TestRefusalsAreBounded: equal ones are one, names that somebody makes up drive out
// no refusal of another kind, and the latest is first.
func TestRefusalsAreBounded(t *testing.T) {
	var q refusals
	q.add(refusal{Code: ipc.CodeLinkUsed, Label: "eve", Link: true, Count: 1})
	for i := range 1000 {
		q.add(refusal{Code: ipc.CodePassInvalid, Label: fmt.Sprintf("x%d", i), Count: 1})
	}
	q.add(refusal{Code: ipc.CodePassInvalid, Label: "x999", Count: 1})
	if len(q.list) != refusalsMost {
		t.Fatalf("%d are kept", len(q.list))
	}
	if r := q.list[0]; r.Label != "x999" || r.Count != 2 {
		t.Errorf("the latest is %+v", r)
	}
	if r := q.list[refusalsMost-1]; r.Code != ipc.CodeLinkUsed || r.Count != 1 {
		t.Errorf("the one of another kind is %+v", r)
	}
}
