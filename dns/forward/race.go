package forward

import (
	"context"
	"errors"
	"time"
)

// step is one message to one server, sent at a time after the query came, or
// as soon as all before it have failed.
type step struct {
	at      time.Duration
	server  *server
	network string
}

const (
	resendAt = time.Second     // a datagram was lost
	tcpAt    = 2 * time.Second // datagrams do not get through
)

// steps plans a query: each healthy server after the one before it has had its
// time, suspects together after the last of them, then again, then over TCP.
func steps(sorted []*server, healthy int) []step {
	var out []step
	at := time.Duration(0)
	for i, s := range sorted {
		out = append(out, step{at, s, s.network()})
		if i < healthy {
			at += s.hedge()
		}
	}
	again := sorted[:min(2, len(sorted))]
	for _, s := range again {
		out = append(out, step{max(resendAt, at), s, s.network()})
	}
	for _, s := range again {
		if s.secure == nil {
			out = append(out, step{max(tcpAt, at), s, "tcp"})
		}
	}
	return out
}

type result struct {
	step   int
	answer response
	err    error
	took   time.Duration
}

// race runs the plan until a server answers.
func (f *Forwarder) race(ctx context.Context, req *request, servers []*server) (response, error) {
	f.mu.Lock()
	sorted, healthy, due := order(servers, time.Now())
	plan := steps(sorted, healthy)
	if due != nil {
		due.checking = true
		f.work.Add(1)
		go f.recheck(due, req)
	}
	f.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &running{results: make(chan result, len(plan)), began: time.Now(), sent: make(map[*server]time.Time)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var errs []error
	for next, open := 0, 0; ; {
		if next < len(plan) {
			wait := time.Until(r.began.Add(plan[next].at))
			if wait <= 0 || open == 0 {
				f.launch(ctx, r, plan, next, req)
				next, open = next+1, open+1
				continue
			}
			timer.Reset(wait)
		} else if open == 0 {
			return response{}, errors.Join(errs...)
		}
		select {
		case <-ctx.Done():
			f.lost(r, nil)
			return response{}, context.Cause(ctx)
		case <-timer.C:
		case res := <-r.results:
			open--
			if res.err != nil {
				errs = append(errs, res.err)
				f.silent(plan[res.step].server, res.err.Error())
				delete(r.sent, plan[res.step].server)
				continue
			}
			winner := plan[res.step].server
			f.answered(winner, res.took)
			f.lost(r, winner)
			return res.answer, nil
		}
	}
}

// running is the state of one race.
type running struct {
	results chan result
	began   time.Time
	sent    map[*server]time.Time // when each server was first asked
}

func (f *Forwarder) launch(ctx context.Context, r *running, plan []step, i int, req *request) {
	st := plan[i]
	if _, ok := r.sent[st.server]; !ok {
		r.sent[st.server] = time.Now()
	}
	f.work.Go(func() {
		start := time.Now()
		answer, err := f.ask(ctx, st.network, st.server, req)
		r.results <- result{i, answer, err, time.Since(start)}
	})
}

// lost scores those that were asked, had the time that a healthy server needs,
// and were silent.
func (f *Forwarder) lost(r *running, winner *server) {
	for s, at := range r.sent {
		if waited := time.Since(at); s != winner && waited >= hedgeLeast {
			f.silent(s, "no answer after "+waited.Round(time.Millisecond).String())
		}
	}
}
