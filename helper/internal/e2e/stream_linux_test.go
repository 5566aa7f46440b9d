package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// stream is one TCP connection between two nodes that numbered lines go through
// and come back by.
type stream struct {
	n      *node
	conn   net.Conn
	ended  chan error // of the reader: nil once it has read all
	mu     sync.Mutex
	sent   int
	over   bool
	stop   chan bool
	writer sync.WaitGroup
}

// streamTo opens the connection and writes a line every 20 ms.
func (n *node) streamTo(other *node) *stream {
	n.t.Helper()
	at := netip.AddrPortFrom(other.overlay(), 7777)
	var l net.Listener
	var err error
	other.host.Do(func() { l, err = net.Listen("tcp", at.String()) })
	must(n.t, err)
	accepted, echoed := make(chan net.Conn, 1), make(chan bool)
	go func() {
		defer close(echoed)
		c, err := l.Accept()
		if err != nil {
			return
		}
		accepted <- c
		io.Copy(c, c)
		c.Close()
	}()
	s := &stream{n: n, ended: make(chan error, 1), stop: make(chan bool)}
	n.host.Do(func() { s.conn, err = net.DialTimeout("tcp", at.String(), 10*time.Second) })
	if err != nil {
		l.Close()
		n.t.Fatal(err)
	}
	far := <-accepted
	n.t.Cleanup(func() { s.conn.Close(); l.Close(); far.Close(); <-echoed })
	go func() { s.ended <- s.read() }()
	s.writer.Go(s.write)
	return s
}

func (s *stream) write() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.mu.Lock()
			s.sent++
			s.mu.Unlock()
			if _, err := fmt.Fprintln(s.conn, s.sent); err != nil {
				return // the reader tells
			}
		}
	}
}

func (s *stream) read() error {
	r := bufio.NewReader(s.conn)
	for want := 1; ; want++ {
		s.mu.Lock()
		all := s.over && want > s.sent
		s.mu.Unlock()
		if all {
			return nil
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("after %d lines: %w", want-1, err)
		}
		if line != fmt.Sprintln(want) {
			return fmt.Errorf("line %d is %q", want, line)
		}
	}
}

// whole wants all that was written to have come back.
func (s *stream) whole() {
	s.n.t.Helper()
	close(s.stop)
	s.writer.Wait()
	s.mu.Lock()
	s.over = true
	s.sent++
	s.mu.Unlock()
	s.conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintln(s.conn, s.sent) // lets the reader look at the end
	if err := <-s.ended; err != nil {
		s.n.t.Errorf("the connection that was open before: %v", err)
	}
}
