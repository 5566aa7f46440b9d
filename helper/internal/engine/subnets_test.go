package engine

import (
	"testing"
	"time"

	"kith.internal/helper/internal/key"
)

func TestChooseVia(t *testing.T) {
	r := func(b byte) (k key.Public) { k[0] = b; return k }
	works := func(b byte, ms int) via {
		return via{key: r(b), online: true, latency: time.Duration(ms) * time.Millisecond}
	}
	fresh := func(v via) via { v.fresh = true; return v }
	silent := func(v via) via { v.silent = true; return v }
	off := func(v via) via { v.online = false; return v }
	for _, c := range []struct {
		name    string
		current byte
		all     []via
		want    byte
	}{
		{"nobody", 0, nil, 0},
		{"the nearest", 0, []via{works(1, 30), works(2, 20)}, 2},
		{"one that works before one that is nearer and gone", 0, []via{off(works(1, 1)), works(2, 20)}, 2},
		{"and before one that is silent", 0, []via{silent(works(1, 1)), works(2, 20)}, 2},
		{"what works is kept", 1, []via{works(1, 30), works(2, 25)}, 1},
		{"also where another is a little nearer", 1, []via{works(1, 30), works(2, 21)}, 1},
		{"another is much nearer", 1, []via{works(1, 60), works(2, 20)}, 2},
		{"much nearer, and silent", 1, []via{works(1, 60), silent(works(2, 20))}, 1},
		{"gone", 1, []via{off(works(1, 1)), works(2, 200)}, 2},
		{"gone, the other silent", 1, []via{off(works(1, 1)), silent(works(2, 200))}, 2},
		{"both gone", 1, []via{off(works(1, 200)), off(works(2, 1))}, 2},
		{"silent, and nobody known to work", 1, []via{silent(works(1, 1)), works(2, 20)}, 1},
		{"silent, and another works", 1, []via{silent(works(1, 1)), fresh(works(2, 20))}, 2},
		{"silent, and the nearest of those that work", 1, []via{silent(works(1, 1)), fresh(works(2, 20)), fresh(works(3, 10)), works(4, 5)}, 3},
		{"all silent", 2, []via{silent(works(1, 1)), silent(fresh(works(2, 20)))}, 2},
		{"no member any more", 9, []via{works(1, 1)}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := chooseVia(r(c.current), c.all); c.want == 0 && !got.IsZero() || c.want != 0 && got != r(c.want) {
				t.Errorf("it is %d", got[0])
			}
		})
	}
}
