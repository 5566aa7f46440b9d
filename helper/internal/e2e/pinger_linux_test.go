package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// pinger is a running ping.
type pinger struct {
	n    *node
	cmd  *exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	seen []reply
}

type reply struct {
	seq int
	at  time.Time
}

// pingAlong pings target every so often until stop.
func (n *node) pingAlong(target string, every time.Duration) *pinger {
	n.t.Helper()
	p := &pinger{n: n, done: make(chan struct{})}
	p.cmd = n.host.Command("ping", "-n", "-i", fmt.Sprintf("%.3f", every.Seconds()), target)
	out, err := p.cmd.StdoutPipe()
	must(n.t, err)
	must(n.t, p.cmd.Start())
	n.t.Cleanup(func() { p.cmd.Process.Kill() })
	go func() {
		defer close(p.done)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			_, rest, ok := strings.Cut(sc.Text(), "icmp_seq=")
			var seq int
			if _, err := fmt.Sscan(strings.Fields(rest + " x")[0], &seq); ok && err == nil && strings.Contains(rest, "time=") {
				p.mu.Lock()
				p.seen = append(p.seen, reply{seq, time.Now()})
				p.mu.Unlock()
			}
		}
	}()
	return p
}

// last is the time of the last answer.
func (p *pinger) last() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == 0 {
		return time.Time{}
	}
	return p.seen[len(p.seen)-1].at
}

// first is the time of the first answer.
func (p *pinger) first() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == 0 {
		return time.Time{}
	}
	return p.seen[0].at
}

// await waits for an answer that comes after now.
func (p *pinger) await(limit time.Duration) {
	p.n.t.Helper()
	now := time.Now()
	until(p.n.t, "an answer to a running ping", limit, func() bool { return p.last().After(now) })
}

// stop ends the ping and tells how many echoes were sent up to the last one
// answered, how many of these were not answered, and the longest time without
// an answer.
func (p *pinger) stop() (sent, lost int, gap time.Duration) {
	p.n.t.Helper()
	p.cmd.Process.Signal(syscall.SIGINT)
	<-p.done
	p.cmd.Wait()
	got := map[int]bool{}
	for i, r := range p.seen {
		got[r.seq] = true
		sent = max(sent, r.seq)
		if i > 0 {
			gap = max(gap, r.at.Sub(p.seen[i-1].at))
		}
	}
	return sent, sent - len(got), gap
}
