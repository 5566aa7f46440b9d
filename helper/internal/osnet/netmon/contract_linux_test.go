package netmon_test

import (
	"testing"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/osnet/netmon/netmontest"
)

func TestNetnsContract(t *testing.T) {
	netnstest.Run(t, func(t *testing.T) {
		netnstest.Sh(t, "ip link set lo up; ip link add eth0 type veth peer far; ip link set eth0 up")
		sh := func(line string) func() { return func() { netnstest.Sh(t, line) } }
		w, err := netmon.New()
		if err != nil {
			t.Fatal(err)
		}
		netmontest.Contract(t, netmontest.Bed{
			Watcher: w,
			Plug:    sh("ip link set far up"),
			Unplug:  sh("ip link set far down"),
			Flap:    sh("ip link set far down; ip link set far up"),
			Address: sh("ip address add 192.0.2.7/24 dev eth0; ip route add default via 192.0.2.1"),
			Route:   sh("ip route add 198.51.100.0/24 via 192.0.2.2"),
			Delete:  sh("ip link del eth0"),
		})
	})
}
