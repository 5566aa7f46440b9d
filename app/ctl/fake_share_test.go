package main

import (
	"net/netip"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// shares are one given and accepted, one that waits for the owner's word, one
// received, and one received that was taken back.
func shares() []ipc.Share {
	until, by := now.Add(7*24*time.Hour), now.Add(24*time.Hour)
	addr := netip.MustParseAddr("fd00:1::2")
	given := ipc.Share{
		ID: "0123456789abcdef0123456789abcdef", Name: "nas", Network: "home", Direction: "out", State: ipc.ShareActive, Label: "anna",
		Devices: []ipc.SharedDevice{{Name: "nas", IPv6: &addr, Online: true, Path: ipc.PathLAN}}, Ports: []string{"80/tcp", "445/tcp"},
		Expires: &until, LastUsed: new(now.Add(-time.Hour)), Guests: []ipc.Guest{{Label: "phone"}, {Label: "tablet"}}, MaxGuests: 16,
	}
	given.Refused = []ipc.Refusal{
		{At: now.Add(-time.Minute), Code: ipc.CodeLinkUsed, Text: "the share was accepted by somebody already", Label: "eve", Key: "0011223344", Link: true, Device: "nas", Count: 3},
		{At: now.Add(-2 * time.Hour), Code: ipc.CodePassInvalid, Text: "pass: malformed: 40 bytes", Device: "desk", Count: 1},
	}
	confirm := given
	confirm.Refused = nil
	confirm.ID, confirm.State, confirm.Label, confirm.Words, confirm.Guests = "fedcba98", ipc.ShareConfirm, "bob", []string{"zoo", "able", "cat", "door"}, nil
	confirm.LastUsed, confirm.Expires, confirm.Ports, confirm.Both, confirm.Exit = nil, nil, []string{"all"}, true, true
	pending := given
	pending.ID, pending.State, pending.Label, pending.Guests, pending.Refused, pending.AcceptBy = "11111111", ipc.SharePending, "", nil, nil, &by
	pending.Why, pending.WhyArgs = new(ipc.CodePolicy), map[string]string{"network": "home"}
	in := given
	in.ID, in.Direction, in.Network, in.FQDN, in.Guests, in.Refused = "22222222", "in", "home-2", "nas.home-2.internal", nil, nil
	in.Devices = []ipc.SharedDevice{{Name: "nas", FQDN: "nas.home-2.internal", IPv6: &addr, IPv4: new(netip.MustParseAddr("100.80.3.4")), Path: ipc.PathRelayed, Exit: true}}
	in.Exit = true
	gone := in
	gone.ID, gone.State, gone.Why = "33333333", ipc.ShareRevoked, new(ipc.CodeShareRevoked)
	return []ipc.Share{given, confirm, pending, in, gone}
}

// serveShares answers the verbs on shares.
func (f *fake) serveShares(s *server.Server) {
	all := shares()
	handle(f, s, ipc.VerbShareCreate, func(r ipc.ShareRequest) ipc.ShareAnswer {
		sh := all[2]
		sh.Ports, sh.Exit, sh.Both = r.Ports, r.Exit, r.Both
		return ipc.ShareAnswer{Schema: ipc.Schema, Link: "kith://share/AAAA", Share: sh}
	})
	handle(f, s, ipc.VerbShareAccept, func(r ipc.ShareAcceptRequest) ipc.ShareAnswer {
		if f.pending {
			return ipc.ShareAnswer{Schema: ipc.Schema, Share: all[1]}
		}
		return ipc.ShareAnswer{Schema: ipc.Schema, Share: all[3]}
	})
	handle(f, s, ipc.VerbShareList, func(ipc.NetworkRequest) ipc.ShareList { return ipc.ShareList{Schema: ipc.Schema, Shares: all} })
	for _, v := range []ipc.Verb{ipc.VerbShareApprove, ipc.VerbShareLimit, ipc.VerbShareRevoke, ipc.VerbShareRemove} {
		handle(f, s, v, func(ipc.ShareIDRequest) ipc.ShareAnswer { return ipc.ShareAnswer{Schema: ipc.Schema, Share: all[0]} })
	}
}
