package server

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"kith.internal/ipc"
)

// redact is st as a caller with the rights may sees it: networks by alias,
// peers by name, and without RightOperate no endpoints, local networks, traffic or
// shares. st stays as it is.
func redact(st *ipc.Status, may []ipc.Right) *ipc.Status {
	out := *st
	out.May = may
	out.Networks = slices.Clone(st.Networks)
	slices.SortFunc(out.Networks, func(a, b ipc.Network) int {
		return cmp.Or(cmp.Compare(a.Alias, b.Alias), cmp.Compare(a.ID, b.ID))
	})
	operator := slices.Contains(may, ipc.RightOperate)
	if !operator {
		out.Nearby = ipc.Nearby{}
		out.Health = slices.Clone(st.Health)
		for i := range out.Health {
			hideAddress(&out.Health[i])
		}
	}
	for i := range out.Networks {
		n := &out.Networks[i]
		byName := func(a, b ipc.Peer) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
		}
		if !operator || !slices.IsSortedFunc(n.Peers, byName) {
			n.Peers = slices.Clone(n.Peers)
			slices.SortFunc(n.Peers, byName)
		}
		if operator {
			continue
		}
		n.Shares = nil
		n.Relay.Advertised, n.Relay.Listen, n.Relay.Limit = nil, "", 0
		n.Exit.Local, n.Exit.AllowLAN, n.Exit.LANs = nil, nil, nil
		for j := range n.Peers {
			p := &n.Peers[j]
			p.Endpoint, p.RxBytes, p.TxBytes, p.LastHandshake = nil, nil, nil, nil
		}
	}
	return &out
}

// addressOf is the argument of a warning that is an endpoint.
var addressOf = map[string]string{ipc.HealthRelayHidden: "addr", ipc.HealthSTUNLies: "server"}

// hideAddress takes an endpoint out of a warning, and of its text.
func hideAddress(h *ipc.Health) {
	arg := addressOf[h.Code]
	addr := h.Args[arg]
	if addr == "" {
		return
	}
	h.Args = maps.Clone(h.Args)
	h.Args[arg] = "…"
	h.Text = strings.ReplaceAll(h.Text, addr, "…")
}
