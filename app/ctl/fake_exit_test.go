package main

import (
	"net/netip"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// serveExit answers what is asked of exit nodes and routes.
func (f *fake) serveExit(s *server.Server) {
	exits := func() ipc.ExitAnswer {
		if len(f.status.Networks) > 0 {
			return ipc.ExitAnswer{Exit: f.status.Networks[0].Exit}
		}
		return ipc.ExitAnswer{Exit: ipc.Exit{State: ipc.ExitOff}}
	}
	handle(f, s, ipc.VerbExitUse, func(r ipc.ExitUseRequest) ipc.ExitAnswer {
		ans := exits()
		if r.Device == "" && r.AllowLAN != nil {
			ans.Exit.LANAllowed, ans.Exit.LANs = *r.AllowLAN, r.LANs
		}
		return ans
	})
	handle(f, s, ipc.VerbExitOff, func(ipc.NetworkRequest) ipc.ExitAnswer { return exits() })
	handle(f, s, ipc.VerbExitOffer, func(r ipc.ExitOfferRequest) ipc.ExitAnswer {
		return ipc.ExitAnswer{Exit: ipc.Exit{Offering: r.On, OfferLAN: r.LAN, State: ipc.ExitOff}}
	})
	handle(f, s, ipc.VerbExitApprove, func(r ipc.DeviceRequest) ipc.DeviceAnswer { return ipc.DeviceAnswer{Device: r.Device} })
	routes := func(ipc.RouteRequest) ipc.RouteAnswer { return ipc.RouteAnswer{Routes: exitRoutes()} }
	handle(f, s, ipc.VerbRouteAdd, func(r ipc.RouteRequest) ipc.RouteAnswer {
		return ipc.RouteAnswer{Pending: r.NoSNAT, Routes: exitRoutes()}
	})
	handle(f, s, ipc.VerbRouteRemove, routes)
	handle(f, s, ipc.VerbRouteApprove, routes)
	handle(f, s, ipc.VerbRouteAccept, routes)
}

// exitRoutes has a subnet in each state.
func exitRoutes() []ipc.Route {
	p := netip.MustParsePrefix
	return []ipc.Route{
		{Prefix: p("10.9.0.0/16"), Device: "nas", Approved: true, Accepted: true, Active: true},
		{Prefix: p("10.9.0.0/16"), Device: "vps", Approved: true, Accepted: true},
		{Prefix: p("192.168.1.0/24"), Device: "nas", Approved: true, Accepted: true, Conflict: new("eth0")},
		{Prefix: p("192.168.7.0/24"), Device: "laptop", Own: true, SNAT: true, Approved: true, Active: true},
		{Prefix: p("192.168.8.0/24"), Device: "laptop", Own: true},
		{Prefix: p("fd12::/48"), Device: "vps", Approved: true},
	}
}

// exiting is running with an exit node in a state.
func exiting(state ipc.ExitState) ipc.Status {
	st := running()
	n := &st.Networks[0]
	n.Exit = ipc.Exit{Using: new("nas"), State: state, LANAllowed: true, AllowLAN: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}, Recent: []string{"vps", "nas"}}
	n.Routes = exitRoutes()
	n.Shares, n.Shields = shares(), true
	for i := range n.Peers {
		n.Peers[i].Exit = n.Peers[i].Name == "nas" || n.Peers[i].Name == "vps"
	}
	return st
}
