//go:build bench

package simnet

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowdMemory is what the benchmark tries to get along with, in bytes.
const crowdMemory = 10 << 30

// TestBenchCrowd has many engines, KITH_CROWD or 100, join in one process and
// come to rest: DESIGN's budget for gossip is 1 kB a second and device.
func TestBenchCrowd(t *testing.T) {
	members := 100
	if s := os.Getenv("KITH_CROWD"); s != "" {
		var err error
		if members, err = strconv.Atoi(s); err != nil || members < 2 {
			t.Fatalf("KITH_CROWD is %q", s)
		}
	}
	// Most of it stays: what is collected is little, until memory runs short.
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(crowdMemory))
	var joined atomic.Int64
	stop := make(chan struct{})
	defer close(stop)
	go report(&joined, stop)
	row(t, func(t *testing.T, n *Net) {
		c := settle(t, n, members, func(n int) { joined.Store(int64(n)) })
		fmt.Printf("%d engines: joined %d at a time in %v, agreed %v later, %d datagrams each until then, then %.0f bytes a second each (budget 1,000); %s\n",
			members, joinAtOnce, c.joined, c.agreed, c.datagrams/int64(members), c.rate, resources())
	})
}

// report says now and then, in real time, how far the engines are.
func report(joined *atomic.Int64, stop chan struct{}) {
	began := time.Now()
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			fmt.Printf("%v: %d joined; %s\n", time.Since(began).Round(time.Second), joined.Load(), resources())
		}
	}
}

// resources is what this process has used.
func resources() string {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return err.Error()
	}
	cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return fmt.Sprintf("%v of processor, %d MiB of heap, %d MiB resident at most", cpu.Round(time.Second), m.HeapInuse>>20, u.Maxrss>>10)
}
