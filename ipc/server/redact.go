package server

import (
	"cmp"
	"slices"

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
		n.Exit.Local, n.Exit.AllowLAN = nil, nil
		for j := range n.Peers {
			p := &n.Peers[j]
			p.Endpoint, p.RxBytes, p.TxBytes, p.LastHandshake = nil, nil, nil, nil
		}
	}
	return &out
}
