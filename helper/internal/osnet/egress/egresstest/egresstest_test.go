package egresstest

import (
	"errors"
	"testing"

	"kith.internal/helper/internal/osnet/egress"
)

func TestContract(t *testing.T) {
	e := New()
	Contract(t, Bed{
		Set:     e.Set,
		Own:     []egress.Interface{{Name: "kith0", Index: 7}, {Name: "kith1", Index: 8}},
		Look:    func() Seen { return see(e.Config()) },
		Restart: func() { e.Close() },
	})
}

func TestBreak(t *testing.T) {
	e, broken := New(), errors.New("broken")
	e.Break(broken)
	select {
	case <-e.Changes():
	default:
		t.Error("no change is told")
	}
	if e.Problem() != broken {
		t.Errorf("the problem is %v", e.Problem())
	}
	e.Fail(broken)
	if err := e.Set(egress.Config{}); err != broken || e.Sets() != 1 {
		t.Errorf("got %v", err)
	}
}
