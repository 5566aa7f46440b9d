package relay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestFramesPassBothWays(t *testing.T) {
	r := newRelay(t, listen(t))
	a, b := mustDial(t, r, 1), mustDial(t, r, 2)
	got := make([]byte, MaxFrame)
	for _, n := range []int{1, 2, 100, 1232, 1500, MaxFrame} {
		sent := bytes.Repeat([]byte{2}, n)
		if err := a.Write([][]byte{sent}); err != nil {
			t.Fatal(err)
		}
		m, err := b.Read(got)
		if err != nil || m != n || got[0] != 1 || !bytes.Equal(got[1:n], sent[1:]) {
			t.Fatalf("%d bytes: got %d bytes, %v", n, m, err)
		}
	}
	if err := a.Write([][]byte{make([]byte, MaxFrame+1), nil, {2, 7}}); !errors.Is(err, ErrFrame) {
		t.Errorf("a long frame: %v", err)
	}
	if n, err := b.Read(got); err != nil || n != 2 || got[1] != 7 {
		t.Errorf("after a long frame: %d bytes, %v", n, err)
	}
	if a.Transport() != "tls" || a.RemoteAddr() != addrPort(r.Addr()) || a.Proxy() != "" {
		t.Errorf("the link says %s, %s, %s", a.Transport(), a.RemoteAddr(), a.Proxy())
	}
}

func TestShortBufferCostsOneDatagram(t *testing.T) {
	r := newRelay(t, listen(t))
	a, b := mustDial(t, r, 1), mustDial(t, r, 2)
	a.Write([][]byte{bytes.Repeat([]byte{2}, 9000), {2, 5}})
	got := make([]byte, 100)
	if n, err := b.Read(got); err != nil || n != 2 || got[1] != 5 {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	if b.Dropped() != 1 {
		t.Errorf("%d dropped, not 1", b.Dropped())
	}
}

// bed runs f with two ends of a link in memory, on a fake clock.
func bed(t *testing.T, f func(t *testing.T, p *pipes, r *testRelay, a *Link)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		r := newRelay(t, p)
		a, err := Dial(t.Context(), Dialer{DialContext: p.DialContext}, Target{Host: "relay:443", Pin: r.pin}, tokenOf(client(1)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shut(a) })
		synctest.Wait()
		f(t, p, r, a)
	})
}

func TestIdleLinkLives(t *testing.T) {
	bed(t, func(t *testing.T, _ *pipes, r *testRelay, a *Link) {
		go func() { a.Read(make([]byte, MaxFrame)) }()
		time.Sleep(time.Hour)
		if n := r.Stats().Links; n != 1 || a.isClosed() {
			t.Fatalf("%d links after an hour", n)
		}
		if n := a.in.heard.Load(); n < 170 || n > 190 {
			t.Errorf("%d keep-alives in an hour, not one each 20 s", n)
		}
	})
}

// stall is a connection that can be cut without a word, as a NAT does that has
// lost its mapping.
type stall struct {
	net.Conn
	cut chan struct{}
}

func (s *stall) Write(b []byte) (int, error) {
	select {
	case <-s.cut:
		return len(b), nil
	default:
		return s.Conn.Write(b)
	}
}

func TestHalfDeadLinkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		r := newRelay(t, p)
		cut := make(chan struct{})
		d := Dialer{DialContext: func(ctx context.Context, n, a string) (net.Conn, error) {
			c, err := p.DialContext(ctx, n, a)
			return &stall{c, cut}, err
		}}
		a, err := Dial(t.Context(), d, Target{Host: "relay:443", Pin: r.pin}, tokenOf(client(1)))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, MaxFrame))
			a.Close()
			ended <- err
		}()
		time.Sleep(65 * time.Second)
		close(cut) // what we send is lost; what the relay sends still comes
		start := time.Now()
		err = <-ended
		if d := time.Since(start); err == nil || d > 62*time.Second || d < 40*time.Second {
			t.Errorf("ended after %v: %v", d, err)
		}
		synctest.Wait()
		if n := r.Stats().Links; n != 0 {
			t.Errorf("the relay keeps %d links", n)
		}
		<-a.gone
	})
}

func TestCloseSendsWhatIsQueued(t *testing.T) {
	r := newRelay(t, listen(t))
	a, b := mustDial(t, r, 1), mustDial(t, r, 2)
	for i := range 50 {
		a.Write([][]byte{{2, byte(i)}})
	}
	a.Close()
	if err := a.Write([][]byte{{2}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := a.Read(make([]byte, 9)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	got := make([]byte, MaxFrame)
	for i := range 50 {
		if _, err := b.Read(got); err != nil || got[1] != byte(i) {
			t.Fatalf("datagram %d: %d, %v", i, got[1], err)
		}
	}
}

func TestCloseOfStuckLinkIsBounded(t *testing.T) {
	bed(t, func(t *testing.T, p *pipes, r *testRelay, a *Link) {
		l := r.link(1)
		for range 100 { // nobody reads a
			l.Write([][]byte{make([]byte, 10000)})
		}
		start := time.Now()
		l.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("close waited %v", d)
		}
		<-l.gone
		if d := time.Since(start); d > 31*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestReaderThatStopsIsDropped(t *testing.T) {
	bed(t, func(t *testing.T, p *pipes, r *testRelay, a *Link) {
		l := r.link(1)
		start := time.Now()
		l.Write([][]byte{make([]byte, 10000)})
		<-l.gone
		if d := time.Since(start); d > 35*time.Second {
			t.Errorf("dropped after %v", d)
		}
	})
}

func TestQueueDropsOldest(t *testing.T) {
	shared := newBudget(8)
	q := queue{budget: shared}
	frame := make([]byte, 1400)
	pushed, dropped := 0, 0
	for i := range 1000 {
		frame[0], frame[1] = byte(i>>8), byte(i)
		dropped += q.push(frame)
		pushed++
		if q.n > 9 {
			t.Fatalf("%d chunks with a budget of 8", q.n)
		}
	}
	left, first := 0, -1
	for c := q.pop(); c != nil; c = q.pop() {
		if first < 0 {
			first = int(c.b[frameHead])<<8 | int(c.b[frameHead+1])
		}
		left += c.frames()
		q.free(c)
	}
	if left+dropped != pushed || first != dropped || left < 90 {
		t.Errorf("pushed %d, dropped %d, left %d, first left %d", pushed, dropped, left, first)
	}
	if shared.left.Load() != 8 {
		t.Errorf("%d of the budget is back, not 8", shared.left.Load())
	}
}

func TestNoAllocationAFrame(t *testing.T) {
	r := newRelay(t, listen(t))
	a, b := mustDial(t, r, 1), mustDial(t, r, 2)
	frame, got := make([]byte, 1400), make([]byte, MaxFrame)
	frame[0] = 2
	bufs := [][]byte{frame}
	n := testing.AllocsPerRun(2000, func() {
		a.Write(bufs)
		if _, err := b.Read(got); err != nil {
			t.Fatal(err)
		}
	})
	// crypto/tls takes one a record to read it, and here each frame is a record,
	// twice. Ours take none.
	if n > 4 {
		t.Errorf("%v allocations a frame over two links", n)
	}
}
