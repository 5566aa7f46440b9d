//go:build gui

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

const shareLink = "kith://share/AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"

// net changes the first network.
func (h *helper) net(f func(*ipc.Network)) {
	h.change(func(st *ipc.Status) {
		n := st.Networks[0]
		n.Peers = append([]ipc.Peer(nil), n.Peers...)
		f(&n)
		st.Networks[0] = n
	})
}

// exitDies lets a peer go offline that is the exit node in use.
func (h *helper) exitDies(peer int) {
	h.net(func(n *ipc.Network) { n.Exit.State, n.Peers[peer].Online = ipc.ExitBlocked, false })
	h.change(func(st *ipc.Status) {
		st.Health = []ipc.Health{{Code: ipc.HealthExitBlocked, Severity: ipc.SeverityError, Args: map[string]string{"device": st.Networks[0].Peers[peer].Name, "why": "offline"}}}
	})
}

// pages are the verbs of exit nodes, shares, nearby joining, names and rules.
func (h *helper) pages(s *server.Server) {
	server.Handle(s, ipc.VerbExitUse, func(_ context.Context, _ server.Caller, r ipc.ExitUseRequest) (ipc.ExitAnswer, error) {
		h.called("exit use " + r.Device)
		h.change(func(st *ipc.Status) { st.Health = nil })
		h.net(func(n *ipc.Network) {
			for _, p := range n.Peers {
				if p.Key == r.Device {
					n.Exit.Using, n.Exit.State = ptr(p.Name), ipc.ExitOn
					n.Exit.Recent = append([]string{p.Name}, n.Exit.Recent...)
				}
			}
			if r.AllowLAN != nil {
				n.Exit.LANAllowed, n.Exit.AllowLAN = *r.AllowLAN, []netip.Prefix{}
				if *r.AllowLAN {
					n.Exit.AllowLAN = []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}
				}
			}
		})
		return ipc.ExitAnswer{}, nil
	})
	server.Handle(s, ipc.VerbExitOff, func(context.Context, server.Caller, ipc.NetworkRequest) (ipc.ExitAnswer, error) {
		h.called("exit off")
		h.change(func(st *ipc.Status) { st.Health = nil })
		h.net(func(n *ipc.Network) { n.Exit.Using, n.Exit.State = nil, ipc.ExitOff })
		return ipc.ExitAnswer{}, nil
	})
	server.Handle(s, ipc.VerbShareCreate, func(_ context.Context, _ server.Caller, r ipc.ShareRequest) (ipc.ShareAnswer, error) {
		name := ""
		h.net(func(n *ipc.Network) {
			for _, p := range n.Peers {
				if p.Key == r.Devices[0] {
					name = p.Name
				}
			}
		})
		h.called(fmt.Sprint("share ", name, " ", r.Ports))
		sh := ipc.Share{ID: "s1", Name: name, Network: "home", Direction: "out", State: ipc.SharePending, Ports: r.Ports,
			Devices: []ipc.SharedDevice{{Name: name}}, AcceptBy: ptr(time.Now().Add(24 * time.Hour))}
		h.net(func(n *ipc.Network) { n.Shares = []ipc.Share{sh} })
		return ipc.ShareAnswer{Link: shareLink, Share: sh}, nil
	})
	server.Handle(s, ipc.VerbShareAccept, func(_ context.Context, _ server.Caller, r ipc.ShareAcceptRequest) (ipc.ShareAnswer, error) {
		h.called("accept " + r.Label)
		sh := ipc.Share{ID: "s9", Name: "media", FQDN: "media.oak.internal", Network: "oak", Direction: "in", State: ipc.ShareActive, Label: "Chris", Ports: []string{"all"},
			Devices: []ipc.SharedDevice{{Name: "media", FQDN: "media.oak.internal", Online: true, Path: ipc.PathDirect, LatencyMS: ptr(20.0)}}}
		h.net(func(n *ipc.Network) { n.Shares = append([]ipc.Share{sh}, n.Shares...) })
		return ipc.ShareAnswer{Share: sh}, nil
	})
	server.Handle(s, ipc.VerbShareApprove, func(_ context.Context, _ server.Caller, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
		h.called("share approve " + r.Share)
		h.net(func(n *ipc.Network) {
			sh := n.Shares[len(n.Shares)-1]
			sh.State = ipc.ShareActive
			n.Shares = append(append([]ipc.Share(nil), n.Shares[:len(n.Shares)-1]...), sh)
		})
		return ipc.ShareAnswer{}, nil
	})
	server.Handle(s, ipc.VerbNearbyOpen, func(context.Context, server.Caller, ipc.NearbyOpenRequest) (ipc.NearbyList, error) {
		h.called("nearby open")
		h.change(func(st *ipc.Status) {
			st.Nearby.Open = []ipc.NearbyOpen{{Network: "home", Until: time.Now().Add(10 * time.Minute), Left: 3}}
		})
		return ipc.NearbyList{}, nil
	})
	server.Handle(s, ipc.VerbNearbyApprove, func(_ context.Context, _ server.Caller, r ipc.NearbyApproveRequest) (ipc.NearbyList, error) {
		h.called(fmt.Sprintf("nearby approve %s %v", r.ID, !r.Refuse))
		h.change(func(st *ipc.Status) { st.Nearby.Asking = nil })
		return ipc.NearbyList{}, nil
	})
	server.Handle(s, ipc.VerbNearbyJoin, func(ctx context.Context, _ server.Caller, r ipc.NearbyJoinRequest) (ipc.NetworkAnswer, error) {
		h.called(fmt.Sprintf("nearby join %s %v", r.Device, r.Confirm))
		h.change(func(st *ipc.Status) {
			n := st.Nearby.Networks[0]
			n.Digits = ptr("417302")
			st.Nearby.Networks = []ipc.NearbyNetwork{n}
		})
		select {
		case <-h.joined:
		case <-ctx.Done():
			return ipc.NetworkAnswer{}, ctx.Err()
		}
		n := home(r.Device)
		n.Self.Role, n.Peers = ipc.RolePlain, peers()
		h.change(func(st *ipc.Status) { st.Nearby.Networks, st.Networks = nil, []ipc.Network{n} })
		return ipc.NetworkAnswer{Network: n}, nil
	})
	server.Handle(s, ipc.VerbPolicyReach, func(context.Context, server.Caller, ipc.ReachRequest) (ipc.ReachAnswer, error) {
		return ipc.ReachAnswer{From: []ipc.PolicyChange{{From: "laptop", Ports: []string{"all"}}}}, nil
	})
	server.Handle(s, ipc.VerbPolicyShow, func(context.Context, server.Caller, ipc.NetworkRequest) (ipc.PolicyAnswer, error) {
		return ipc.PolicyAnswer{}, nil
	})
	server.Handle(s, ipc.VerbDNSList, func(context.Context, server.Caller, ipc.NetworkRequest) (ipc.DNSRecordsAnswer, error) {
		return ipc.DNSRecordsAnswer{Records: []ipc.DNSRecords{}}, nil
	})
}
