package main

import (
	"context"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// serveNearby answers what is asked of joining without a link.
func (f *fake) serveNearby(s *server.Server) {
	until := time.Date(2026, 3, 1, 12, 10, 0, 0, time.UTC)
	list := func() ipc.NearbyList {
		if len(f.status.Networks) == 0 {
			return ipc.NearbyList{}
		}
		return ipc.NearbyList{Nearby: ipc.Nearby{
			Open:     []ipc.NearbyOpen{{Network: "home", Until: until, Left: 3}},
			Networks: []ipc.NearbyNetwork{{ID: "n1", Name: "office", By: "desk", Until: until, Digits: new("135790")}, {ID: "n2", Name: "club", By: "pi", Until: until, Code: new(ipc.CodeRefused)}},
			Asking:   []ipc.NearbyAsking{{ID: "a1", Network: "home", Name: "phone", OS: "linux", Digits: "246802"}},
		}}
	}
	handle(f, s, ipc.VerbNearbyOpen, func(r ipc.NearbyOpenRequest) ipc.NearbyList {
		l := list()
		if r.Close {
			l.Open = nil
		}
		return l
	})
	handle(f, s, ipc.VerbNearbyList, func(ipc.NetworkRequest) ipc.NearbyList { return list() })
	word := make(chan ipc.NearbyApproveRequest, 1)
	handle(f, s, ipc.VerbNearbyApprove, func(r ipc.NearbyApproveRequest) ipc.NearbyList {
		word <- r
		return ipc.NearbyList{}
	})
	server.Handle(s, ipc.VerbNearbyJoin, func(_ context.Context, _ server.Caller, r ipc.NearbyJoinRequest) (ipc.NetworkAnswer, error) {
		if r.Confirm && (<-word).Refuse {
			return ipc.NetworkAnswer{}, ipc.Errorf(ipc.CodeDigitsDiffer, "the digits differ")
		}
		return ipc.NetworkAnswer{Network: f.status.Networks[0]}, nil
	})
}
