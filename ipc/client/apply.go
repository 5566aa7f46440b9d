package client

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"kith.internal/ipc"
)

// errOutOfStep is for an event that does not fit the state it is applied to.
var errOutOfStep = errors.New("the helper's events do not fit together")

// Apply returns the state after ev. It leaves st as it is and shares with the
// result what did not change. It does not look at revisions.
func Apply(st ipc.Status, ev ipc.Event) (ipc.Status, error) {
	if ev.Snapshot != nil {
		st = *ev.Snapshot
	}
	if st.Schema == 0 {
		return st, fmt.Errorf("%w: no snapshot", errOutOfStep)
	}
	if ev.State != nil {
		st.State = *ev.State
	}
	if ev.May != nil {
		st.May = *ev.May
	}
	if ev.Nearby != nil {
		st.Nearby = *ev.Nearby
	}
	if ev.Portal != nil {
		st.Portal = *ev.Portal
	}
	if ev.Joining != nil {
		st.Joining = *ev.Joining
	}
	if ev.Health != nil {
		st.Health = *ev.Health
	}
	if len(ev.Networks)+len(ev.Peers)+len(ev.Removed) == 0 {
		return st, nil
	}
	nets, err := applyNetworks(slices.Clone(st.Networks), ev)
	if err != nil {
		return st, err
	}
	st.Networks = nets
	return st, nil
}

// applyNetworks may change nets, but not what it holds.
func applyNetworks(nets []ipc.Network, ev ipc.Event) ([]ipc.Network, error) {
	for _, id := range ev.Removed {
		i := indexNetwork(nets, id)
		if i < 0 {
			return nil, fmt.Errorf("%w: an unknown network is gone", errOutOfStep)
		}
		nets = slices.Delete(nets, i, i+1)
	}
	for _, n := range ev.Networks {
		if i := indexNetwork(nets, n.ID); i >= 0 {
			nets[i] = n
		} else {
			nets = append(nets, n)
		}
	}
	slices.SortFunc(nets, func(a, b ipc.Network) int {
		return cmp.Or(cmp.Compare(a.Alias, b.Alias), cmp.Compare(a.ID, b.ID))
	})
	changed := map[string]map[string]ipc.Peer{} // network ID -> key -> peer
	for _, d := range ev.Peers {
		if changed[d.Network] == nil {
			changed[d.Network] = map[string]ipc.Peer{}
		}
		changed[d.Network][d.Peer.Key] = d.Peer
	}
	for id, peers := range changed {
		i := indexNetwork(nets, id)
		if i < 0 {
			return nil, fmt.Errorf("%w: a peer of an unknown network", errOutOfStep)
		}
		nets[i].Peers = applyPeers(nets[i].Peers, peers)
	}
	return nets, nil
}

func applyPeers(old []ipc.Peer, changed map[string]ipc.Peer) []ipc.Peer {
	out := make([]ipc.Peer, 0, len(old)+len(changed))
	for _, p := range old {
		if n, ok := changed[p.Key]; ok {
			p = n
			delete(changed, p.Key)
		}
		out = append(out, p)
	}
	for _, p := range changed {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b ipc.Peer) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
	})
	return out
}

func indexNetwork(nets []ipc.Network, id string) int {
	return slices.IndexFunc(nets, func(n ipc.Network) bool { return n.ID == id })
}
