package netmon

import "time"

const (
	// beat is how often the clocks are compared when nothing else wakes the
	// process: what a beat a second costs would be a quarter of what an idle
	// helper may take.
	beat = 15 * time.Second
	// gap is what a beat may be late on a loaded host, and what the clocks may
	// drift apart in one.
	gap = 4 * time.Second
)

// clocks gives the time of day without its monotonic part, and the monotonic
// clock: Linux and macOS stop that one while they sleep, Windows lets it run on.
type clocks func() (wall time.Time, mono time.Duration)

var started = time.Now()

func hostClocks() (time.Time, time.Duration) { return time.Now().Round(0), time.Since(started) }

// detectSleep calls woke when it finds that the host slept, that the process
// stood still or that the clock was set forward. It looks at each beat, and at
// once when nudged. A clock set back is nothing.
func detectSleep(done, nudge <-chan struct{}, now clocks, woke func()) {
	t := time.NewTicker(beat)
	defer t.Stop()
	for wall, mono := now(); ; {
		select {
		case <-t.C:
		case <-nudge:
		case <-done:
			return
		}
		w, m := now()
		if slept(w.Sub(wall), m-mono) {
			woke()
		}
		wall, mono = w, m
	}
}

// slept judges how far the clocks went since they were last looked at, which
// an awake process does each beat.
func slept(wall, mono time.Duration) bool { return wall-mono > gap || wall > beat+gap }
