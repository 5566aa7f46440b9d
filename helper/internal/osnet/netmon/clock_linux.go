package netmon

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// clockJumps calls jumped each time that the time of day jumps against the
// monotonic clock, as it does when the host wakes up (timerfd_create(2),
// TFD_TIMER_CANCEL_ON_SET), until stop is called. It costs nothing while
// nothing happens. Where it fails, the beat alone finds out.
func clockJumps(jumped func()) (stop func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return func() {}
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return func() {}
	}
	// A time that does not come; where it has, the beat alone finds out.
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: math.MaxInt32}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var ticks [8]byte
		for {
			var err error
			closed := raw.Control(func(fd uintptr) {
				err = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil)
			})
			if closed != nil || err != nil {
				return
			}
			if _, err := file.Read(ticks[:]); !errors.Is(err, unix.ECANCELED) {
				return
			}
			jumped()
		}
	}()
	return func() {
		file.Close()
		<-done
	}
}
