package engine

import (
	"context"

	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// PolicyShow is the policy in the roster, and whether this device can read it.
func (e *Engine) PolicyShow(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.PolicyAnswer, error) {
	return call(ctx, e, func() (ipc.PolicyAnswer, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.PolicyAnswer{}, err
		}
		n.readPolicy()
		a := n.policyAnswer()
		if n.policy.fault != nil {
			a.Faults = faults([]filter.Fault{*n.policy.fault})
		}
		return a, nil
	})
}

func (n *network) policyAnswer() ipc.PolicyAnswer {
	v := n.book.View()
	a := ipc.PolicyAnswer{Schema: ipc.Schema, Text: string(v.Policy)}
	if r := v.Setter(roster.KeyPolicy); r != nil && len(v.Policy) > 0 {
		a.SetBy = v.NameOf(r.Author)
	}
	return a
}

// PolicySet checks a policy and, unless that is all, signs it. What it would
// change is compared off the actor: among thousands of members that takes a while.
func (e *Engine) PolicySet(ctx context.Context, _ server.Caller, req ipc.PolicyRequest) (ipc.PolicyAnswer, error) {
	type now struct {
		n   *network
		a   ipc.PolicyAnswer
		old *filter.Policy
		w   *filter.World
	}
	s, err := call(ctx, e, func() (s now, err error) {
		if s.n, err = e.named(req.Network); err != nil {
			return s, err
		}
		if s.n.me() == nil {
			return s, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", s.n.alias)
		}
		s.a, s.old, s.w = s.n.policyAnswer(), s.n.policyInForce(), s.n.everyone()
		return s, nil
	})
	if err != nil {
		return ipc.PolicyAnswer{}, err
	}
	next, wrong := filter.Parse([]byte(req.Text))
	if next != nil {
		wrong = filter.Check(next, s.w)
		c := filter.Compare(s.old, next, s.w)
		s.a.Gains, s.a.Loses = changes(c.Gains), changes(c.Loses)
		s.a.MoreGains, s.a.MoreLoses, s.a.Partial = c.MoreGains, c.MoreLoses, c.Partial
	}
	if s.a.Faults = faults(wrong); len(wrong) > 0 || req.DryRun {
		return s.a, nil
	}
	return call(ctx, e, func() (ipc.PolicyAnswer, error) {
		if err := s.n.write(func(a *roster.Author) error { _, err := a.SetPolicy([]byte(req.Text)); return err }); err != nil {
			return ipc.PolicyAnswer{}, err
		}
		s.n.refresh()
		a := s.n.policyAnswer()
		a.Gains, a.Loses, a.MoreGains, a.MoreLoses, a.Partial = s.a.Gains, s.a.Loses, s.a.MoreGains, s.a.MoreLoses, s.a.Partial
		a.Set = true
		return a, nil
	})
}

// PolicyReach tells who may open connections to a device, and where it may.
func (e *Engine) PolicyReach(ctx context.Context, _ server.Caller, req ipc.ReachRequest) (ipc.ReachAnswer, error) {
	return call(ctx, e, func() (ipc.ReachAnswer, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.ReachAnswer{}, err
		}
		k := n.self
		if req.Device != "" {
			if k, err = n.deviceNamed(req.Device); err != nil {
				return ipc.ReachAnswer{}, err
			}
		}
		m := n.book.View().Member(k)
		if m == nil {
			return ipc.ReachAnswer{}, ipc.Errorf(ipc.CodeNotFound, "%s has no such device", n.alias)
		}
		from, to := filter.Reach(n.policyInForce(), n.everyone(), m.Name)
		if k == n.self && n.set.Shields {
			from = nil
		}
		return ipc.ReachAnswer{Schema: ipc.Schema, Device: m.Name, From: changes(from), To: changes(to)}, nil
	})
}

func faults(list []filter.Fault) []ipc.PolicyFault {
	out := make([]ipc.PolicyFault, len(list))
	for i, f := range list {
		out[i] = ipc.PolicyFault{Line: f.Line, Column: f.Column, Code: f.Code, Text: f.Text}
	}
	return out
}

func changes(list []filter.Change) []ipc.PolicyChange {
	out := make([]ipc.PolicyChange, len(list))
	for i, c := range list {
		out[i] = ipc.PolicyChange{From: c.From, To: c.To, Ports: c.Ports.Strings()}
	}
	return out
}
