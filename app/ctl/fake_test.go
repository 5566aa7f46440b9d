package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
	"kith.internal/ipc/transport"
)

// now is when all tests run.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const phrase = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon " +
	"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art"

// fake is a helper that knows what to answer.
type fake struct {
	status  ipc.Status
	deny    bool
	pending bool // what needs an admin is not granted yet
	pings   []ipc.PingReply
	err     error // what every verb that acts answers, if set

	mu   sync.Mutex
	reqs []any
}

// asked are the requests so far, in order. One that a command gave up may still
// be handled when the command has ended.
func (f *fake) asked() []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reqs)
}

func (f *fake) note(r any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reqs = append(f.reqs, r)
}

func (f *fake) Authorize(_ transport.Identity, v ipc.Verb) error {
	if f.deny && !v.ReadsAcrossVersions() {
		e := ipc.Errorf(ipc.CodePermission, "your account may look but not act")
		if v == ipc.VerbOperatorAdd {
			e.Args = map[string]string{"right": string(ipc.RightMachine)}
		}
		return e
	}
	return nil
}

func (f *fake) Rights(transport.Identity) []ipc.Right {
	if f.deny {
		return nil
	}
	return []ipc.Right{ipc.RightOperate, ipc.RightMachine}
}

func handle[Req, Resp any](f *fake, s *server.Server, v ipc.Verb, fn func(Req) Resp) {
	server.Handle(s, v, func(_ context.Context, _ server.Caller, r Req) (Resp, error) {
		f.note(r)
		return fn(r), f.err
	})
}

// serve returns the fake's socket.
func (f *fake) serve(t *testing.T) string {
	t.Helper()
	s := server.New(server.Config{Version: "1.4.0", Source: server.NewBoard(&f.status), Authorizer: f})
	home := func() ipc.Network {
		if len(f.status.Networks) > 0 {
			return f.status.Networks[0]
		}
		return ipc.Network{Name: "home", Alias: "home", ID: strings.Repeat("1", 64), Self: self()}
	}
	handle(f, s, ipc.VerbCreate, func(r ipc.CreateRequest) ipc.CreateAnswer {
		a := ipc.CreateAnswer{Network: home()}
		if r.ShowPhrase {
			a.Phrase = phrase
		}
		return a
	})
	handle(f, s, ipc.VerbInvite, func(r ipc.InviteRequest) ipc.InviteAnswer {
		return ipc.InviteAnswer{ID: "i1", Link: "kith://join/AAAA", Expires: now.Add(time.Duration(r.Expires) * time.Second)}
	})
	network := func(ipc.NetworkRequest) ipc.NetworkAnswer { return ipc.NetworkAnswer{Network: home()} }
	handle(f, s, ipc.VerbLeave, network)
	handle(f, s, ipc.VerbJoin, func(ipc.JoinRequest) ipc.NetworkAnswer { return network(ipc.NetworkRequest{}) })
	status := func(ipc.NetworkRequest) ipc.Status { return f.status }
	handle(f, s, ipc.VerbUp, func(ipc.UpRequest) ipc.Status { return f.status })
	handle(f, s, ipc.VerbDown, status)
	server.HandleStream(s, ipc.VerbPing, func(_ context.Context, _ server.Caller, r ipc.PingRequest, send func(ipc.PingReply) error) error {
		f.note(r)
		for _, p := range f.pings {
			if err := send(p); err != nil {
				return err
			}
		}
		return f.err
	})
	handle(f, s, ipc.VerbDeviceList, func(ipc.NetworkRequest) ipc.DeviceList { return devices() })
	change := func(r ipc.DeviceRequest) ipc.DeviceAnswer {
		name := r.Name
		if name == "" {
			name = r.Device
		}
		return ipc.DeviceAnswer{Device: name}
	}
	handle(f, s, ipc.VerbDeviceRename, change)
	handle(f, s, ipc.VerbDeviceApprove, func(r ipc.DeviceRequest) ipc.DeviceAnswer { return ipc.DeviceAnswer{Device: "nas"} })
	handle(f, s, ipc.VerbDeviceRenew, func(r ipc.DeviceRequest) ipc.DeviceAnswer {
		return ipc.DeviceAnswer{Device: "laptop", Pending: true}
	})
	handle(f, s, ipc.VerbDeviceRevoke, func(r ipc.DeviceRequest) ipc.DeviceAnswer {
		return ipc.DeviceAnswer{Device: r.Device, Dropped: []string{"tablet", "tv"}, Removal: removal(r.Since, r.DryRun)}
	})
	handle(f, s, ipc.VerbDeviceReadmit, func(r ipc.DeviceRequest) ipc.DeviceAnswer { return ipc.DeviceAnswer{Device: r.Device} })
	handle(f, s, ipc.VerbDeviceRole, func(r ipc.RoleRequest) ipc.RoleAnswer {
		if r.Role == ipc.RolePlain {
			return ipc.RoleAnswer{Device: r.Device, Role: r.Role, Dropped: []string{"tv"}, Demoted: []string{"desk", "den"}}
		}
		return ipc.RoleAnswer{Device: r.Device, Role: r.Role, Dropped: []string{}, Demoted: []string{}}
	})
	handle(f, s, ipc.VerbDeviceTag, func(r ipc.TagRequest) ipc.TagAnswer { return ipc.TagAnswer{Device: r.Device, Tags: r.Add} })
	handle(f, s, ipc.VerbRelayOn, func(r ipc.RelayRequest) ipc.RelayAnswer {
		if f.pending {
			return ipc.RelayAnswer{Relay: ipc.Relay{Pending: true}}
		}
		return ipc.RelayAnswer{Relay: ipc.Relay{On: true, Listen: ":443", Limit: r.Limit, Advertised: []string{or(r.Advertise, "203.0.113.7:443")}}}
	})
	handle(f, s, ipc.VerbRelayOff, func(ipc.NetworkRequest) ipc.RelayAnswer { return ipc.RelayAnswer{} })
	f.serveExit(s)
	f.serveNearby(s)
	handle(f, s, ipc.VerbForward, func(r ipc.ForwardRequest) ipc.ForwardAnswer {
		return ipc.ForwardAnswer{Forward: ipc.Forward{On: r.On, Guests: r.Guests != nil && *r.Guests}}
	})
	handle(f, s, ipc.VerbPortal, func(r ipc.PortalRequest) ipc.PortalAnswer {
		a := ipc.PortalAnswer{Portal: ipc.Portal{Noticed: true, By: "NetworkManager"}}
		if r.Open {
			at := time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC)
			a.Portal.OpenUntil = &at
		}
		return a
	})
	f.serveDNS(s)
	f.serveShares(s)
	f.servePolicy(s)
	handle(f, s, ipc.VerbRoster, func(ipc.NetworkRequest) ipc.RosterList { return roster() })
	handle(f, s, ipc.VerbRecover, func(r ipc.RecoverRequest) ipc.RecoverAnswer {
		if r.Show {
			return ipc.RecoverAnswer{Phrase: phrase}
		}
		return ipc.RecoverAnswer{Owner: !r.DryRun, Dropped: []string{"tv"}, Removal: removal(r.Since, r.DryRun)}
	})
	ops := func(r ipc.OperatorRequest) ipc.OperatorList {
		return ipc.OperatorList{Operators: []string{"alice", r.User}}
	}
	handle(f, s, ipc.VerbOperatorAdd, ops)
	handle(f, s, ipc.VerbOperatorRemove, func(ipc.OperatorRequest) ipc.OperatorList { return ipc.OperatorList{} })
	handle(f, s, ipc.VerbOperatorList, func(struct{}) ipc.OperatorList { return ipc.OperatorList{Operators: []string{"alice"}} })
	handle(f, s, ipc.VerbDiag, func(ipc.NetworkRequest) ipc.Diag { return diagnosis() })

	path := filepath.Join(t.TempDir(), "k.sock")
	ln, err := transport.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func self() ipc.Self {
	return ipc.Self{
		Name: "laptop", FQDN: "laptop.home.internal", IPv4: new(netip.MustParseAddr("100.71.0.1")),
		IPv6: new(netip.MustParseAddr("fd12:3456:789a::1")), DNS: new(netip.MustParseAddrPort("100.71.0.1:53")),
		Role: ipc.RoleOwner, Key: strings.Repeat("a", 64), Port: 41641,
	}
}

func running() ipc.Status {
	peer := func(n int, name string) ipc.Peer {
		return ipc.Peer{
			Name: name, FQDN: name + ".home.internal", Key: strings.Repeat(fmt.Sprint(n), 64), Role: ipc.RolePlain,
			IPv4: new(netip.AddrFrom4([4]byte{100, 71, 0, byte(n)})), IPv6: new(netip.MustParseAddr(fmt.Sprintf("fd12:3456:789a::%d", n))),
			Path: ipc.PathNone,
		}
	}
	nas, phone, vps, evil := peer(2, "nas"), peer(3, "phone"), peer(4, "vps"), peer(5, "x\x1b[2J\u202e")
	nas.Online, nas.Active, nas.Path, nas.LatencyMS = true, true, ipc.PathLAN, new(0.62)
	nas.Endpoint, nas.RxBytes, nas.TxBytes = new(netip.MustParseAddrPort("192.168.1.9:41641")), new(uint64(1_234_567)), new(uint64(890))
	nas.LastHandshake, nas.OS, nas.Tags = new(now.Add(-time.Minute)), new("linux"), []string{"server"}
	phone.LastSeen = new(now.Add(-3 * time.Hour))
	vps.Online, vps.Path, vps.Via, vps.LatencyMS = true, ipc.PathRelayed, new("relay1"), new(48.4)
	vps.Transport, vps.Why = new(ipc.TransportTLS), new(ipc.WhyNoUDP)
	return ipc.Status{
		Version: "1.4.0", State: ipc.StateRunning,
		Networks: []ipc.Network{
			{
				Name: "home", Alias: "home", ID: strings.Repeat("1", 64), Active: true, Self: self(),
				Exit: ipc.Exit{Using: new("vps")}, Peers: []ipc.Peer{nas, phone, vps, evil},
			},
			{
				Name: "home", Alias: "home-2", ID: strings.Repeat("2", 64),
				Self:  ipc.Self{Name: "laptop", FQDN: "laptop.home-2.internal", Role: ipc.RolePlain, Expires: new(now.Add(24 * time.Hour))},
				Relay: ipc.Relay{On: true, Advertised: []string{"vps.example:443"}},
			},
		},
		Joining: []ipc.Joining{{
			Network: "work", ID: strings.Repeat("3", 64), Sponsor: "boss", Stage: ipc.JoinSearching,
			Since: now.Add(-time.Minute), Expires: now.Add(time.Hour),
		}},
		Health: []ipc.Health{
			{Code: ipc.HealthPhrase, Severity: ipc.SeverityWarning, Text: "The root phrase was not shown yet.", Network: "home"},
			{Code: ipc.HealthClock, Severity: ipc.SeverityError, Text: "This computer's clock is 9 minutes off."},
		},
	}
}

func devices() ipc.DeviceList {
	return ipc.DeviceList{Devices: []ipc.Device{
		{
			Name: "laptop", FQDN: "laptop.home.internal", IPv4: new(netip.MustParseAddr("100.71.0.1")), Role: ipc.RoleOwner,
			Key: strings.Repeat("a", 64), Self: true, Online: true, Added: new(now.Add(-48 * time.Hour)), AddedBy: "root",
		},
		{
			Name: "nas", FQDN: "nas.home.internal", IPv6: new(netip.MustParseAddr("fd12:3456:789a::2")), Role: ipc.RolePlain,
			Tags: []string{"server", "home"}, Online: true, Added: new(now.Add(-time.Hour)), AddedBy: "laptop",
			Expires: new(now.Add(720 * time.Hour)), Asks: []ipc.Request{{Kind: "rename", Value: "storage"}, {Kind: "exit"}},
			Key: strings.Repeat("b", 64),
		},
	}}
}

func roster() ipc.RosterList {
	return ipc.RosterList{
		Network: "home", ID: strings.Repeat("1", 64), Digest: strings.Repeat("d", 64), Members: 1,
		Records: []ipc.Record{
			{ID: strings.Repeat("1", 64), Type: "genesis", Author: "root", Clock: 1, Time: now, Text: "network home", Valid: true},
			{ID: strings.Repeat("4", 64), Type: "admit", Author: "nas", Clock: 2, Time: now, Text: "admits tv", Why: "nas was revoked by laptop"},
		},
	}
}

func diagnosis() ipc.Diag {
	return ipc.Diag{Checks: []ipc.Check{
		{Code: "helper", OK: true, Text: "The helper runs.", Detail: "1.4.0"},
		{Code: "hairpin", Network: "home", OK: true, NA: true, Text: "Hairpin through the router", Detail: "not needed: no NAT"},
		{Code: "dns", Text: "Names do not resolve.", Detail: "resolv.conf was replaced", Fix: "kith up"},
	}}
}

// removal is what a removal would change, in full where it goes back to a time.
func removal(since *time.Time, dry bool) *ipc.Removal {
	switch {
	case since == nil && !dry:
		return nil
	case since == nil:
		return &ipc.Removal{Plan: "7a", Undone: 1, Demoted: []string{"desk"}, Repeated: []string{"old"}}
	}
	at, held := since.Add(time.Hour), since.Add(time.Minute)
	return &ipc.Removal{
		Plan: "7b", Since: since, Undone: 9, Early: 2, Held: &held,
		Dropped:  []ipc.Dropped{{Name: "tv", Key: "q3yqlhjm5ya2", Added: &at}, {Name: "tablet", Key: "b7eqlhjm5ya2", Added: since}},
		Returned: []string{"phone"}, Demoted: []string{"desk"}, Repeated: []string{"old"}, Readmitted: []string{"den"},
		Invites: 1, Settings: []string{"policy", "dev/nas/name"},
	}
}
