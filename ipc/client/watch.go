package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"kith.internal/ipc"
)

// Link is how a watcher stands with the helper.
type Link string

const (
	LinkConnecting Link = "connecting" // the first try is under way
	LinkUp         Link = "up"
	LinkDown       Link = "down"    // no helper; tried again by itself
	LinkVersion    Link = "version" // it speaks another protocol; tried again by itself
)

// Update is what a watcher knows. An Update and all in it may be kept, and must
// not be changed.
type Update struct {
	Link   Link
	Status *ipc.Status // with LinkUp; with LinkVersion as far as it could be read
	Err    error       // why not up; holds an *ipc.Error
	Helper string      // its build where known
}

const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
)

// Watch keeps a copy of the helper's state and yields it with each change,
// first LinkConnecting. It connects anew by itself and ends with ctx or the
// loop. Whoever takes long in the loop gets fewer, larger changes or is
// disconnected for a moment.
func (c *Client) Watch(ctx context.Context) iter.Seq[Update] {
	return func(yield func(Update) bool) {
		if !yield(Update{Link: LinkConnecting}) {
			return
		}
		var shown Update // the last one that was not up
		wait := retryFirst
		for {
			up, err := c.follow(ctx, yield)
			if errors.Is(err, errStopped) || ctx.Err() != nil {
				return
			}
			if up {
				wait, shown = retryFirst, Update{}
			}
			u := c.why(ctx, err)
			if ctx.Err() != nil {
				return
			}
			if u.Link != shown.Link || u.Helper != shown.Helper || ipc.CodeOf(u.Err) != ipc.CodeOf(shown.Err) {
				if !yield(u) {
					return
				}
				shown = u
			}
			if pause(ctx, wait) != nil {
				return
			}
			wait = min(2*wait, retryMost)
		}
	}
}

var errStopped = errors.New("the loop ended")

// follow reads one stream; up tells whether it began.
func (c *Client) follow(ctx context.Context, yield func(Update) bool) (up bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(c.opts.Timeout, cancel) // the first event comes at once
	defer late.Stop()
	resp, err := c.do(ctx, ipc.VerbWatch, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	in := events{in: newStream(resp.Body, c.opts.Keep)}
	for {
		st, err := in.next()
		if err != nil {
			return up, c.broken(ctx, err)
		}
		up = true
		late.Stop()
		if !yield(Update{Link: LinkUp, Status: st, Helper: st.Version}) {
			return up, errStopped
		}
	}
}

// why says how we stand after follow failed with err. A helper of another
// version still tells its version and status.
func (c *Client) why(ctx context.Context, err error) Update {
	u := Update{Link: LinkDown, Err: err}
	if ipc.CodeOf(err) != ipc.CodeVersion {
		return u
	}
	u.Link = LinkVersion
	if v, err := c.Version(ctx); err == nil {
		u.Helper = v.Version
	}
	if st, err := c.Status(ctx); err == nil {
		u.Status = &st
	}
	return u
}

// events turns a stream of events into states.
type events struct {
	in  *stream
	st  ipc.Status
	rev uint64
}

// next returns a state of its own, sharing with earlier ones what did not
// change.
func (e *events) next() (*ipc.Status, error) {
	ev, err := e.in.next()
	if err != nil {
		return nil, err
	}
	if ev.Snapshot == nil && ev.Rev != e.rev+1 {
		return nil, fmt.Errorf("%w: revision %d after %d", errOutOfStep, ev.Rev, e.rev)
	}
	st, err := Apply(e.st, ev)
	if err != nil {
		return nil, err
	}
	e.st, e.rev = st, ev.Rev
	return &st, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
