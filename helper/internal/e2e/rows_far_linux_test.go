package e2e

import (
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// Rows where packets cross the internet. Direct must be within a second of the
// first contact where nothing else is said.

func TestNetnsPath03OneBehindNAT(t *testing.T) {
	w := newWorld(t)
	s := w.founder()
	home := w.site("a", netnstest.HomeNAT)
	a, b := w.member("a", home.lan), w.public("b")
	a.join(s)
	a.meets(s)
	w.meet(s, a, b, time.Second, ipc.PathDirect)
}
