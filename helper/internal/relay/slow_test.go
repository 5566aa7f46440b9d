package relay

import (
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// A reader that does not read costs its own datagrams, and nobody else's time.
func TestSlowReaderStallsNobody(t *testing.T) {
	r := newRelay(t, listen(t))
	sender, reader := mustDial(t, r, 1), mustDial(t, r, 2)
	mustDial(t, r, 3) // reads nothing
	stuck := r.link(3)
	frame, got := make([]byte, 1400), make([]byte, MaxFrame)
	var worst time.Duration
	for i := range 20000 {
		frame[0] = 3
		sender.Write([][]byte{frame})
		if i%20 != 19 {
			continue
		}
		frame[0] = 2
		binary.BigEndian.PutUint32(frame[1:], uint32(i))
		start := time.Now()
		sender.Write([][]byte{frame})
		n, err := reader.Read(got)
		if err != nil || n != len(frame) || binary.BigEndian.Uint32(got[1:]) != uint32(i) {
			t.Fatalf("after %d for the slow one: %d bytes, %v", i, n, err)
		}
		worst = max(worst, time.Since(start))
	}
	stuck.mu.Lock()
	held := stuck.out.n
	stuck.mu.Unlock()
	if held > maxChunks || stuck.Dropped() == 0 {
		t.Errorf("the slow one's queue holds %d chunks, %d dropped", held, stuck.Dropped())
	}
	if worst > 20*time.Second { // a busy machine; the slow one is cut off after 30
		t.Errorf("the other waited %v", worst)
	}
	t.Logf("slowest %v beside a reader that does not read; %d dropped for that", worst, stuck.Dropped())
}

// The slow reader that comes back finds what is newest.
func TestSlowReaderComesBackToTheNewest(t *testing.T) {
	r := newRelay(t, listen(t))
	sender, slow := mustDial(t, r, 1), mustDial(t, r, 2)
	mirror := mustDial(t, r, 3)
	const count = 20000
	frame, got := make([]byte, 1400), make([]byte, MaxFrame)
	for i := range count {
		frame[0] = 2
		binary.BigEndian.PutUint32(frame[1:], uint32(i))
		sender.Write([][]byte{frame})
		if i%50 == 49 { // so that the relay, not the sender, is what drops
			frame[0] = 3
			sender.Write([][]byte{frame})
			mirror.Read(got)
		}
	}
	last, read := uint32(0), 0
	for last != count-1 {
		if _, err := slow.Read(got); err != nil {
			t.Fatal(err)
		}
		n := binary.BigEndian.Uint32(got[1:])
		if read++; n < last {
			t.Fatalf("%d after %d", n, last)
		}
		last = n
	}
	// On a busy machine the sender's queue may lose some, too.
	if lost := r.link(2).Dropped() + sender.Dropped(); int(lost)+read != count {
		t.Errorf("read %d and dropped %d of %d", read, lost, count)
	}
}

// After a stall of the connection what is sent is what is of use yet.
func TestWhatIsLateIsDropped(t *testing.T) {
	bed(t, func(t *testing.T, _ *pipes, r *testRelay, a *Link) {
		l := r.link(1)
		frame, got := make([]byte, 10000), make([]byte, MaxFrame)
		for i := range 8 {
			frame[0] = byte(i)
			l.Write([][]byte{frame})
			time.Sleep(400 * time.Millisecond)
		}
		// The first is on its way; the last two are less than a second old.
		for _, want := range []byte{0, 6, 7} {
			if _, err := a.Read(got); err != nil || got[0] != want {
				t.Fatalf("read %d, %v, not %d", got[0], err, want)
			}
		}
		if l.Dropped() != 5 {
			t.Errorf("%d dropped, not 5", l.Dropped())
		}
	})
}

// Who never reads does not hold the sockets' memory and the queue for ever.
func TestKernelHoldsLittle(t *testing.T) {
	l := listen(t)
	ends := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		ends <- c
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far := <-ends
	defer c.Close()
	defer far.Close()
	far.(*net.TCPConn).SetReadBuffer(16 << 10)
	tuneTCP(c)
	var sent atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	context.AfterFunc(ctx, func() { c.SetWriteDeadline(past) })
	for b := make([]byte, 16<<10); ; {
		n, err := c.Write(b)
		sent.Add(int64(n))
		if err != nil {
			break
		}
	}
	t.Logf("%d KiB went into the kernel for a reader that does not read", sent.Load()>>10)
	if sent.Load() > 1<<20 {
		t.Errorf("the kernel holds %d KiB", sent.Load()>>10)
	}
}
