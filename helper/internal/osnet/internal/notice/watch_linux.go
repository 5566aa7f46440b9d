package notice

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Group is multicast groups of one netlink protocol.
type Group struct {
	Protocol int
	Groups   []uint32
}

// settle is how long a watch waits for more of the same before it tells: less
// than a person notices, and more than a burst of messages lasts.
const settle = 50 * time.Millisecond

// Watch calls a function after messages came, one call at a time.
type Watch struct {
	files  []*os.File
	signal chan struct{}
	quit   chan struct{}
	done   sync.WaitGroup
}

// New hears netlink in the network namespace of the calling thread.
func New(groups []Group, tell func()) (*Watch, error) {
	w := &Watch{signal: make(chan struct{}, 1), quit: make(chan struct{})}
	for _, g := range groups {
		f, err := subscribe(g)
		if err != nil {
			w.closeFiles()
			return nil, err
		}
		w.files = append(w.files, f)
	}
	for _, f := range w.files {
		w.done.Go(func() { w.read(f) })
	}
	w.done.Go(func() { w.run(tell) })
	return w, nil
}

func subscribe(g Group) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, g.Protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink %d: %w", g.Protocol, err)
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, n := range g.Groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(n))
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("subscribe to netlink %d: %w", g.Protocol, err)
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// read drains a socket: that something came is all that counts, also when some
// of it was lost (ENOBUFS).
func (w *Watch) read(f *os.File) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	var buf [8 << 10]byte
	for {
		var got error
		err := conn.Read(func(fd uintptr) bool {
			_, _, got = unix.Recvfrom(int(fd), buf[:], 0)
			return !errors.Is(got, unix.EAGAIN)
		})
		if err != nil {
			return
		}
		select {
		case w.signal <- struct{}{}:
		default:
		}
	}
}

func (w *Watch) run(tell func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		select {
		case <-w.quit:
			return
		case <-w.signal:
		}
		timer.Reset(settle)
		select {
		case <-w.quit:
			return
		case <-timer.C:
		}
		select { // what came meanwhile is looked at now
		case <-w.signal:
		default:
		}
		tell()
	}
}

// Close ends the watch. It waits for a call under way, so it must not be called
// by one, nor with what one waits for.
func (w *Watch) Close() error {
	close(w.quit)
	w.closeFiles()
	w.done.Wait()
	return nil
}

func (w *Watch) closeFiles() {
	for _, f := range w.files {
		f.Close()
	}
}
