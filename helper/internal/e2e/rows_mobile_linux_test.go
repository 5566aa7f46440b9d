package e2e

import (
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// The uplink and S vanish under two nodes on one LAN, which then restart.
func TestNetnsPath16NoInternet(t *testing.T) {
	w := newWorld(t)
	s := w.founder()
	home := w.site("home", netnstest.HomeNAT)
	a, b := w.member("a", home.lan), w.member("b", home.lan)
	a.join(s)
	w.meet(s, a, b, patience, ipc.PathLAN)
	pass := a.passTo(b)
	home.wan.Unplug(home.router)
	s.kill()
	pass.settle()
	<-time.After(5 * time.Second) // what was known of s grows old
	pass.unnoticed()
	pass.restarted(b, 2*time.Second)
	w.between(a, b, patience, ipc.PathLAN)
	pass.tcp.whole()
}
