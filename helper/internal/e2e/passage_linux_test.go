package e2e

import (
	"math"
	"testing"
	"time"
)

// passage is what must go on from one node to another while networks change:
// ten echoes a second and a TCP connection.
type passage struct {
	n     *node
	along *pinger
	tcp   *stream
}

func (n *node) passTo(other *node) *passage {
	n.t.Helper()
	p := &passage{n: n, along: n.pingAlong(other.name+".home.internal", 100*time.Millisecond), tcp: n.streamTo(other)}
	p.along.await(patience)
	return p
}

// settle waits until echoes are answered again, then a second more.
func (p *passage) settle() {
	p.n.t.Helper()
	p.along.await(patience)
	now := time.Now()
	until(p.n.t, "a second of echoes", patience, func() bool { return p.along.last().Sub(now) > time.Second })
}

// over ends it: the connection has lost nothing. It returns the longest time
// between two answers.
func (p *passage) over(what string) time.Duration {
	p.n.t.Helper()
	sent, lost, gap := p.along.stop()
	p.n.t.Logf("%s: %d of %d echoes lost, longest gap %v", what, lost, sent, gap.Round(time.Millisecond))
	p.tcp.whole()
	return gap
}

// smooth ends the echoes: none was lost, and none was late by more than a busy
// machine makes it.
func (p *passage) smooth(what string) {
	p.n.t.Helper()
	sent, lost, gap := p.along.stop()
	p.n.t.Logf("%s: %d of %d echoes lost, longest gap %v", what, lost, sent, gap.Round(time.Millisecond))
	if lost > 0 || gap > slow*time.Second {
		p.n.t.Errorf("%s: %d of %d echoes lost, longest gap %v", what, lost, sent, gap)
	}
}

// within wants the best of three attempts to be near its budget.
func within(t *testing.T, what string, budget time.Duration, measure func(t *testing.T) time.Duration) {
	t.Helper()
	best := time.Duration(math.MaxInt64)
	for range 3 {
		took := measure(t)
		if took <= budget || t.Failed() {
			return
		}
		t.Logf("%s: %v, budget %v", what, took, budget)
		best = min(best, took)
	}
	if best > slow*budget {
		t.Errorf("%s: %v, budget %v", what, best, budget)
	}
}

// restarted kills both helpers, starts them and waits for an answer. Who asked
// for a name meanwhile would wait for the system's resolver: this one asked
// before.
func (p *passage) restarted(other *node) time.Duration {
	t := p.n.t
	t.Helper()
	p.along = p.n.pingAlong(other.name+".home.internal", 100*time.Millisecond)
	p.along.await(patience)
	p.n.kill()
	other.kill()
	start := time.Now()
	p.n.launch()
	other.launch()
	p.along.await(patience)
	took := time.Since(start)
	p.along.stop()
	t.Logf("both restarted: reachable after %v", took)
	return took
}
