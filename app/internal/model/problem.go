package model

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// problems lists what is wrong, worst first, and when that list changes by
// time alone.
func (s State) problems(now time.Time) (list []Problem, next time.Time) {
	switch s.link {
	case LinkAbsent:
		if until := s.lost.Add(Settle); !s.lost.IsZero() && now.Before(until) {
			return nil, until
		}
		return []Problem{{Code: "absent", Severity: ipc.SeverityError, Text: text.M("problem.absent"), Action: ActStart}}, next
	case LinkVersions:
		service := s.service
		if service == "" {
			service = "?"
		}
		m := text.M("problem.versions", "app", s.app, "service", service)
		return []Problem{{Code: "versions", Severity: ipc.SeverityError, Text: m, Action: ActRestart}}, next
	case LinkRefused:
		return []Problem{{Code: "refused", Severity: ipc.SeverityError, Text: text.M("problem.refused"), Action: ActAllow}}, next
	}
	if !s.have || s.link != LinkUp {
		return nil, next
	}
	for _, h := range s.status.Health {
		list = append(list, problem(h, s.status.Networks))
	}
	list = append(list, s.derived()...)
	if s.status.State == ipc.StateError && !slices.ContainsFunc(list, func(p Problem) bool { return p.Severity == ipc.SeverityError }) {
		list = append(list, Problem{Code: "error", Severity: ipc.SeverityError, Text: text.M("problem.error"), Action: ActDiagnostics})
	}
	if !slices.Contains(s.status.May, ipc.RightOperate) {
		list = append(list, Problem{Code: "readonly", Severity: ipc.SeverityInfo, Text: text.M("problem.readonly"), Action: ActAllow})
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(a.Code, b.Code))
	})
	return list, next
}

// rank orders problems: severity first, then what hides the others.
func rank(p Problem) int {
	r := map[ipc.Severity]int{ipc.SeverityError: 30, ipc.SeverityWarning: 20, ipc.SeverityInfo: 10}[p.Severity]
	switch p.Code {
	case ipc.HealthNoNetwork:
		r += 5
	case ipc.HealthExitBlocked:
		r += 6 // nothing reaches the internet
	case ipc.HealthRemoved:
		r += 4
	case ipc.HealthClock:
		r += 3
	case ipc.HealthLANOnly:
		r -= 3 // who asks for a person goes first
	case "readonly":
		r -= 5
	}
	return r
}

// problem turns a health entry into one with words and an action.
func problem(h ipc.Health, nets []ipc.Network) Problem {
	args := text.Args{"network": h.Network}
	for k, v := range h.Args {
		args[k] = v
	}
	p := Problem{
		Code: h.Code, Severity: h.Severity, Network: h.Network,
		Text:   text.Msg{Key: text.HealthKey(h.Code), Args: args, Fallback: h.Text},
		Action: ActDiagnostics,
	}
	switch h.Code {
	case ipc.HealthPhrase:
		p.Action = ActPhrase
	case ipc.HealthRemoved:
		p.Action = ActJoin
		if args["by"] == "" {
			p.Text.Key = "health.removed.anon"
		}
		if role, ok := roleOf(nets, args["by"]); ok {
			args["role"] = string(role)
		}
	case ipc.HealthNoNetwork:
		p.Action = ActNone
	case ipc.HealthLANOnly:
		p.Action = ActNone
		near := reachedHere(nets)
		args["n"] = text.Number(near)
		if near == 0 {
			p.Text.Key = "health.lan-only.none"
		}
	case ipc.HealthExpiring:
		p.Action = ActRenew
	case ipc.HealthDNSOverridden:
		p.Action = ActRepair
		if args["by"] == "another program" { // the helper's word for one that it does not know
			p.Text.Key = "health.dns-overridden.anon"
		}
	case ipc.HealthExitBlocked:
		p.Text.Key = blockedKey(args["why"])
		p.Action, p.Other = ActExitOff, ActExits
	case ipc.HealthRouteConflict:
		p.Action = ActRoutes
	case ipc.HealthPortal:
		p.Action = ActSignIn
	case ipc.HealthPortalOpen:
		p.Action = ActSignInDone
	}
	return p
}

// reachedHere counts the devices, friends' among them, that are reached on this
// machine's own networks.
func reachedHere(nets []ipc.Network) (near int) {
	for _, n := range nets {
		for i := range n.Peers {
			if n.Active && n.Peers[i].Online && n.Peers[i].Path == ipc.PathLAN {
				near++
			}
		}
		for _, sh := range n.Shares {
			for _, d := range sh.Devices {
				if n.Active && sh.Direction == "in" && sh.State == ipc.ShareActive && d.Online && d.Path == ipc.PathLAN {
					near++
				}
			}
		}
	}
	return near
}

func roleOf(nets []ipc.Network, name string) (ipc.Role, bool) {
	for _, n := range nets {
		for _, p := range n.Peers {
			if p.Name == name && (p.Role == ipc.RoleOwner || p.Role == ipc.RoleAdmin) {
				return p.Role, true
			}
		}
	}
	return "", false
}

// Say words a problem. Times and spans in its arguments are said as a person
// would.
func Say(c *text.Catalogue, p Problem, now time.Time) string {
	m := p.Text
	m.Args = make(text.Args, len(p.Text.Args))
	for k, v := range p.Text.Args {
		switch {
		case p.Code == ipc.HealthClock && k == "offset":
			v = c.Offset(v)
		case p.Code == ipc.HealthExpiring && k == "at", p.Code == ipc.HealthPortalOpen && k == "until":
			if t, err := time.Parse(time.RFC3339, v); err == nil {
				v = c.When(t, now)
			}
		case p.Code == ipc.HealthRemoved && k == "by" && p.Text.Args["role"] != "":
			v += " (" + strings.ToLower(RoleWord(c, ipc.Role(p.Text.Args["role"]))) + ")"
		}
		m.Args[k] = v
	}
	return c.Say(m)
}

// ActionWord is the word on an action's button, "" for none.
func ActionWord(c *text.Catalogue, a Action) string {
	switch a {
	case ActStart:
		return c.S("action.start")
	case ActRestart:
		return c.S("action.restart")
	case ActAllow:
		return c.S("action.allow")
	case ActPhrase:
		return c.S("action.phrase")
	case ActDiagnostics:
		return c.S("action.diagnostics")
	case ActJoin:
		return c.S("action.join")
	case ActExitOff:
		return c.S("action.exitoff")
	case ActExits:
		return c.S("action.exits")
	case ActRepair:
		return c.S("action.repair")
	case ActRenew:
		return c.S("action.renew")
	case ActRoutes:
		return c.S("action.choose")
	case ActNearby, ActShares:
		return c.S("action.look")
	case ActSignIn:
		return c.S("action.signin")
	case ActSignInDone:
		return c.S("action.signindone")
	}
	return ""
}

// Codes of the problems that the app finds in the helper's state.
const (
	CodeAsking  = "nearby-asking"
	CodeConfirm = "share-confirm"
)

// derived lists what is not a health entry and yet asks for a person.
func (s State) derived() (list []Problem) {
	may := slices.Contains(s.status.May, ipc.RightOperate)
	for _, n := range s.status.Networks {
		for _, sh := range n.Shares {
			if may && sh.Direction == "out" && sh.State == ipc.ShareConfirm {
				list = append(list, Problem{
					Code: CodeConfirm, Severity: ipc.SeverityInfo, Network: alias(n),
					Text: text.M("problem.confirm", "label", sh.Label, "device", sh.Name), Action: ActShares,
				})
			}
		}
	}
	if asking := s.status.Nearby.Asking; may && len(asking) > 0 {
		list = append(list, Problem{
			Code: CodeAsking, Severity: ipc.SeverityInfo, Network: asking[0].Network,
			Text: text.M("problem.asking", "device", asking[0].Name, "network", asking[0].Network), Action: ActNearby,
		})
	}
	return list
}
