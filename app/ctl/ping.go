package main

import (
	"context"
	"errors"
	"fmt"

	"kith.internal/ipc"
)

type pingCmd struct {
	Host        string `arg:"" help:"A device's name, full name or overlay address."`
	Count       *int   `short:"c" help:"How many echoes to send, 4 otherwise." placeholder:"N"`
	UntilDirect bool   `help:"End at the first answer on a lan or direct path, or after a minute."`
}

func (c *pingCmd) Validate() error {
	if c.Count != nil && (*c.Count < 1 || *c.Count > ipc.PingCount) {
		return fmt.Errorf("the count is a number from 1 to %d", ipc.PingCount)
	}
	return nil
}

// tally is what a ping comes to.
type tally struct {
	Schema   int             `json:"schema"`
	Host     string          `json:"host"`
	Sent     int             `json:"sent"`
	Received int             `json:"received"`
	Direct   bool            `json:"direct"` // some answer came on a lan or direct path
	Why      *ipc.WhyNot     `json:"why"`    // why the last one did not
	MinMS    *float64        `json:"min_ms"`
	AvgMS    *float64        `json:"avg_ms"`
	MaxMS    *float64        `json:"max_ms"`
	Replies  []ipc.PingReply `json:"replies"`
}

func (c *pingCmd) Run(a *app) error {
	count := 0 // the helper's own
	if c.Count != nil {
		count = *c.Count
	}
	t := tally{Schema: ipc.Schema, Host: c.Host, Replies: []ipc.PingReply{}}
	err := a.client.Ping(a.ctx, ipc.PingRequest{
		Network: a.Network, Host: c.Host, Count: count, UntilDirect: c.UntilDirect,
	}, func(r ipc.PingReply) error {
		if a.JSON {
			t.Replies = append(t.Replies, r)
		} else {
			if t.Sent == 0 {
				fmt.Fprintf(a.out, "PING %s (%s)\n", clean(r.Name), addr(r))
			}
			fmt.Fprintln(a.out, reply(r))
		}
		t.add(r)
		return nil
	})
	// An interrupt ends a ping as its count does, once there is something to
	// tell; so does the helper's word that nothing answered.
	told := errors.Is(err, context.Canceled) || ipc.CodeOf(err) == ipc.CodeNotConnected
	if err != nil && !(told && t.Sent > 0) {
		return err
	}
	if a.JSON {
		if err := a.json(t); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(a.out, t)
	}
	switch {
	case t.Received == 0:
		return ipc.Errorf(ipc.CodeNotConnected, "%s does not answer", clean(c.Host))
	case c.UntilDirect && !t.Direct:
		why := "kith diag may say why"
		if t.Why != nil {
			why = "the reason: " + clean(whyNot(t.Why))
		}
		a.note("%s answers, but not on a direct path; %s.", clean(c.Host), why)
		return silent(ipc.ExitFailed)
	}
	return nil
}

func (t *tally) add(r ipc.PingReply) {
	t.Sent++
	if r.RTTMS == nil {
		return
	}
	ms := *r.RTTMS
	t.Received++
	t.Why = r.Why
	t.Direct = t.Direct || r.Path == ipc.PathLAN || r.Path == ipc.PathDirect
	if t.Received == 1 {
		t.MinMS, t.AvgMS, t.MaxMS = new(ms), new(ms), new(ms)
		return
	}
	*t.MinMS, *t.MaxMS = min(*t.MinMS, ms), max(*t.MaxMS, ms)
	*t.AvgMS += (ms - *t.AvgMS) / float64(t.Received)
}

func (t tally) String() string {
	s := fmt.Sprintf("--- %s: %d sent, %d answered, %d%% lost", clean(t.Host), t.Sent, t.Received, 100*(t.Sent-t.Received)/max(t.Sent, 1))
	if t.Received > 0 {
		s += fmt.Sprintf(", min/avg/max %.1f/%.1f/%.1f ms", *t.MinMS, *t.AvgMS, *t.MaxMS)
	}
	return s
}

func addr(r ipc.PingReply) string {
	if !r.Addr.IsValid() {
		return "-"
	}
	return r.Addr.String()
}

func reply(r ipc.PingReply) string {
	if r.RTTMS == nil {
		return fmt.Sprintf("no answer from %s: seq=%d", addr(r), r.Seq)
	}
	s := fmt.Sprintf("from %s: seq=%d time=%.1f ms path=%s", addr(r), r.Seq, *r.RTTMS, clean(string(r.Path)))
	if r.Via != nil {
		s += " via " + clean(*r.Via)
	}
	if r.Endpoint != nil {
		s += " " + r.Endpoint.String()
	}
	return s
}
