package e2e

import "time"

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

// over ends it: the gap between two answers is within the budget, and the
// connection has lost nothing.
func (p *passage) over(what string, budget time.Duration) time.Duration {
	p.n.t.Helper()
	sent, lost, gap := p.along.stop()
	p.n.t.Logf("%s: %d of %d echoes lost, longest gap %v (budget %v)", what, lost, sent, gap.Round(time.Millisecond), budget)
	if gap > budget {
		p.n.t.Errorf("%s: no answer for %v, budget %v", what, gap, budget)
	}
	p.tcp.whole()
	return gap
}

// unnoticed ends the echoes, none of which may have been late.
func (p *passage) unnoticed() {
	p.n.t.Helper()
	if _, _, gap := p.along.stop(); gap > 300*time.Millisecond {
		p.n.t.Errorf("%s noticed: no answer for %v", p.n.name, gap)
	}
}

// restarted kills both helpers, starts them and waits for an answer. Who asked
// for a name meanwhile would wait for the system's resolver: this one asked
// before.
func (p *passage) restarted(other *node, budget time.Duration) {
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
	t.Logf("both restarted: reachable after %v (budget %v)", took, budget)
	if took > budget {
		t.Errorf("both restarted: reachable after %v, budget %v", took, budget)
	}
}
