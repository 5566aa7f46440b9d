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
// throughput; an idle helper is to be small instead. Package tunnel bounds how many
// are in use: with much less than a hundred MiB for them and the rest, collections
// cost a quarter of the processor and more.
const (
	quietPercent = 50
	busyPercent  = 400
	memoryTarget = 100 << 20 // bytes; beyond, the collector works harder
	busyBytes    = 16 << 20  // allocated within busyWithin
	busyWithin   = 2 * time.Second
	quietAfter   = 15 // spans of busyWithin in a row, until memory is given back
	started      = time.Minute
)

// tendMemory sets the collector's pace by what is allocated, and gives memory
// back to the system after start-up and after load.
func tendMemory(ctx context.Context) {
	debug.SetMemoryLimit(memoryTarget)
	debug.SetGCPercent(quietPercent)
	collected := collections()
	giveBack := time.After(started)
	for {
		select {
		case <-ctx.Done():
			return
		case <-giveBack:
			release()
			continue
		case <-collected:
			if !busyNow(ctx, collected) {
				continue
			}
		}
		debug.SetGCPercent(busyPercent)
		if !untilQuiet(ctx) {
			return
		}
		debug.SetGCPercent(quietPercent)
		runtime.GC() // what is in a pool outlives one collection
		release()
	}
}

// release gives back what is not in use: free heap, and code that has run only
// once.
func release() {
	debug.FreeOSMemory()
	dropCode()
}

// collections tells of each garbage collection. Without work there is none but
// the runtime's own every two minutes, so that watching costs an idle helper
// nothing.
func collections() <-chan struct{} {
	type mark [32]byte // too long to share its place with other objects
	c := make(chan struct{}, 1)
	var arm func(struct{})
	arm = func(struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
		runtime.AddCleanup(new(mark), arm, struct{}{})
	}
	runtime.AddCleanup(new(mark), arm, struct{}{})
	return c
}

// busyNow tells, after a collection, whether much is allocated now.
func busyNow(ctx context.Context, collected <-chan struct{}) bool {
	before := allocated()
	over := time.NewTimer(busyWithin)
	defer over.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return false
		case <-collected:
			if allocated()-before > busyBytes {
				return true
			}
		}
	}
}

// untilQuiet waits until little is allocated for some time; false when ctx ends.
func untilQuiet(ctx context.Context) bool {
	t := time.NewTicker(busyWithin)
	defer t.Stop()
	for quiet, last := 0, allocated(); quiet < quietAfter; {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
		now := allocated()
		if quiet++; now-last > busyBytes {
			quiet = 0
		}
		last = now
	}
	return true
}

// allocated is the bytes allocated since the start.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
