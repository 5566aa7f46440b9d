package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The collector's pace. WireGuard's buffers are 64 KiB each and live in pools
// that every collection empties, so under load frequent collections cost
// throughput; an idle helper is to be small instead. Below the 256 MiB that plain
// wireguard-go takes under load, collections cost a third of the processor.
const (
	quietPercent = 50
	busyPercent  = 400
	memoryTarget = 256 << 20 // bytes; beyond, the collector works harder
	lookEvery    = 2 * time.Second
	busyBytes    = 16 << 20 // allocated between two looks
	quietLooks   = 15       // until memory is given back
)

// tendMemory sets the collector's pace by what is allocated.
func tendMemory(ctx context.Context) {
	debug.SetMemoryLimit(memoryTarget)
	debug.SetGCPercent(quietPercent)
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	var last uint64
	quiet, busy := 0, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		metrics.Read(sample)
		now := sample[0].Value.Uint64()
		switch allocated := now - last; {
		case allocated > busyBytes:
			if !busy {
				debug.SetGCPercent(busyPercent)
			}
			busy, quiet = true, 0
		case busy:
			if quiet++; quiet == quietLooks {
				debug.SetGCPercent(quietPercent)
				runtime.GC() // what is in a pool outlives one collection
				debug.FreeOSMemory()
				busy = false
			}
		}
		last = now
	}
}
