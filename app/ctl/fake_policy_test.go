package main

import (
	"strings"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// servePolicy answers the verbs on the policy: one that says "bad" is refused.
func (f *fake) servePolicy(s *server.Server) {
	handle(f, s, ipc.VerbPolicyShow, func(ipc.NetworkRequest) ipc.PolicyAnswer {
		if f.pending {
			return ipc.PolicyAnswer{Schema: ipc.Schema}
		}
		return ipc.PolicyAnswer{Schema: ipc.Schema, Text: "{\n\t\"allow\": [] // nothing\x1b\n}\n", SetBy: "nas"}
	})
	handle(f, s, ipc.VerbPolicySet, func(r ipc.PolicyRequest) ipc.PolicyAnswer {
		a := ipc.PolicyAnswer{Schema: ipc.Schema, Text: r.Text, SetBy: "laptop"}
		if strings.Contains(r.Text, "bad") {
			a.Faults = []ipc.PolicyFault{{Line: 3, Column: 7, Code: "unknown-tag", Text: `no device has the tag "sever"`}, {Code: "locks-out", Text: "no owner or admin could open a connection to any other device"}}
			return a
		}
		if r.Text != "" {
			a.Loses = []ipc.PolicyChange{{From: "phone", To: "nas", Ports: []string{"1-442/tcp", "icmp"}}}
			a.Gains, a.MoreLoses = []ipc.PolicyChange{{From: "friend", To: "nas", Ports: []string{"all"}}}, 12
		}
		a.Partial = strings.Contains(r.Text, "crowd")
		a.Set = !r.DryRun
		return a
	})
	handle(f, s, ipc.VerbPolicyReach, func(r ipc.ReachRequest) ipc.ReachAnswer {
		a := ipc.ReachAnswer{Schema: ipc.Schema, Device: "nas", To: []ipc.PolicyChange{{From: "nas", To: "internet", Ports: []string{"443/tcp"}}}}
		if r.Device != "" {
			a.From = []ipc.PolicyChange{{From: "laptop", To: "nas", Ports: []string{"all"}}}
		}
		return a
	})
}
