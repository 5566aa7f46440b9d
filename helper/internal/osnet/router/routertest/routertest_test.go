package routertest

import (
	"errors"
	"testing"

	"kith.internal/helper/internal/osnet/router"
)

func TestContract(t *testing.T) {
	Contract(t, func(t *testing.T, part func(*testing.T, Bed)) {
		r := New("kith0")
		if err := r.Set(router.Config{MTU: 1420}); err != nil {
			t.Fatal(err)
		}
		part(t, Bed{
			Router: r, Look: r.Config, Delete: r.Delete,
			DisableIPv6: func() { r.DisableIPv6(true) },
		})
	})
}

func TestFail(t *testing.T) {
	r, broken := New("kith0"), errors.New("broken")
	r.Fail(broken)
	if err := r.Set(full()); !errors.Is(err, broken) || r.Sets() != 1 || r.Config().Up {
		t.Errorf("got %v and %+v", err, r.Config())
	}
	r.Fail(nil)
	if err := r.Set(full()); err != nil || !r.Config().Up {
		t.Errorf("got %v and %+v", err, r.Config())
	}
	r.Close()
	if r.Set(full()) == nil {
		t.Error("a closed router took a configuration")
	}
}
