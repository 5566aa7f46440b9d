package netmon

import "time"

const (
	// beat is how often the clocks are compared: a waking host is noticed
	// about as fast as its links come up.
	beat = time.Second
	// gap is what a beat may be late on a loaded host.
	gap = 4 * time.Second
)

// wallClock is the time of day alone: Linux and macOS stop the monotonic clock
// while they sleep, Windows lets it run on.
func wallClock() time.Time { return time.Now().Round(0) }

// detectSleep calls woke after each beat that took much longer by the wall
// clock than it should have: the host slept, the process was stopped, or the
// clock was set forward. A clock set back is nothing.
func detectSleep(done <-chan struct{}, wall func() time.Time, woke func()) {
	t := time.NewTicker(beat)
	defer t.Stop()
	for last := wall(); ; {
		select {
		case <-t.C:
		case <-done:
			return
		}
		now := wall()
		if slept(last, now) {
			woke()
		}
		last = now
	}
}

func slept(last, now time.Time) bool { return now.Sub(last) > beat+gap }
