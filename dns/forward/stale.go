package forward

import (
	"context"
	"time"
)

// staleAfter is how long a client waits for news before it gets what was known
// (RFC 8767 §5, the client response timer).
const staleAfter = 1800 * time.Millisecond

// orStale asks anew, and gives the old answer where that fails or takes long.
func (f *Forwarder) orStale(ctx context.Context, query []byte, req *request, old *entry) ([]byte, error) {
	learnt := make(chan []byte, 1)
	if !f.background(func() {
		answer, err := f.learn(f.ctx, req)
		if err != nil {
			f.cache.inVain(old)
		}
		learnt <- answer
	}) {
		return old.late(query), nil
	}
	timer := time.NewTimer(staleAfter)
	defer timer.Stop()
	select {
	case answer := <-learnt:
		if answer == nil {
			return old.late(query), nil
		}
		copy(answer[:2], query[:2])
		copy(answer[headerLen:req.end], query[headerLen:req.end])
		return answer, nil
	case <-timer.C:
		f.cache.inVain(old)
		return old.late(query), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// renew asks for what is used and about to expire, so that nobody has to wait.
func (f *Forwarder) renew(req *request) {
	f.background(func() { f.learn(f.ctx, req) })
}

// background runs work unless the forwarder is closed or busy with much of it.
func (f *Forwarder) background(work func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.behind >= maxBehind {
		return false
	}
	f.behind++
	f.work.Go(func() {
		work()
		f.mu.Lock()
		f.behind--
		f.mu.Unlock()
	})
	return true
}

const maxBehind = 64 // questions asked that nobody waits for
