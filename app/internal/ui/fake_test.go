package ui

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kith.internal/ipc"
)

// fake is a Helper that answers at once.
type fake struct {
	Helper  // what no test calls
	calls   []string
	err     error
	preview ipc.Preview
	list    ipc.DeviceList
	dropped []string
	policy  ipc.PolicyAnswer
	share   ipc.Share
	checks  []ipc.Check
}

func (f *fake) call(format string, args ...any) error {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) Create(_ context.Context, r ipc.CreateRequest) (ipc.CreateAnswer, error) {
	return ipc.CreateAnswer{Phrase: strings.Repeat("word ", 24)}, f.call("create %s %s %v", r.Name, r.Device, r.ShowPhrase)
}

func (f *fake) Invite(_ context.Context, r ipc.InviteRequest) (ipc.InviteAnswer, error) {
	return ipc.InviteAnswer{Link: "kith://join/abc", Expires: t0.Add(time.Hour)}, f.call("invite %d %d", r.Uses, r.Expires)
}

func (f *fake) Preview(_ context.Context, l string) (ipc.Preview, error) {
	return f.preview, f.call("preview %s", l)
}

func (f *fake) Join(_ context.Context, r ipc.JoinRequest) (ipc.NetworkAnswer, error) {
	return ipc.NetworkAnswer{Network: ipc.Network{Name: "home", Self: ipc.Self{FQDN: "laptop.home.internal"}}}, f.call("join %s %s", r.Link, r.Device)
}

func (f *fake) Leave(_ context.Context, n string) (ipc.NetworkAnswer, error) {
	return ipc.NetworkAnswer{}, f.call("leave %s", n)
}

func (f *fake) Up(_ context.Context, r ipc.UpRequest) (ipc.Status, error) {
	n := r.Network
	return ipc.Status{}, f.call("up %s", n)
}

func (f *fake) Down(_ context.Context, n string) (ipc.Status, error) {
	return ipc.Status{}, f.call("down %s", n)
}

func (f *fake) DeviceList(_ context.Context, n string) (ipc.DeviceList, error) { return f.list, f.err }

func (f *fake) DeviceRename(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return ipc.DeviceAnswer{Pending: true}, f.call("rename %s %s", r.Device, r.Name)
}

func (f *fake) DeviceRevoke(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	switch {
	case r.Since == nil:
		return ipc.DeviceAnswer{Dropped: f.dropped}, f.call("revoke %s", r.Device)
	case r.DryRun:
		held := r.Since.Add(time.Minute)
		return ipc.DeviceAnswer{Dropped: f.dropped, Removal: &ipc.Removal{
			Plan: "7b", Undone: 9, Early: 1, Held: &held, Dropped: []ipc.Dropped{{Name: "tv"}, {Name: "tablet"}},
			Returned: []string{"phone"}, Demoted: []string{"desk"}, Invites: 1, Settings: []string{"policy", "dev/nas/name"},
		}}, f.call("look %s %s", r.Device, t0.Sub(*r.Since))
	}
	return ipc.DeviceAnswer{Dropped: f.dropped}, f.call("undo %s %s %s", r.Device, t0.Sub(*r.Since), r.Plan)
}

func (f *fake) DeviceRole(_ context.Context, r ipc.RoleRequest) (ipc.RoleAnswer, error) {
	return ipc.RoleAnswer{Device: r.Device, Role: r.Role, Dropped: f.dropped}, f.call("role %s %s %q", r.Device, r.Role, r.Phrase)
}

func (f *fake) DeviceTag(_ context.Context, r ipc.TagRequest) (ipc.TagAnswer, error) {
	return ipc.TagAnswer{Device: r.Device, Tags: r.Add}, f.call("tag %s +%v -%v", r.Device, r.Add, r.Remove)
}

func (f *fake) DeviceApprove(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return ipc.DeviceAnswer{}, f.call("approve %s %v", r.Device, r.Asks)
}

func (f *fake) Recover(_ context.Context, r ipc.RecoverRequest) (ipc.RecoverAnswer, error) {
	return ipc.RecoverAnswer{Phrase: strings.Repeat("word ", 24)}, f.call("recover %s %v", r.Network, r.Show)
}

func (f *fake) Diag(context.Context, string) (ipc.Diag, error) {
	if f.checks != nil {
		return ipc.Diag{Checks: f.checks}, f.err
	}
	return ipc.Diag{Checks: []ipc.Check{{Text: "Names", Detail: "fine", OK: true}, {Text: "Clock", Detail: "off", Fix: "set it"}}}, f.err
}

func (f *fake) Ping(_ context.Context, r ipc.PingRequest, got func(ipc.PingReply) error) error {
	for i, p := range []ipc.PathKind{ipc.PathRelayed, ipc.PathDirect} {
		if err := got(ipc.PingReply{Seq: i + 1, RTTMS: ptr(40.0 / float64(i+1)), Path: p, Via: ptr("vps")}); err != nil {
			return err
		}
	}
	return f.call("ping %s %v", r.Host, r.UntilDirect)
}
func (f *fake) Portal(_ context.Context, r ipc.PortalRequest) (ipc.PortalAnswer, error) {
	return ipc.PortalAnswer{}, f.call("portal %v", r.Open)
}
func (f *fake) DeviceRenew(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return ipc.DeviceAnswer{Pending: true}, f.call("renew %s", r.Network)
}
func (f *fake) ExitUse(_ context.Context, r ipc.ExitUseRequest) (ipc.ExitAnswer, error) {
	lan := "as it is"
	if r.AllowLAN != nil {
		lan = fmt.Sprint(*r.AllowLAN)
		if len(r.LANs) > 0 {
			lan += fmt.Sprint(" ", r.LANs)
		}
	}
	return ipc.ExitAnswer{}, f.call("exit use %s, lan %s", r.Device, lan)
}
func (f *fake) ExitOff(_ context.Context, n string) (ipc.ExitAnswer, error) {
	return ipc.ExitAnswer{}, f.call("exit off %s", n)
}
func (f *fake) ExitOffer(_ context.Context, r ipc.ExitOfferRequest) (ipc.ExitAnswer, error) {
	return ipc.ExitAnswer{}, f.call("exit offer %v %v", r.On, r.LAN)
}
func (f *fake) ExitApprove(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return ipc.DeviceAnswer{}, f.call("exit approve %s", r.Device)
}
func (f *fake) RelayOn(_ context.Context, r ipc.RelayRequest) (ipc.RelayAnswer, error) {
	return ipc.RelayAnswer{}, f.call("relay on%s", r.Advertise)
}
func (f *fake) Forward(_ context.Context, r ipc.ForwardRequest) (ipc.ForwardAnswer, error) {
	return ipc.ForwardAnswer{}, f.call("forward %v", r.On)
}
func (f *fake) RouteAdd(_ context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return ipc.RouteAnswer{}, f.call("route add %s", r.Prefix)
}
func (f *fake) RouteApprove(_ context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return ipc.RouteAnswer{}, f.call("route approve %s %s", r.Prefix, r.Device)
}
func (f *fake) RouteAccept(_ context.Context, r ipc.RouteRequest) (ipc.RouteAnswer, error) {
	return ipc.RouteAnswer{}, f.call("route accept %s %v", r.Prefix, !r.Off)
}
func (f *fake) PolicyShow(context.Context, string) (ipc.PolicyAnswer, error) { return f.policy, f.err }
func (f *fake) PolicySet(_ context.Context, r ipc.PolicyRequest) (ipc.PolicyAnswer, error) {
	a := f.policy
	a.Set = !r.DryRun
	return a, f.call("policy %q dry %v", r.Text, r.DryRun)
}
func (f *fake) PolicyReach(_ context.Context, r ipc.ReachRequest) (ipc.ReachAnswer, error) {
	return ipc.ReachAnswer{From: []ipc.PolicyChange{{From: "laptop", Ports: []string{"all"}}, {From: "tablet", Ports: []string{"80/tcp", "443/tcp", "icmp"}}}}, f.call("reach %s", r.Device)
}
func (f *fake) ShareCreate(_ context.Context, r ipc.ShareRequest) (ipc.ShareAnswer, error) {
	return ipc.ShareAnswer{Link: "kith://share/xyz", Share: ipc.Share{AcceptBy: ptr(t0.Add(24 * time.Hour))}}, f.call("share %v %v exit %v confirm %v for %d", r.Devices, r.Ports, r.Exit, r.Confirm, r.Expires)
}
func (f *fake) ShareAccept(_ context.Context, r ipc.ShareAcceptRequest) (ipc.ShareAnswer, error) {
	return ipc.ShareAnswer{Share: f.share}, f.call("accept %s into %q as %q", r.Link, r.Network, r.Label)
}
func (f *fake) ShareApprove(_ context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return ipc.ShareAnswer{}, f.call("share approve %s", r.Share)
}
func (f *fake) ShareRevoke(_ context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return ipc.ShareAnswer{}, f.call("share revoke %s", strings.TrimSpace(r.Share+" "+r.Guest))
}
func (f *fake) ShareRemove(_ context.Context, r ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return ipc.ShareAnswer{}, f.call("share remove %s", r.Share)
}
func (f *fake) NearbyOpen(_ context.Context, r ipc.NearbyOpenRequest) (ipc.NearbyList, error) {
	return ipc.NearbyList{}, f.call("nearby open %s %v", r.Network, !r.Close)
}
func (f *fake) NearbyJoin(_ context.Context, r ipc.NearbyJoinRequest) (ipc.NetworkAnswer, error) {
	return ipc.NetworkAnswer{Network: ipc.Network{Name: "home"}}, f.call("nearby join %s %s, confirm %v", r.ID, r.Device, r.Confirm)
}
func (f *fake) NearbyApprove(_ context.Context, r ipc.NearbyApproveRequest) (ipc.NearbyList, error) {
	return ipc.NearbyList{}, f.call("nearby approve %s %v", r.ID, !r.Refuse)
}
func (f *fake) DNSAdd(_ context.Context, r ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error) {
	return ipc.DNSRecordsAnswer{}, f.call("dns add %s %q %v", r.Name, r.Type, r.Values)
}
func (f *fake) DNSRemove(_ context.Context, r ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error) {
	return ipc.DNSRecordsAnswer{}, f.call("dns remove %s %s", r.Name, r.Type)
}
func (f *fake) DNSList(context.Context, string) (ipc.DNSRecordsAnswer, error) {
	return ipc.DNSRecordsAnswer{Records: []ipc.DNSRecords{{Name: "printer.home.internal", Type: "A", Values: []string{"192.168.1.9"}, SetBy: "laptop"}, {Name: "corp.example", Type: "NS", Values: []string{"10.20.0.53"}, SetBy: "nas"}}}, f.err
}
func (f *fake) DNSRepair(context.Context) (ipc.DNSStatus, error) {
	return ipc.DNSStatus{}, f.call("dns repair")
}
func (f *fake) OperatorAdd(_ context.Context, u string) (ipc.OperatorList, error) {
	return ipc.OperatorList{Operators: []string{"anna", u}}, f.call("operator add %s", u)
}
func (f *fake) OperatorRemove(_ context.Context, u string) (ipc.OperatorList, error) {
	return ipc.OperatorList{}, f.call("operator remove %s", u)
}
func (f *fake) OperatorList(context.Context) (ipc.OperatorList, error) {
	return ipc.OperatorList{Operators: []string{"anna"}}, f.err
}
